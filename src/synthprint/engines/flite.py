"""Flite, CMU's small synthesizer: diphones (`kal`, `kal16`) and clustergen statistical voices.

http://www.festvox.org/flite. The voice `awb_time` is left out: it is a talking clock, and says rubbish else.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Flite"]

FAMILIES = {
    "kal": "flite-diphone",
    "kal16": "flite-diphone",
    "awb": "clustergen",
    "rms": "clustergen",
    "slt": "clustergen",
}


class Flite:
    """The command `flite`."""

    systems = tuple(
        System(
            f"flite/{voice}",
            family,
            "tts",
            "BSD-like (CMU)",
            ("apt:flite",),
            ("en",),
            f"cmu_{voice.removesuffix('16')}",
        )
        for voice, family in FAMILIES.items()
    )

    def installed(self) -> tuple[System, ...]:
        return tuple(system for system in self.systems if system.name.split("/")[1] in _voices())

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        voice = system.name.split("/")[1]
        if voice not in _voices():  # flite would speak with its default voice, and exit with 0
            raise EngineError(f"{system.name}: flite has no voice {voice!r}; it has: {', '.join(sorted(_voices()))}")
        return processes.speak_each(
            system.name, texts, lambda text, wav: ["flite", "-voice", voice, "-f", str(text), "-o", str(wav)]
        )


@functools.cache
def _voices() -> frozenset[str]:
    if not shutil.which("flite"):
        return frozenset()
    return frozenset(processes.run("flite", ["flite", "-lv"]).decode().partition(":")[2].split())
