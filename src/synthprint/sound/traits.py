"""What an audio file sounds like to somebody who does not listen: level, offset, silence, bandwidth.

*Conventions.* Levels are in dB re full scale, at the sample rate that is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from synthprint.sound import audio

FRAME_S = 0.01  # of the level contour that silence is read from
SPECTRUM_S = 0.032  # of one frame of the long-term spectrum
SILENCE_BELOW_PEAK_DB = 40.0  # a frame this far below the loudest one is silence
BAND_EDGE_DB = 60.0  # the band ends where the long-term spectrum stays this far below its maximum
NYQUIST = audio.SAMPLE_RATE / 2  # Hz; what lies above is not looked at, because no extractor sees it
HIGH_BAND = NYQUIST / 2  # Hz
FLOOR = 1e-20  # added to powers before the logarithm: -200 dB


@dataclass(frozen=True)
class Traits:
    """What a file sounds like to somebody who does not listen.

    Attributes:
        rms_db, peak_db: level.
        offset: mean of the samples (direct current), of full scale.
        lead_silence_s, trail_silence_s: below SILENCE_BELOW_PEAK_DB at either end.
        zeros: share of samples that are exactly 0.
        bandwidth_hz: where the long-term spectrum, up to 8 kHz, ends.
        high_band_db: power above 4 kHz relative to that below.
    """

    rms_db: float
    peak_db: float
    offset: float
    lead_silence_s: float
    trail_silence_s: float
    zeros: float
    bandwidth_hz: float
    high_band_db: float


def measure(blocks: Iterable[np.ndarray], sample_rate: int) -> Traits | None:
    """The traits of a wave given as blocks [T] at `sample_rate` Hz, or None if a sample is not finite."""
    frame = max(1, round(FRAME_S * sample_rate))
    n_fft = 2 * round(SPECTRUM_S * sample_rate / 2)
    n_samples, total, zeros, peak = 0, 0.0, 0, 0.0
    contour: list[np.ndarray] = []
    spectrum = np.zeros(n_fft // 2 + 1)
    for block in blocks:
        if not np.isfinite(block).all():
            return None
        n_samples += len(block)
        total += float(block.sum(dtype=np.float64))
        zeros += int(np.count_nonzero(block == 0))
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
        contour.append(_energies(block, frame))
        spectrum += _spectrum(block, n_fft)
    energy = float(np.concatenate(contour).sum()) if n_samples else 0.0
    levels_db = _db(np.concatenate(contour) / frame) if n_samples else np.full(1, _db(0.0))
    heard = np.flatnonzero(levels_db > levels_db.max() - SILENCE_BELOW_PEAK_DB)
    bandwidth_hz, high_band_db = _band(spectrum, sample_rate / n_fft)
    return Traits(
        rms_db=float(_db(energy / max(n_samples, 1))),
        peak_db=float(_db(peak**2)),
        offset=total / max(n_samples, 1),
        lead_silence_s=float(heard[0] * FRAME_S),
        trail_silence_s=float((len(levels_db) - 1 - heard[-1]) * FRAME_S),
        zeros=zeros / max(n_samples, 1),
        bandwidth_hz=bandwidth_hz,
        high_band_db=high_band_db,
    )


def frame_powers(wave: np.ndarray, frame: int) -> np.ndarray:
    """Mean square of each `frame` samples of a wave [T]; a last, partial frame has the mean of what it holds."""
    starts = np.arange(0, len(wave), frame)
    return _energies(wave, frame) / np.diff(np.append(starts, len(wave)))


def _energies(block: np.ndarray, frame: int) -> np.ndarray:
    """Sum of squares of each level frame; a last, partial frame counts as it is."""
    squares = np.square(block, dtype=np.float64)
    return np.add.reduceat(squares, np.arange(0, len(block), frame)) if len(block) else np.zeros(0)


def _spectrum(block: np.ndarray, n_fft: int) -> np.ndarray:
    """Sum over half-overlapping Hann frames of the power spectrum [n_fft / 2 + 1]."""
    if len(block) < n_fft:
        block = np.pad(block, (0, n_fft - len(block)))
    frames = np.lib.stride_tricks.sliding_window_view(block, n_fft)[:: n_fft // 2]
    powers = np.abs(np.fft.rfft(frames * np.hanning(n_fft).astype(np.float32), axis=1)) ** 2
    return np.asarray(powers.sum(axis=0, dtype=np.float64))


def _band(spectrum: np.ndarray, hz_per_bin: float) -> tuple[float, float]:
    """(bandwidth in Hz, power above HIGH_BAND relative to that below in dB), both up to NYQUIST."""
    hz = np.arange(len(spectrum)) * hz_per_bin
    inside, hz = spectrum[hz <= NYQUIST], hz[hz <= NYQUIST]
    loud = np.flatnonzero(_db(inside) > _db(inside.max()) - BAND_EDGE_DB)
    high = inside[hz > HIGH_BAND].sum() / max(inside[hz <= HIGH_BAND].sum(), FLOOR)
    return float(hz[loud[-1]]) if len(loud) else 0.0, float(_db(high))


def _db(power: np.ndarray | float) -> np.ndarray:
    return np.asarray(10 * np.log10(np.asarray(power) + FLOOR))
