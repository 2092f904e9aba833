"""Griffin-Lim: phases found again from magnitudes, by iteration.

Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 1984, with
the momentum of Perraudin, Balazs and Søndergaard (2013), by librosa. `lin` starts from the linear spectrum,
`mel80` from 80 mel bands, as the first neural synthesizers did.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, processes

__all__ = ["GriffinLim"]

WINDOW, HOP, BANDS, ITERATIONS, SEED = 1024, 256, 80, 32, 0


class GriffinLim:
    """The Python package librosa."""

    systems = tuple(
        System(f"griffinlim/{variant}", "griffin-lim", "copysyn", "ISC", ("pip:librosa",))
        for variant in ("lin", "mel80")
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if importlib.util.find_spec("librosa") else ()

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:
        mel = system.name.endswith("mel80")
        return processes.each(
            waves, lambda wave: processes.recording(system.name, _vocode(wave, mel), audio.SAMPLE_RATE)
        )


def _vocode(wave: np.ndarray, mel: bool) -> np.ndarray:
    import librosa

    magnitude = np.abs(librosa.stft(wave, n_fft=WINDOW, hop_length=HOP))  # [bins, frames]
    if mel:
        bands = librosa.feature.melspectrogram(S=magnitude**2, sr=audio.SAMPLE_RATE, n_mels=BANDS)
        magnitude = librosa.feature.inverse.mel_to_stft(bands, sr=audio.SAMPLE_RATE, n_fft=WINDOW)
    samples: np.ndarray = librosa.griffinlim(
        magnitude, n_iter=ITERATIONS, hop_length=HOP, n_fft=WINDOW, length=len(wave), random_state=SEED
    )
    return samples
