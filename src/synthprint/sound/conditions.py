"""The conditions of a clip, from its samples alone.

*Conventions.* Frames are 32 ms long, 16 ms apart, with a Hann window; levels are in dB re full scale. A clip is taken
in blocks of BLOCK_S; of more than SPECTRAL_BLOCKS, the spectral figures are those of so many, evenly spread. How good
each estimate is was measured: docs/limits.md.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.sound import audio
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.traits import BAND_EDGE_DB, FRAME_S, SILENCE_BELOW_PEAK_DB, frame_powers
from synthprint.sound.waves import AnyWave, extremes

FRAME, HOP = 512, 256  # samples
BLOCK_S, SPECTRAL_BLOCKS = 10.0, 18
FLOOR = 1e-12  # power, added before a logarithm
BANDS = 16  # that the noise is estimated in, 500 Hz each
LOWEST_BIN = 3  # 94 Hz; below, a window's lobe would let an offset of the wave pass for noise
NOISE_QUANTILE = 0.05  # of a band's power over time: noise is what is left where the speech pauses
NOISE_BIAS = 0.52  # that quantile of stationary noise relative to its mean, measured with white noise
SNR_RANGE_DB = (-10.0, 60.0)  # beyond, the estimate is no more than its bound
CLIPPED_NEAR, CLIPPED_RUN = 1e-3, 3  # so many samples in a row, so near to the extreme one, are clipped
HOLE_DB = 40.0  # a cell of the spectrogram so far below its frame's median is a hole
HOLE_FROM_HZ, HOLE_EDGE_HZ = 1000.0, 200.0  # looked for from here on, up to this far below the bandwidth
ACTIVE_DB = 30.0  # frames within this of the loudest one are speech, or what stands for it
STEADY_FRAMES, STEADY_BINS, STEADY_AROUND = 8, 100, 5
MUSIC_LEVEL_VARIATION, MUSIC_STEADINESS = 0.4, 0.12


@dataclass(frozen=True)
class Conditions:
    """What was measured of a clip.

    Attributes:
        duration_s: its length.
        bandwidth_hz: up to where its long-term spectrum reaches (60 dB below its maximum), at most 8 kHz.
        peak_db: its highest sample.
        clipped_share: of the samples, those in runs that stay at the highest or lowest value.
        snr_db: speech to stationary noise, within SNR_RANGE_DB. A clip without pauses, and one in a reverberant room,
            seems noisier than it is.
        silence_share: of the 10 ms frames, those 40 dB or more below the loudest, each about its own mean.
        hole_share: of the spectrogram's cells, those that a codec seems to have emptied.
        music: its level hardly varies and its partials are steady, as in music and hardly ever in speech.
    """

    duration_s: float
    bandwidth_hz: float
    peak_db: float
    clipped_share: float
    snr_db: float
    silence_share: float
    hole_share: float
    music: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def conditions(wave: AnyWave) -> Conditions:
    """Measure a wave [T] float32 at 16 kHz, in little memory beyond its own.

    Raises:
        AudioError: a sample is not finite, or there is none.
    """
    low, high = extremes(wave) if len(wave) else (math.nan, math.nan)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioError("clip", "has no samples, or samples that are not numbers")
    # A last block shorter than a frame has no spectrum of its own: it stays with the one before.
    starts = np.arange(0, max(1, len(wave) - FRAME + 1), round(BLOCK_S * SAMPLE_RATE))
    bounds = list(pairwise([*starts.tolist(), len(wave)]))
    spectral = np.unique(np.linspace(0, len(bounds) - 1, SPECTRAL_BLOCKS).round().astype(int))
    power = np.concatenate([_spectrogram(wave[slice(*bounds[i])]) for i in spectral])
    bandwidth_hz = _bandwidth_hz(power)
    clipped, levels = 0, []
    for start, end in bounds:
        block = wave[start:end]
        clipped += _clipped(block, low, high)
        levels.append(_frame_variances(block, round(FRAME_S * SAMPLE_RATE)))
    return Conditions(
        duration_s=len(wave) / SAMPLE_RATE,
        bandwidth_hz=bandwidth_hz,
        peak_db=20 * math.log10(max(high, -low) + FLOOR),
        clipped_share=clipped / len(wave),
        snr_db=_snr_db(power),
        silence_share=_silence_share(np.concatenate(levels)),
        hole_share=_hole_share(power, bandwidth_hz),
        music=_is_music(power),
    )


def _spectrogram(wave: np.ndarray) -> np.ndarray:
    """Power [frames, FRAME / 2 + 1], in units of mean square per bin."""
    wave = np.pad(wave, (0, max(0, FRAME - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP]
    window = np.hanning(FRAME).astype(np.float32)
    return np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 / np.float32(np.sum(window**2) * FRAME / 2)


def _bandwidth_hz(power: np.ndarray) -> float:
    spectrum = power.mean(axis=0)
    heard = np.flatnonzero(spectrum > spectrum.max() * 10 ** (-BAND_EDGE_DB / 10))
    return float(heard[-1]) * SAMPLE_RATE / FRAME if len(heard) else 0.0


def _clipped(block: np.ndarray, low: float, high: float) -> int:
    """How many samples are in runs of CLIPPED_RUN and more near the clip's lowest or highest value."""
    clipped = 0
    for near, extreme in ((block <= low * (1 - CLIPPED_NEAR), -low), (block >= high * (1 - CLIPPED_NEAR), high)):
        if extreme > audio.SILENCE and np.count_nonzero(near) >= CLIPPED_RUN:
            edges = np.flatnonzero(np.diff(near, prepend=False, append=False)).reshape(-1, 2)  # of runs
            lengths = edges[:, 1] - edges[:, 0]
            clipped += int(lengths[lengths >= CLIPPED_RUN].sum())
    return clipped


def _frame_variances(block: np.ndarray, frame: int) -> np.ndarray:
    """Power of each `frame` samples of a wave [T] about their mean, so that an offset is no sound."""
    starts = np.arange(0, len(block), frame)
    means = np.add.reduceat(block, starts, dtype=np.float64) / np.diff(np.append(starts, len(block)))
    return np.maximum(frame_powers(block, frame) - means**2, 0.0)


def _silence_share(powers: np.ndarray) -> float:
    return float(np.mean(powers <= powers.max() * 10 ** (-SILENCE_BELOW_PEAK_DB / 10)))


def _snr_db(power: np.ndarray) -> float:
    """The noise is a low quantile over time of the power in each band (as in minimum statistics, Martin 2001)."""
    heard = power[power[:, LOWEST_BIN:].sum(axis=1) > audio.SILENCE**2]
    if not len(heard):
        return SNR_RANGE_DB[0]
    bands = heard[:, 1:].reshape(len(heard), BANDS, -1).astype(np.float64)
    bands[:, 0, : LOWEST_BIN - 1] = 0.0
    bands = bands.sum(axis=2)
    noise = float(np.quantile(bands, NOISE_QUANTILE, axis=0).sum()) / NOISE_BIAS
    speech = float(bands.mean(axis=0).sum()) - noise
    return float(np.clip(10 * np.log10(max(speech, FLOOR) / (noise + FLOOR)), *SNR_RANGE_DB))


def _active(power: np.ndarray) -> np.ndarray:
    levels = power.sum(axis=1)
    return np.asarray(levels > levels.max() * 10 ** (-ACTIVE_DB / 10))


def _hole_share(power: np.ndarray, bandwidth_hz: float) -> float:
    hz = np.arange(power.shape[1]) * SAMPLE_RATE / FRAME
    cells = power[np.ix_(_active(power), (hz > HOLE_FROM_HZ) & (hz < bandwidth_hz - HOLE_EDGE_HZ))] + FLOOR
    if not cells.size:
        return 0.0
    return float(np.mean(cells < np.median(cells, axis=1, keepdims=True) * 10 ** (-HOLE_DB / 10)))


def _is_music(power: np.ndarray) -> bool:
    """Few pauses and syllables in the level, and partials that stay where they are for 128 ms."""
    level = np.sqrt(power.sum(axis=1))
    if not level.any() or level.std() >= MUSIC_LEVEL_VARIATION * level.mean():
        return False
    return _steadiness(power) >= MUSIC_STEADINESS


def _steadiness(power: np.ndarray) -> float:
    """Mean correlation of the spectra's fine structure (log power less its local mean), STEADY_FRAMES apart."""
    log = np.log(power[:, 1 : 1 + STEADY_BINS] + FLOOR)
    sums = np.cumsum(np.pad(log, ((0, 0), (STEADY_AROUND + 1, STEADY_AROUND)), mode="edge"), axis=1)
    width = 2 * STEADY_AROUND + 1
    fine = log - (sums[:, width:] - sums[:, :-width]) / width
    active = _active(power)
    both = active[:-STEADY_FRAMES] & active[STEADY_FRAMES:]
    if not both.any():
        return 0.0
    before, after = fine[:-STEADY_FRAMES][both], fine[STEADY_FRAMES:][both]
    norms = np.sqrt((before**2).sum(axis=1) * (after**2).sum(axis=1))
    return float(np.mean((before * after).sum(axis=1) / (norms + FLOOR)))
