"""WORLD: analysis into pitch, spectral envelope and aperiodicity, and synthesis from them.

Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Trans. 2016; by the Python package pyworld. `mc32` codes envelope and aperiodicity first,
the envelope to 32 mel-cepstral dimensions, as statistical synthesizers do.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, processes

__all__ = ["World"]

DIMENSIONS = 32
RATE = audio.SAMPLE_RATE
PACKAGES = ("pip:pyworld", "pip:setuptools<81")  # pyworld 0.3 imports pkg_resources, which later ones lack


class World:
    """The Python package pyworld."""

    systems = tuple(
        System(f"world/{variant}", "world", "copysyn", "MIT; BSD-3-Clause (WORLD)", PACKAGES)
        for variant in ("full", "mc32")
    )

    def installed(self) -> tuple[System, ...]:
        here = importlib.util.find_spec("pyworld") and importlib.util.find_spec("pkg_resources")
        return self.systems if here else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        coded = system.name.endswith("mc32")
        return processes.each(waves, lambda wave: processes.recording(system.name, _vocode(wave, coded), RATE))


def _pyworld() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that pkg_resources is deprecated
        import pyworld
    return pyworld


def _vocode(wave: np.ndarray, coded: bool) -> np.ndarray:
    pyworld = _pyworld()
    signal = wave.astype(np.float64)
    rough, times = pyworld.dio(signal, RATE)
    f0 = pyworld.stonemask(signal, rough, times, RATE)
    envelope = pyworld.cheaptrick(signal, f0, times, RATE)  # [frames, bins]
    aperiodicity = pyworld.d4c(signal, f0, times, RATE)
    if coded:
        size = pyworld.get_cheaptrick_fft_size(RATE)
        coding = pyworld.code_spectral_envelope(envelope, RATE, DIMENSIONS)
        envelope = pyworld.decode_spectral_envelope(coding, RATE, size)
        aperiodicity = pyworld.decode_aperiodicity(pyworld.code_aperiodicity(aperiodicity, RATE), RATE, size)
    samples: np.ndarray = pyworld.synthesize(f0, envelope, aperiodicity, RATE)
    return samples
