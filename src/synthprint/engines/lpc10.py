"""LPC-10, the 2400 bit/s vocoder of FS-1015, by SoX. 8 kHz.

Tremain, "The government standard linear predictive coding algorithm: LPC-10", 1982.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Lpc10"]

SAMPLE_RATE = 8_000  # Hz


class Lpc10:
    """The command `sox`, with its LPC-10 format."""

    systems = (System("lpc10/2400", "lpc10", "copysyn", "GPL-2.0-or-later", ("apt:sox",)),)

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("sox") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        return processes.recode_with_sox(system.name, waves, SAMPLE_RATE, ".lpc10")
