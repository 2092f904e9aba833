"""Opus at 6 kbit/s in its speech mode: SILK, a linear-prediction codec.

https://opus-codec.org.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Opus"]

SAMPLE_RATE = 16_000  # Hz


class Opus:
    """The commands `opusenc` and `opusdec`."""

    systems = (System("silk/opus6k", "silk", "codec", "BSD-3-Clause", ("apt:opus-tools",)),)

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("opusenc") and shutil.which("opusdec") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        return processes.recode_each(
            system.name,
            waves,
            SAMPLE_RATE,
            ".opus",
            lambda speech, coded, decoded: [
                ["opusenc", "--quiet", "--bitrate", "6", "--speech", speech, coded],
                ["opusdec", "--quiet", "--rate", str(SAMPLE_RATE), coded, decoded],
            ],
        )
