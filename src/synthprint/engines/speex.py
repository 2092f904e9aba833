"""Speex at its lowest narrowband quality: a CELP speech codec. 8 kHz.

https://www.speex.org.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Speex"]

SAMPLE_RATE = 8_000  # Hz


class Speex:
    """The commands `speexenc` and `speexdec`."""

    systems = (System("celp/speex-nb1", "celp", "codec", "BSD-3-Clause", ("apt:speex",)),)

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("speexenc") and shutil.which("speexdec") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        return processes.recode_each(
            system.name,
            waves,
            SAMPLE_RATE,
            ".spx",
            lambda speech, coded, decoded: [
                ["speexenc", "--narrowband", "--quality", "1", speech, coded],
                ["speexdec", coded, decoded],
            ],
        )
