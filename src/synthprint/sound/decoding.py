"""A file becomes a wave: its streams found, each decoded to its true end, one channel made of several, resampled.

libsndfile decodes what it can (wav, flac, ogg, opus, mp3, aiff, …) in this process, a few megabytes at a time;
everything else (m4a, aac, mp4, webm, amr, …) goes to ffmpeg (see `foreign`). A file is read once. Only where its
channels or an offset ask for it, it is read a second time.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.errors import AudioError
from synthprint.sound import foreign, quiet
from synthprint.sound.channels import AUTO, ChannelError, Meter, Mix, first_mix
from synthprint.sound.containers.layout import layout
from synthprint.sound.containers.parts import FileBytes, Part, PartFile, disagreement, duration
from synthprint.sound.waves import SAMPLE_RATE, AnyWave, WaveStore, blocks, extremes, resampled

MAX_DURATION_S = 4 * 3600.0  # a longer file is refused
MIN_DURATION_S = 0.05  # below this there is not one pitch period to look at
IN_MEMORY_S = 120.0  # a longer wave lies in a temporary file: 230 MB an hour
RATES = (1_000, 1_000_000)  # Hz; a header that claims another sample rate is damaged
RESAMPLER_MARGIN_S = 0.1  # context decoded around a section, so that the resampler's edges fall outside it
MAX_PEAK = 10.0  # a lossy decoder may pass full scale by some dB; what passes it by 20 dB is scaled otherwise
UNKNOWN_FRAMES = 1 << 48  # a length from here on stands for "not known"
SALVAGED_FRAMES = 1 << 10  # that are read at a time where a decoder has failed
LACKING_FRAMES = 1 << 13  # by which what decodes may fall short of a header without a word
DECODING_S = 1800.0  # for one file, on a clock
CHANGED = "was changed while it was examined; examine it again"
VANISHED = "was there, and vanished while it was examined"
Stamp = tuple[int, int, int, int]  # device, number, bytes, and time of the last change in ns of an open file


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded file.

    Attributes:
        wave: [T] float32 at 16 kHz, within ±1; a long one lies in a temporary file.
        remarks: what is odd about the file, in sentences without a subject: "has a header that …".
        stamp: of the file, when it was read.
    """

    wave: AnyWave
    remarks: tuple[str, ...]
    stamp: Stamp


@dataclass
class Track:
    """One stream of audio in a file.

    Attributes:
        rate, channels: in Hz, as its header says.
        blocks: reads it from its start, in blocks [n, channels].
        frames: that its header counts; None where that is not known.
        format, subtype: container and coding, by libsndfile's names.
        opening: opens it with libsndfile, where that reads it.
        remarks: what is odd about it, complete once its blocks have ended.
    """

    rate: int
    channels: int
    blocks: Callable[[], Iterator[np.ndarray]]
    frames: int | None = None
    format: str = ""
    subtype: str = ""
    opening: Callable[[], Any] | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float | None:
        """By its header; None where that gives none."""
        return None if self.frames is None else self.frames / self.rate


@dataclass
class Source:
    """A file that is open: its tracks in order, what is odd about it, and whether libsndfile reads it."""

    path: Path
    tracks: list[Track]
    remarks: list[str]
    stamp: Stamp
    native: bool


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
    with opened(path) as source:
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


def section(path: Path, track: Track, first: int, count: int | None, channel: str) -> np.ndarray:
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
    mono, _ = mixed(samples, path, channel)
    wave = np.concatenate([np.zeros(0, np.float32), *resampled(iter([mono]), rate)])
    skip = first - begin * SAMPLE_RATE // rate
    return wave[skip : None if count is None else skip + count]


def mixed(samples: np.ndarray, path: str | Path, channel: str = AUTO) -> tuple[np.ndarray, tuple[str, ...]]:
    """Samples [n, channels] -> one channel [n] without an offset, and what is odd about them; `path` names them.

    Raises:
        AudioError: there is no such channel.
    """
    try:
        mix = first_mix(channel, samples.shape[1])
    except ChannelError as error:
        raise AudioError(path, str(error)) from error
    meter = Meter(samples.shape[1])
    meter.add(samples)
    choice, remark = meter.choice(mix, channel)
    return choice(samples), (remark,) if remark else ()


def _rendered(path: Path, track: Track, channel: str, store: WaveStore, in_memory: bool) -> list[str]:
    """Decode a track into `store`; returns what is odd about it."""
    try:
        mix, start = first_mix(channel, track.channels), len(store)
    except ChannelError as error:
        raise AudioError(path, str(error)) from error
    meter = Meter(track.channels)
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
    try:
        for block in resampled(waves, rate):
            if in_memory and len(store) + len(block) > store.most:
                raise LongSound
            store.append(block)
            if len(store) > MAX_DURATION_S * SAMPLE_RATE:
                raise too_long(path, len(store) / SAMPLE_RATE)
            if time.monotonic() > until:
                raise AudioError(path, foreign.TOO_SLOW)
    except OSError as error:
        remedy = "make room in the folder for temporary files (TMPDIR names another)"
        raise AudioError(path, f"is long, and cannot be put aside while it is examined ({error.strerror}); {remedy}") \
            from error  # fmt: skip


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


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The tracks of a file.

    Raises:
        AudioError: it is missing, empty, not a regular file or not audio; at the end of the block: it was changed, or
            taken away, while it was read.
    """
    path = Path(path)
    descriptor, stamp = _open(path)
    try:
        data = FileBytes(descriptor, stamp[2])
        with quiet.decoding():
            laid_out = layout(data)
            native = _native_tracks(path, descriptor, laid_out.parts or (data.whole(),), as_it_is=not laid_out.parts)
        if native:
            yield Source(path, native, list(laid_out.remarks), stamp, native=True)
        else:
            with foreign.opened(path) as track:
                _check_rate(track.rate, path)
                again = _again(path, track)
                first = Track(track.rate, track.channels, again, remarks=track.remarks)
                yield Source(path, [first], [], stamp, native=False)
        check_unchanged(path, stamp)
    finally:
        os.close(descriptor)


def _again(path: Path, track: foreign.ForeignTrack) -> Callable[[], Iterator[np.ndarray]]:
    """Reads a foreign track: the first time what is open already, then anew."""
    first = [track.blocks]

    def frames() -> Iterator[np.ndarray]:
        if first:
            yield from first.pop()
            return
        with foreign.opened(path) as anew:
            yield from anew.blocks

    return frames


def _open(path: Path) -> tuple[int, Stamp]:
    """The descriptor and the stamp of a regular file that is not empty."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for its writer
    except FileNotFoundError:
        reason = "is a link to a file that is not there" if path.is_symlink() else "no such file"
        raise AudioError(path, reason) from None
    except (OSError, ValueError) as error:
        raise AudioError(path, f"cannot be read: {error}") from error
    found = os.fstat(descriptor)
    reason = ""
    if stat.S_ISDIR(found.st_mode):
        reason = "is a folder, not an audio file"
    elif not stat.S_ISREG(found.st_mode):
        reason = "is not a regular file"
    elif not found.st_size:
        reason = "is empty (0 bytes)"
    if reason:
        os.close(descriptor)
        raise AudioError(path, reason)
    return descriptor, _stamp(found)


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def check_unchanged(path: Path, stamp: Stamp) -> None:
    """Make sure that a file is still the one that was read.

    Raises:
        AudioError: it is not.
    """
    try:
        now = _stamp(path.stat())
    except (OSError, ValueError):
        raise AudioError(path, VANISHED) from None
    if now != stamp:
        raise AudioError(path, CHANGED)


def _native_tracks(path: Path, descriptor: int, parts: tuple[Part, ...], as_it_is: bool) -> list[Track]:
    """The parts as libsndfile reads them; none, where it does not read the first.

    Raises:
        AudioError: a header is impossible.
    """
    tracks: list[Track] = []
    for part in parts:
        opening = _opening(path, descriptor, None if as_it_is else part)
        file = opening()
        if file is None:
            if not tracks:
                return []
            tracks[-1].remarks.append(f"has {part.end - part.start:,} bytes that are not decoded: they were left out")
            continue
        with file:
            _check_rate(file.samplerate, path)
            frames = file.frames if 0 <= file.frames < UNKNOWN_FRAMES else None
            track = Track(file.samplerate, file.channels, lambda: iter(()), frames, file.format, file.subtype, opening)
        track.blocks = _reading(opening, track)
        tracks.append(track)
    return tracks


def _opening(path: Path, descriptor: int, part: Part | None) -> Callable[[], Any]:
    """Opens a part of a file, or the file as it is, with libsndfile; None where that does not read it."""

    def opening() -> Any:
        import soundfile

        try:
            return soundfile.SoundFile(os.fsencode(path) if part is None else PartFile(descriptor, part))
        except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw, which may hold anything
            return None

    return opening


def _reading(opening: Callable[[], Any], track: Track) -> Callable[[], Iterator[np.ndarray]]:
    def frames() -> Iterator[np.ndarray]:
        import soundfile

        track.remarks.clear()
        size = max(1, foreign.BLOCK_VALUES // track.channels)
        count = 0
        with opening() as file:
            while True:
                try:
                    with quiet.decoding():
                        block = file.read(size, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError:
                    for block in _salvaged(opening, count):
                        count += len(block)
                        yield block
                    track.remarks.append(f"cannot be decoded after {duration(count / track.rate)}: it is damaged")
                    return
                if not len(block):
                    break
                count += len(block)
                yield block
        if track.frames is not None and count < track.frames - LACKING_FRAMES:
            track.remarks.append(disagreement(track.frames / track.rate, count / track.rate))

    return frames


def _salvaged(opening: Callable[[], Any], start: int) -> Iterator[np.ndarray]:
    """The blocks from frame `start` on, as far as they decode."""
    import soundfile

    with suppress(soundfile.LibsndfileError), opening() as file:
        file.seek(start)
        while True:
            with quiet.decoding():
                block = file.read(SALVAGED_FRAMES, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


def too_long(path: Path, seconds: float) -> AudioError:
    """The error for a file of more than MAX_DURATION_S."""
    return AudioError(path, f"lasts {seconds / 3600:.1f} h; at most {MAX_DURATION_S / 3600:.0f} h: cut it into parts")


def _check_rate(rate: int, path: Path) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(path, f"claims a sample rate of {rate} Hz; its header is damaged: export it again")
