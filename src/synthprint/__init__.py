"""synthprint: which text-to-speech system made this clip, is it one we know, and are these two from the same?

from synthprint import Tracer
Tracer.load().trace("clip.wav")

What a command does is one call here:

    synthprint trace, timeline   Tracer.trace, trace_many, timeline
    synthprint compare           compare, or Tracer.compare
    synthprint cluster           cluster
    synthprint report            report
    synthprint enrol             enrol, or Tracer.enrol

Each returns an object that says what the command shows; `to_dict` gives what it prints as JSON.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthprint.casework.case import Case as Case
    from synthprint.casework.clusters import cluster as cluster
    from synthprint.casework.groups import Clustering as Clustering
    from synthprint.casework.report import report as report
    from synthprint.errors import SynthprintError as SynthprintError
    from synthprint.gallery.additions import Enrolled as Enrolled
    from synthprint.gallery.enrolment import enrol as enrol
    from synthprint.gallery.gallery import Gallery as Gallery
    from synthprint.model.model import Model as Model
    from synthprint.tracing.comparison import Comparison as Comparison
    from synthprint.tracing.comparison import compare as compare
    from synthprint.tracing.timeline import Timeline as Timeline
    from synthprint.tracing.tracer import Tracer as Tracer
    from synthprint.tracing.traces import Failure as Failure
    from synthprint.tracing.traces import Trace as Trace
    from synthprint.types import Embeddings as Embeddings
    from synthprint.types import Manifest as Manifest
    from synthprint.types import ScoredTrials as ScoredTrials
    from synthprint.types import Trials as Trials
    from synthprint.types import Utterance as Utterance

__version__ = "0.1.0"
_HOMES = {
    "Case": "casework.case", "Clustering": "casework.groups", "Comparison": "tracing.comparison",
    "Enrolled": "gallery.additions", "Failure": "tracing.traces", "Gallery": "gallery.gallery", "Model": "model.model",
    "SynthprintError": "errors", "Timeline": "tracing.timeline", "Trace": "tracing.traces", "Tracer": "tracing.tracer",
    **dict.fromkeys(("Embeddings", "Manifest", "ScoredTrials", "Trials", "Utterance"), "types"),
    "cluster": "casework.clusters", "compare": "tracing.comparison", "enrol": "gallery.enrolment",
    "report": "casework.report",
}  # fmt: skip
__all__ = [
    "Case", "Clustering", "Comparison", "Embeddings", "Enrolled", "Failure", "Gallery", "Manifest", "Model",
    "ScoredTrials", "SynthprintError", "Timeline", "Trace", "Tracer", "Trials", "Utterance", "cluster", "compare",
    "enrol", "report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: `synthprint --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
