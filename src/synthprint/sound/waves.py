"""Waves: 16 kHz mono float32, full scale at ±1; crops, windows, and long ones that are not kept in memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from synthprint.reading.doors import read_at

SAMPLE_RATE = 16_000  # Hz
SILENCE = 1e-5  # a wave whose peak is below this (-100 dBFS) holds nothing
SILENT = "is silent: there is nothing in it to look at"  # the reason that an error gives for such a wave
BLOCK_SAMPLES = 60 * SAMPLE_RATE  # that are read at a time where a wave is gone through
SAMPLE_BYTES = 4


class SampleFile:
    """A temporary file of float32 samples without a name; it goes when nobody holds this object.

    Raises:
        OSError: there is no room for one.
    """

    def __init__(self) -> None:
        import tempfile

        self.file = tempfile.TemporaryFile(prefix="synthprint-")  # noqa: SIM115 - closed below
        weakref.finalize(self, self.file.close)


class StoredWave:
    """A long wave [T] in a temporary file; `wave[start:end]` reads what is asked for.

    Args:
        samples: where it lies.
        start, length: which of the samples the wave is.
    """

    def __init__(self, samples: SampleFile, start: int, length: int) -> None:
        self._samples, self._start, self._length = samples, start, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: slice) -> np.ndarray:
        first, last, step = key.indices(self._length)
        count = max(0, last - first) * SAMPLE_BYTES
        data = read_at(self._samples.file.fileno(), count, (self._start + first) * SAMPLE_BYTES)
        samples: np.ndarray = np.frombuffer(data, np.float32)[::step]
        return samples

    def part(self, start: int, end: int) -> StoredWave:
        """The samples from `start` to before `end`, not read yet."""
        return StoredWave(self._samples, self._start + start, min(end, self._length) - start)

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest sample."""
        pairs = [extremes(block) for block in blocks(self)]
        return min(low for low, _ in pairs), max(high for _, high in pairs)


AnyWave = np.ndarray | StoredWave


def part(wave: AnyWave, start: int, end: int) -> AnyWave:
    """The samples from `start` to before `end`, of a stored wave not read yet."""
    return wave.part(start, end) if isinstance(wave, StoredWave) else wave[start:end]


def blocks(wave: AnyWave, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
    """A wave [T] in blocks of `size` samples; the last is shorter."""
    for start in range(0, len(wave), size):
        yield wave[start : start + size]


def extremes(wave: AnyWave) -> tuple[float, float]:
    """The lowest and the highest sample; not a number, where one is none; 0, where there is none."""
    if isinstance(wave, StoredWave):
        return wave.extremes
    return (float(wave.min()), float(wave.max())) if len(wave) else (0.0, 0.0)


def is_silent(wave: AnyWave) -> bool:
    """Whether nothing in `wave` [T] rises above SILENCE."""
    low, high = extremes(wave)
    return max(high, -low) < SILENCE


def resample(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """A wave [T] at `sample_rate` Hz brought to SAMPLE_RATE; float32."""
    if sample_rate == SAMPLE_RATE:
        return np.ascontiguousarray(wave, dtype=np.float32)
    import soxr

    return np.asarray(soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ"), np.float32)


def resampled(waves: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Blocks [T] at `rate` Hz -> blocks [T'] at SAMPLE_RATE, with no seam."""
    if rate == SAMPLE_RATE:
        yield from waves
        return
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in waves:
        yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


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


class WaveStore:
    """Gathers blocks [n] into a wave: in memory as long as it is short, then in a temporary file.

    Args:
        most: samples that are kept in memory.
    """

    def __init__(self, most: int) -> None:
        self.most, self._length = most, 0
        self._gathered: list[np.ndarray] = []
        self._stored: SampleFile | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, block: np.ndarray) -> None:
        """Add samples at the end.

        Raises:
            OSError: there is no room for a temporary file.
        """
        self._length += len(block)
        if self._stored is None and self._length <= self.most:
            self._gathered.append(block)
            return
        if self._stored is None:
            self._stored = SampleFile()
            earlier, self._gathered = self._gathered, []
            for samples in earlier:
                self._write(samples)
        self._write(block)

    def _write(self, block: np.ndarray) -> None:
        if self._stored is not None:
            self._stored.file.write(np.ascontiguousarray(block, np.float32).data)

    def cut(self, length: int) -> None:
        """Forget what lies behind the first `length` samples."""
        if self._stored is not None:
            self._stored.file.seek(length * SAMPLE_BYTES)
            self._stored.file.truncate()
        else:
            self._gathered = [np.asarray(self.wave()[:length])] if length else []
        self._length = length

    def wave(self) -> AnyWave:
        """All of it, [T] float32.

        Raises:
            OSError: there is no room for it.
        """
        if self._stored is not None:
            self._stored.file.flush()
            return StoredWave(self._stored, 0, self._length)
        if len(self._gathered) == 1:  # most files: not copied
            return self._gathered[0]
        return np.concatenate(self._gathered) if self._gathered else np.zeros(0, np.float32)
