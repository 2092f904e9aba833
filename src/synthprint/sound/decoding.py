"""A file becomes a wave: its streams found, each decoded to its true end, one channel made of several, resampled.

A file is read once (see `tracks`). Only where its channels or an offset ask for it, it is read a second time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint.errors import AudioError
from synthprint.sound import foreign, quiet
from synthprint.sound.channels import AUTO, ChannelError, Meter, Mix, first_mix
from synthprint.sound.tracks import Stamp, Track, opened
from synthprint.sound.waves import SAMPLE_RATE, AnyWave, WaveStore, blocks, extremes, resampled

MAX_DURATION_S = 4 * 3600.0  # a longer file is refused
MIN_DURATION_S = 0.05  # below this there is not one pitch period to look at
IN_MEMORY_S = 120.0  # a longer wave lies in a temporary file: 230 MB an hour
RESAMPLER_MARGIN_S = 0.1  # context decoded around a section, so that the resampler's edges fall outside it
MAX_PEAK = 10.0  # a lossy decoder may pass full scale by some dB; what passes it by 20 dB is scaled otherwise
DECODING_S = 1800.0  # for one file, on a clock


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded file.

    Attributes:
        wave: [T] float32 at 16 kHz, within ±1; a long one lies in a temporary file.
        remarks: what is odd about the file, in sentences without a subject: "has a header that …".
        stamp: of the file, when it was read.
        sha256: hex, of the bytes of a clip that was fetched; None of a file of this machine.
    """

    wave: AnyWave
    remarks: tuple[str, ...]
    stamp: Stamp
    sha256: str | None = None


class LongSound(Exception):
    """A file is longer than what is kept in memory; raised only where that was asked for."""


def decode(path: Path, channel: str = AUTO, in_memory: bool = False) -> Sound:
    """All audio of a file.

    Args:
        channel: "auto", "mean", "side", or a channel's number, from 1.
        in_memory: give up where the wave is longer than IN_MEMORY_S.

    Raises:
        AudioError: see `audio.load`.
        LongSound: it was given up.
    """
    store = WaveStore(round(IN_MEMORY_S * SAMPLE_RATE))
    remarks: list[str] = []
    with opened(path) as source, room(path):
        claimed_s = sum(track.duration_s or 0.0 for track in source.tracks)
        if claimed_s > MAX_DURATION_S:
            raise too_long(path, claimed_s)
        if in_memory and claimed_s > IN_MEMORY_S:
            raise LongSound
        for track in source.tracks:
            remarks += _rendered(source.path, track, channel, store, in_memory)
        remarks = [*source.remarks, *remarks]
        if not len(store) and not source.native:
            raise AudioError(path, "has no audio that decodes; it breaks off or is damaged: copy or export it again")
        return Sound(checked(store.wave(), path), tuple(dict.fromkeys(remarks)), source.stamp)


@contextmanager
def room(path: Path) -> Iterator[None]:
    """Turn an error of the disk, where a long wave is put aside, into one of `path`.

    Raises:
        AudioError: there was one.
    """
    try:
        yield
    except OSError as error:
        remedy = "make room in the folder for temporary files (TMPDIR names another)"
        reason = f"is long, and cannot be put aside while it is examined ({error.strerror}); {remedy}"
        raise AudioError(path, reason) from error


def section(path: str | Path, track: Track, first: int, count: int | None, channel: str) -> np.ndarray:
    """`count` samples of a track that libsndfile reads, from `first` on, both at SAMPLE_RATE; None: all that follow.

    Returns:
        [T] float32.
    """
    rate = track.rate
    # The context before the section starts at a multiple of `step` native samples, which is a whole number of ours.
    step = rate // math.gcd(rate, SAMPLE_RATE)
    margin = round(RESAMPLER_MARGIN_S * rate)
    begin = max(0, first * rate // SAMPLE_RATE - margin) // step * step
    frames = track.frames or 0
    end = frames if count is None else min(frames, -(-(first + count) * rate // SAMPLE_RATE) + margin)
    if begin >= frames or track.opening is None:
        return np.zeros(0, np.float32)
    with track.opening() as file, quiet.decoding():
        file.seek(begin)
        samples = file.read(end - begin, dtype="float32", always_2d=True)
    mono, _ = mixed(samples, rate, path, channel)
    wave = np.concatenate([np.zeros(0, np.float32), *resampled(iter([mono]), rate)])
    skip = first - begin * SAMPLE_RATE // rate
    return wave[skip : None if count is None else skip + count]


def mixed(samples: np.ndarray, rate: int, path: str | Path, channel: str = AUTO) -> tuple[np.ndarray, tuple[str, ...]]:
    """Samples [n, channels] at `rate` Hz -> one channel [n] without an offset, and what is odd about them.

    Args:
        path: names them in errors.

    Raises:
        AudioError: there is no such channel.
    """
    try:
        mix = first_mix(channel, samples.shape[1])
    except ChannelError as error:
        raise AudioError(path, str(error)) from error
    meter = Meter(samples.shape[1], rate)
    meter.add(samples)
    choice, remark = meter.choice(mix, channel)
    return choice(samples), (remark,) if remark else ()


def _rendered(path: Path, track: Track, channel: str, store: WaveStore, in_memory: bool) -> list[str]:
    """Decode a track into `store`; returns what is odd about it."""
    try:
        mix, start = first_mix(channel, track.channels), len(store)
    except ChannelError as error:
        raise AudioError(path, str(error)) from error
    meter = Meter(track.channels, track.rate)
    _gather(_mixed(track.blocks(), mix, meter), track.rate, path, store, in_memory)
    choice, remark = meter.choice(mix, channel)
    if choice != mix:
        store.cut(start)
        _gather(_mixed(track.blocks(), choice), track.rate, path, store, in_memory)
    return [remark, *track.remarks] if remark else track.remarks


def _mixed(frames: Iterator[np.ndarray], mix: Mix, meter: Meter | None = None) -> Iterator[np.ndarray]:
    for block in frames:
        if meter:
            meter.add(block)
        yield mix(block)


def _gather(waves: Iterator[np.ndarray], rate: int, path: Path, store: WaveStore, in_memory: bool = False) -> None:
    """All blocks [n] at `rate` into `store`; stops where a header lied and the audio does not end."""
    until = time.monotonic() + DECODING_S
    for block in resampled(waves, rate):
        if in_memory and len(store) + len(block) > store.most:
            raise LongSound
        store.append(block)
        if len(store) > MAX_DURATION_S * SAMPLE_RATE:
            raise too_long(path, len(store) / SAMPLE_RATE)
        if time.monotonic() > until:
            raise AudioError(path, foreign.TOO_SLOW)


def checked(wave: AnyWave, path: str | Path) -> AnyWave:
    """`wave` clipped to ±1, if it can be used at all; `path` names it in errors.

    Raises:
        AudioError: not finite, far beyond full scale, or shorter than MIN_DURATION_S.
    """
    if len(wave) < MIN_DURATION_S * SAMPLE_RATE:
        seconds = len(wave) / SAMPLE_RATE
        raise AudioError(path, f"holds {seconds:.3f} s of audio; at least {MIN_DURATION_S} s are needed")
    low, high = extremes(wave)
    peak = max(high, -low)
    if not math.isfinite(peak):
        raise AudioError(path, "has samples that are not numbers (NaN or infinite); export it again")
    if peak > MAX_PEAK:
        raise AudioError(path, f"has samples up to {peak:.3g} where full scale is 1; export it again, scaled to ±1")
    if peak <= 1.0:
        return wave
    if isinstance(wave, np.ndarray):
        return np.clip(wave, -1.0, 1.0)
    store = WaveStore(0)
    for block in blocks(wave):
        store.append(np.clip(block, -1.0, 1.0))
    return store.wave()


def too_long(path: Path, seconds: float) -> AudioError:
    """The error for a file of more than MAX_DURATION_S."""
    return AudioError(path, f"lasts {seconds / 3600:.1f} h; at most {MAX_DURATION_S / 3600:.0f} h: cut it into parts")
