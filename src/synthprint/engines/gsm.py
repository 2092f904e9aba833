"""GSM 06.10 full rate (RPE-LTP), the speech codec of the first digital telephones, by SoX. 8 kHz."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Gsm"]

SAMPLE_RATE = 8_000  # Hz


class Gsm:
    """The command `sox`, with its GSM format."""

    systems = (System("rpe/gsm", "gsm", "codec", "GPL-2.0-or-later; libgsm TU-Berlin-2.0", ("apt:sox",)),)

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("sox") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        return processes.recode_with_sox(system.name, waves, SAMPLE_RATE, ".gsm")
