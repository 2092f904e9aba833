"""Codec 2: a sinusoidal speech codec of 700 to 3200 bit/s; at these rates a vocoder.

https://www.rowetel.com/codec2.html. 8 kHz.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Codec2"]

SAMPLE_RATE = 8_000  # Hz


class Codec2:
    """The commands `c2enc` and `c2dec`."""

    systems = tuple(
        System(f"codec2/{mode}", "codec2", "copysyn", "LGPL-2.1", ("apt:codec2",)) for mode in ("3200", "1300", "700C")
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("c2enc") and shutil.which("c2dec") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        mode = system.name.split("/")[1]

        def make(wave: np.ndarray) -> Recording:
            coding = [["c2enc", mode, "-", "-"], ["c2dec", mode, "-", "-"]]
            decoded = processes.pipe(system.name, coding, processes.raw16(wave, SAMPLE_RATE))
            return processes.recording(
                system.name, np.frombuffer(decoded, "<i2").astype(np.float32) / 32768.0, SAMPLE_RATE
            )

        return processes.each(waves, make)
