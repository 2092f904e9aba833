"""synthprint: which text-to-speech system made this clip, is it one we know, and are these two from the same?

from synthprint import Tracer
Tracer.load().trace("clip.wav")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthprint.errors import SynthprintError as SynthprintError
    from synthprint.tracing.gallery import Gallery as Gallery
    from synthprint.tracing.tracer import Tracer as Tracer
    from synthprint.types import Embeddings as Embeddings
    from synthprint.types import Manifest as Manifest
    from synthprint.types import Scores as Scores
    from synthprint.types import Trials as Trials
    from synthprint.types import Utterance as Utterance

__version__ = "0.1.0"
__all__ = ["Embeddings", "Gallery", "Manifest", "Scores", "SynthprintError", "Tracer", "Trials", "Utterance"]

_HOMES = {
    "SynthprintError": "errors", "Gallery": "tracing.gallery", "Tracer": "tracing.tracer",
    **dict.fromkeys(("Embeddings", "Manifest", "Scores", "Trials", "Utterance"), "types"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: `synthprint --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
