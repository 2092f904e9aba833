"""What state a clip is in, from its samples alone; and whether that is within what an extractor was validated on.

*Conventions.* Frames are 32 ms long, 16 ms apart, with a Hann window; levels are in dB re full scale. A clip is taken
in blocks of BLOCK_S; of more than SPECTRAL_BLOCKS, the spectral figures are those of so many, evenly spread. How good
each estimate is was measured: docs/limits.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from synthprint import audio, files
from synthprint.audio import SAMPLE_RATE
from synthprint.checkpoint import measured_for
from synthprint.errors import AudioError, CheckpointError
from synthprint.linting.inspection import BAND_EDGE_DB, FRAME_S, SILENCE_BELOW_PEAK_DB, frame_powers
from synthprint.schemas import Refused, Text, checked, made, table_of
from synthprint.sound.waves import AnyWave, extremes

FRAME, HOP = 512, 256  # samples
BLOCK_S, SPECTRAL_BLOCKS = 10.0, 18
LIMITS = "limits.json"  # in a checkpoint's folder
GREATEST = 1e9  # value of a limit, of whatever sign
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
    """The state of a clip.

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


@dataclass(frozen=True)
class Limits:
    """The conditions that an extractor was validated under; None where there is no limit.

    Attributes:
        min_duration_s ... max_hole_share: the least and the most of the condition of that name.
        music: whether music is within them.
        basis: what they were derived from, in words.

    Raises:
        CheckpointError: the basis cannot be printed.
    """

    min_duration_s: float | None = None
    min_bandwidth_hz: float | None = None
    min_snr_db: float | None = None
    min_peak_db: float | None = None
    max_clipped_share: float | None = None
    max_silence_share: float | None = None
    max_hole_share: float | None = None
    music: bool = False
    basis: str = ""

    def __post_init__(self) -> None:
        if not self.basis.isprintable():
            raise CheckpointError("limits: basis is not a line of printable text")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is not limited is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Limits:
        """What `to_dict` gave.

        Raises:
            CheckpointError: there is something else in it.
        """
        try:
            return made(cls, checked(values, _Limits, ("limits",)))
        except Refused as error:
            raise CheckpointError(str(error)) from error

    def save(self, folder: Path, extractor: str) -> None:
        """Write `limits.json` into a checkpoint's folder; `extractor` is the digest that they were measured for."""
        files.write_json(folder / LIMITS, {"extractor": extractor, "limits": self.to_dict()})

    @classmethod
    def load(cls, folder: Path, extractor: str) -> Limits | None:
        """Those of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged.
        """
        remedy = "take it away, or make it again: synthprint stress"
        return measured_for(folder, LIMITS, extractor, _LimitsFile, lambda table: made(cls, table.limits), remedy)


_Bound: Any = Annotated[float, Meta(ge=-GREATEST, le=GREATEST)] | None
_Limits = table_of(Limits, **{field.name: _Bound for field in fields(Limits) if field.type == "float | None"})
_LimitsFile = msgspec.defstruct("LimitsFile", [("extractor", Text), ("limits", _Limits)], forbid_unknown_fields=True)


# limit -> (how its condition is told, its number, what it means)
_WORDS: Mapping[str, tuple[str, str, str]] = {
    "min_duration_s": ("lasts {}", "{:.3g} s", "too little speech: sources are confused more often"),
    "min_bandwidth_hz": ("reaches up to {}", "{:.0f} Hz", "what tells sources apart above that is missing"),
    "min_snr_db": (
        "seems to have a signal-to-noise ratio of {}",
        "{:.1f} dB",
        "noise, or reverberation, hides what tells sources apart",
    ),
    "min_peak_db": ("peaks at {} re full scale", "{:.1f} dB", "it is so soft that its quantisation is heard"),
    "max_clipped_share": ("has {} of its samples clipped", "{:.2%}", "clipping adds what no synthesizer made"),
    "max_silence_share": ("is silent for {} of its length", "{:.1%}", "little of it is speech"),
    "max_hole_share": (
        "has {} of its spectrum emptied, as by a codec at a low bitrate",
        "{:.2%}",
        "the codec took away what sources are told by",
    ),
}


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
    chosen = np.unique(np.linspace(0, len(bounds) - 1, SPECTRAL_BLOCKS).round().astype(int))
    power = np.concatenate([_spectrogram(wave[slice(*bounds[i])]) for i in chosen])
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


def beyond(found: Conditions, limits: Limits) -> tuple[str, ...]:
    """The limits that a clip is beyond, by their names in `Limits`; empty where there is none."""
    broken = [name for name in _WORDS if _is_beyond(name, found, limits)]
    return (*broken, *(["music"] if found.music and not limits.music else []))


def outside(found: Conditions, limits: Limits) -> tuple[str, ...]:
    """As `beyond`, in words, with what it means for an answer."""
    return tuple(_told(name, found, limits) for name in beyond(found, limits))


def _is_beyond(name: str, found: Conditions, limits: Limits) -> bool:
    bound, condition = name.split("_", 1)
    limit, value = getattr(limits, name), getattr(found, condition)
    return limit is not None and (value < limit if bound == "min" else value > limit)


def _told(name: str, found: Conditions, limits: Limits) -> str:
    if name == "music":
        return "the clip sounds like music: only speech was validated, and the answer may mean nothing"
    bound, condition = name.split("_", 1)
    told, number, meaning = _WORDS[name]
    value, limit = (number.format(one) for one in (getattr(found, condition), getattr(limits, name)))
    return f"the clip {told.format(value)} (validated: at {'least' if bound == 'min' else 'most'} {limit}); {meaning}"


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
