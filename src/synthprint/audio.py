"""Any file in, 16 kHz mono float32 out; and the windows that cover it.

*Conventions.* A wave is a one-dimensional float32 array at `SAMPLE_RATE`, full scale at ±1. Channels are
averaged. Lengths in samples are `n_samples`, in seconds `duration_s`.

libsndfile decodes what it can (wav, flac, ogg, opus, mp3, aiff, …); everything else (m4a, aac, mp4, webm,
amr, …) goes to ffmpeg (see `foreign`). Whatever a header claims, a file is decoded in blocks of a few
megabytes, and given up where it gets too long.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import foreign
from synthprint.background import in_order
from synthprint.errors import AudioError

SAMPLE_RATE = 16_000  # Hz
MAX_DURATION_S = 4 * 3600.0  # a longer file is refused: its samples alone would take 920 MB
MIN_DURATION_S = 0.05  # below this there is not one pitch period to look at
RATES = (1_000, 1_000_000)  # Hz; a header that claims another sample rate is damaged
SILENCE = 1e-5  # a wave whose peak is below this (-100 dBFS) holds nothing
SILENT = "is silent: there is nothing in it to look at"  # the reason that an error gives for such a wave
MAX_PEAK = 10.0  # a lossy decoder may pass full scale by some dB; what passes it by 20 dB is scaled otherwise
RESAMPLER_MARGIN_S = 0.1  # context decoded around a crop, so that the resampler's edges fall outside it


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: native `sample_rate` in Hz, `channels`, `duration_s`, container and coding."""

    sample_rate: int
    channels: int
    duration_s: float
    format: str
    subtype: str


def info(path: str | Path) -> AudioInfo:
    """Read the header of a file.

    Raises:
        AudioError: it is missing, empty, or not audio.
    """
    path = _existing(path)
    file = _open(path)
    if file is None:
        wave = _decode_foreign(path)  # no header to trust: the length is that of what decodes
        return AudioInfo(SAMPLE_RATE, 1, len(wave) / SAMPLE_RATE, path.suffix.lstrip(".").upper(), "")
    with file:
        return AudioInfo(file.samplerate, file.channels, file.frames / file.samplerate, file.format, file.subtype)


def load(path: str | Path, start_s: float = 0.0, duration_s: float | None = None) -> np.ndarray:
    """Decode a file, or the part of it from `start_s` on, to 16 kHz mono.

    Where libsndfile can seek, only the part asked for is decoded. Lossy codecs may pass full scale a little;
    what does is clipped, as any player would.

    Returns:
        float32 [T], within ±1.

    Raises:
        AudioError: missing, empty, truncated to nothing, not audio, not finite, not scaled to ±1, longer than
            MAX_DURATION_S, or shorter than MIN_DURATION_S.
    """
    path = _existing(path)
    first = round(start_s * SAMPLE_RATE)
    count = None if duration_s is None else round(duration_s * SAMPLE_RATE)
    file = _open(path)
    if file is None:
        wave = _decode_foreign(path)[first:]
        return checked(wave if count is None else wave[:count], path)
    import soundfile

    with file:
        try:
            return checked(_decode(file, path, first, count), path)
        except soundfile.LibsndfileError as error:
            raise AudioError(path, f"breaks off or is damaged ({error}); copy or export it again") from error


def decoded(paths: Sequence[Path]) -> Iterator[np.ndarray | AudioError]:
    """Each of `paths` decoded (see `load`), in order, a few ahead on all cores; an error takes its wave's place."""
    workers = os.cpu_count() or 1
    return in_order(_load_or_error, paths, workers, workers + 2)


def _load_or_error(path: Path) -> np.ndarray | AudioError:
    try:
        return load(path)
    except AudioError as error:
        return error


def checked(wave: np.ndarray, path: str | Path) -> np.ndarray:
    """`wave` clipped to ±1, if it can be used at all; `path` names it in errors.

    Raises:
        AudioError: not finite, far beyond full scale, or shorter than MIN_DURATION_S.
    """
    if len(wave) < MIN_DURATION_S * SAMPLE_RATE:
        seconds = len(wave) / SAMPLE_RATE
        raise AudioError(path, f"holds {seconds:.3f} s of audio; at least {MIN_DURATION_S} s are needed")
    peak = max(float(wave.max()), -float(wave.min()))
    if not math.isfinite(peak):
        raise AudioError(path, "has samples that are not numbers (NaN or infinite); export it again")
    if peak > MAX_PEAK:
        raise AudioError(path, f"has samples up to {peak:.3g} where full scale is 1; export it again, scaled to ±1")
    return np.clip(wave, -1.0, 1.0) if peak > 1.0 else wave


def is_silent(wave: np.ndarray) -> bool:
    """Whether nothing in `wave` [T] rises above SILENCE."""
    return bool(max(wave.max(initial=0.0), -wave.min(initial=0.0)) < SILENCE)


def resample(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """A wave [T] at `sample_rate` Hz brought to SAMPLE_RATE; float32."""
    if sample_rate == SAMPLE_RATE:
        return np.ascontiguousarray(wave, dtype=np.float32)
    import soxr

    return np.asarray(soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ"), np.float32)


def wrap(wave: np.ndarray, n_samples: int) -> np.ndarray:
    """`wave` [T], repeated from its start until it fills `n_samples` where it is shorter."""
    if len(wave) >= n_samples:
        return wave
    return np.resize(wave, n_samples)


def crop(wave: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of `wave` [T], `n_samples` long; a shorter wave is wrapped."""
    wave = wrap(wave, n_samples)
    start = int(rng.integers(len(wave) - n_samples + 1))
    return wave[start : start + n_samples]


def window_starts(length: int, window: int) -> np.ndarray:
    """Where the windows that cover `length` samples start: evenly spaced, the last ends at the end.

    As few windows as cover everything; a clip no longer than one window has one, at 0 (see `wrap`).

    Returns:
        int64 [W], in samples.
    """
    count = max(1, -(-length // window))
    return np.linspace(0, max(0, length - window), count).round().astype(np.int64)


def windows(wave: np.ndarray, window: int) -> np.ndarray:
    """The windows [W, window] that cover `wave` [T]; a copy."""
    wave = wrap(wave, window)
    return np.stack([wave[start : start + window] for start in window_starts(len(wave), window)])


def _existing(path: str | Path) -> Path:
    path = Path(path)
    try:
        if path.is_dir():
            raise AudioError(path, "is a folder, not an audio file")
        if path.stat().st_size == 0:
            raise AudioError(path, "is empty (0 bytes)" if path.is_file() else "is not a regular file")
        with open(path, "rb"):
            return path
    except FileNotFoundError:
        raise AudioError(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise AudioError(path, f"cannot be read: {error}") from error


def _open(path: Path) -> Any:
    """The file opened by libsndfile, or None where that does not read it.

    Raises:
        AudioError: its header is impossible.
    """
    import soundfile

    try:
        file = soundfile.SoundFile(os.fsencode(path))  # a name need not be UTF-8
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw, which may hold anything
        return None
    _check_rate(file.samplerate, path)
    return file


def _too_long(path: Path, seconds: float) -> AudioError:
    return AudioError(path, f"lasts {seconds / 3600:.1f} h; at most {MAX_DURATION_S / 3600:.0f} h: cut it into parts")


def _decode(file: Any, path: Path, first: int, count: int | None) -> np.ndarray:
    """`count` samples from `first` on, both at SAMPLE_RATE; all that follow where `count` is None."""
    rate = file.samplerate
    if count is None and file.frames / rate - first / SAMPLE_RATE > MAX_DURATION_S:
        raise _too_long(path, file.frames / rate)
    if first == 0 and count is None:
        return _gather(_resampled(_blocks(file, file.frames), rate), path)
    # The context before the crop starts at a multiple of `step` native samples, which is a whole number of ours.
    step = rate // math.gcd(rate, SAMPLE_RATE)
    margin = round(RESAMPLER_MARGIN_S * rate)
    begin = max(0, first * rate // SAMPLE_RATE - margin) // step * step
    end = file.frames if count is None else min(file.frames, -(-(first + count) * rate // SAMPLE_RATE) + margin)
    if begin >= file.frames:
        return np.zeros(0, np.float32)
    file.seek(begin)
    wave = _gather(_resampled(_blocks(file, end - begin), rate), path)
    skip = first - begin * SAMPLE_RATE // rate
    return wave[skip : None if count is None else skip + count]


def _blocks(file: Any, frames: int) -> Iterator[np.ndarray]:
    """The next `frames` of a sound file, mono, in blocks [T]."""
    size = max(1, foreign.BLOCK_VALUES // file.channels)
    while frames > 0:
        block = file.read(min(size, frames), dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        frames -= len(block)
        yield block[:, 0] if file.channels == 1 else block.mean(axis=1)  # a mean of one would copy it


def _resampled(blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Blocks [T] at `rate` Hz -> blocks [T'] at SAMPLE_RATE, with no seam."""
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _gather(blocks: Iterator[np.ndarray], path: Path) -> np.ndarray:
    """All blocks as one wave; stops where a header lied and the audio does not end."""
    gathered: list[np.ndarray] = []
    total = 0
    for block in blocks:
        gathered.append(block)
        total += len(block)
        if total > MAX_DURATION_S * SAMPLE_RATE:
            raise _too_long(path, total / SAMPLE_RATE)
    if len(gathered) == 1:  # most files: not copied
        return gathered[0]
    return np.concatenate(gathered) if gathered else np.zeros(0, np.float32)


def _decode_foreign(path: Path) -> np.ndarray:
    """What libsndfile does not read."""
    with foreign.opened(path) as (rate, blocks):
        _check_rate(rate, path)
        wave = _gather(_resampled(blocks, rate), path)
    if len(wave) == 0:
        raise AudioError(path, "has no audio that decodes; it breaks off or is damaged: copy or export it again")
    return wave


def _check_rate(rate: int, path: Path) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(path, f"claims a sample rate of {rate} Hz; its header is damaged: export it again")
