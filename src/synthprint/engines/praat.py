"""Praat: overlap-add resynthesis (PSOLA), and copy synthesis with a Klatt grid.

https://praat.org, by the Python package parselmouth. PSOLA leaves pitch and duration as they are: it is close to
the original, the hardest case. The Klatt grid is a formant synthesizer driven by what Praat measured.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, processes

__all__ = ["Praat"]

F0_MIN_HZ, F0_MAX_HZ, TIME_STEP_S = 60.0, 400.0, 0.01
FORMANTS, FORMANT_CEILING_HZ = 5, 5500.0


class Praat:
    """The Python package praat-parselmouth."""

    systems = tuple(
        System(f"praat/{method}", method, "copysyn", "GPL-3.0-or-later", ("pip:praat-parselmouth",))
        for method in ("psola", "klattgrid")
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if importlib.util.find_spec("parselmouth") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        method = _psola if system.name.endswith("psola") else _klattgrid

        def make(wave: np.ndarray) -> Recording:
            import parselmouth

            try:
                sound = method(parselmouth.Sound(wave.astype(np.float64), audio.SAMPLE_RATE))
            except parselmouth.PraatError as error:  # on unvoiced input, "Pitch tier should not be empty"
                raise EngineError(f"{system.name}: {str(error).strip().splitlines()[0]}") from error
            return processes.recording(system.name, sound.values[0], round(sound.sampling_frequency))

        return processes.each(waves, make)


def _psola(sound: Any) -> Any:
    from parselmouth.praat import call

    manipulation = call(sound, "To Manipulation", TIME_STEP_S, F0_MIN_HZ, F0_MAX_HZ)
    return call(manipulation, "Get resynthesis (overlap-add)")


def _klattgrid(sound: Any) -> Any:
    from parselmouth.praat import call

    settings = (0.005, FORMANTS, FORMANT_CEILING_HZ, 0.025, 50.0, F0_MIN_HZ, F0_MAX_HZ, 100.0, "yes")
    return call(call(sound, "To KlattGrid (simple)", *settings), "To Sound")
