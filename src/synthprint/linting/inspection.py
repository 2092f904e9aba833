"""What can be said of an audio file without listening: is it usable, and its trivial traits.

*Conventions.* Levels are in dB re full scale. Channels are averaged, the native sample rate is kept, and the
file is read in blocks, so that a long recording needs no more memory than a short one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from synthprint import audio, doors
from synthprint.audio import AudioInfo
from synthprint.background import in_order
from synthprint.errors import AudioError
from synthprint.progress import track

Problem = Literal["missing-file", "empty-file", "unreadable-file", "not-finite", "too-short", "silent-file"]

AHEAD = 4096  # files handed to the threads before their results are taken
BLOCK_S = 10.0
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


@dataclass(frozen=True)
class Inspection:
    """One file: the `problem` that makes it unusable, with its `reason`; else what was found out.

    Attributes:
        sha256: of the file's bytes; "" where it is missing, empty or unreadable.
        info: what the header says.
        traits: where it was decoded.
    """

    problem: Problem | None = None
    reason: str = ""
    sha256: str = ""
    info: AudioInfo | None = None
    traits: Traits | None = None


def inspect(path: Path, *, decode: bool = True) -> Inspection:
    """Look at one file: its bytes and header, and with `decode` its samples. Never raises on account of the file."""
    try:
        return _inspect(path, decode)
    except AudioError as error:
        return Inspection("unreadable-file", error.reason)
    except Exception as error:  # one bad file must never end a run over a million
        return Inspection("unreadable-file", f"{type(error).__name__}: {error}")


def inspect_all(paths: Sequence[Path], decode: Sequence[bool], workers: int | None = None) -> list[Inspection]:
    """`inspect` for each of `paths`, in order, on `workers` threads (None: a few more than there are cores).

    Threads do, because reading, hashing, decoding and the FFT all release the interpreter.
    """
    threads = workers or (os.cpu_count() or 1) + 4
    jobs = zip(paths, decode, strict=True)
    seen = in_order(lambda job: inspect(job[0], decode=job[1]), jobs, threads, AHEAD)
    return list(track(seen, "looking at files", len(paths)))


def _inspect(path: Path, decode: bool) -> Inspection:
    if not path.exists():
        return Inspection("missing-file", "no such file")
    if path.is_file() and path.stat().st_size == 0:
        return Inspection("empty-file", "0 bytes")
    info = audio.info(path)
    digest = doors.sha256(path)
    if info.duration_s < audio.MIN_DURATION_S:
        return Inspection("too-short", f"holds {info.duration_s:.3f} s of audio", digest, info)
    if info.duration_s > audio.MAX_DURATION_S:
        return Inspection("unreadable-file", f"lasts {info.duration_s / 3600:.1f} h; cut it into parts", digest, info)
    return _decoded(path, digest, info) if decode else Inspection(sha256=digest, info=info)


def _decoded(path: Path, digest: str, info: AudioInfo) -> Inspection:
    traits = measure(_blocks(path, info), info.sample_rate)
    if traits is None:
        return Inspection("not-finite", "has samples that are not numbers (NaN or infinite)", digest, info)
    if traits.peak_db < 20 * np.log10(audio.SILENCE):
        return Inspection("silent-file", f"peaks at {traits.peak_db:.0f} dBFS", digest, info)
    return Inspection(sha256=digest, info=info, traits=traits)


def _blocks(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    """The file's samples [T], channels averaged, in blocks of BLOCK_S (the last is shorter)."""
    import soundfile

    try:
        file = soundfile.SoundFile(os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw, which may hold anything
        yield audio.load(path)  # what libsndfile does not read; `info` too has then seen it at SAMPLE_RATE
        return
    with file:
        # A whole number of level frames, so that the contour has no seam.
        size = round(BLOCK_S / FRAME_S) * max(1, round(FRAME_S * info.sample_rate))
        while len(block := file.read(size, dtype="float32", always_2d=True)):  # not `blocks`: it pads a cut mp3
            yield block.mean(axis=1)


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
