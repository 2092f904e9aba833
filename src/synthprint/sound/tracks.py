"""A file is opened: which tracks of audio it holds, and how each is read to its true end.

libsndfile reads what it can (wav, flac, ogg, opus, mp3, aiff, …) in this process, a few megabytes at a time; everything
else (m4a, aac, mp4, webm, amr, …) goes to ffmpeg (see `foreign`).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO

import numpy as np

from synthprint.addresses import Address, shown
from synthprint.errors import AudioError
from synthprint.reading import doors
from synthprint.sound import foreign, quiet
from synthprint.sound.containers.layout import layout
from synthprint.sound.containers.parts import FileBytes, Layout, Part, PartFile, disagreement, duration
from synthprint.stores import stamps

RATES = (1_000, 1_000_000)  # Hz; a header that claims another sample rate is damaged
UNKNOWN_FRAMES = 1 << 48  # a length from here on stands for "not known"
SALVAGED_FRAMES = 1 << 10  # that are read at a time where a decoder has failed
LACKING_FRAMES = 1 << 13  # by which what decodes may fall short of a header without a word
CHANGED = "was changed while it was examined; examine it again"
VANISHED = "was there, and vanished while it was examined"
Stamp = tuple[int, int, int, int]  # device, number, bytes, and time of the last change in ns of an open file


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
class AudioFile:
    """A file that is open: its tracks in order, what is odd about it, and whether libsndfile reads it."""

    path: Path
    tracks: list[Track]
    remarks: list[str]
    stamp: Stamp
    native: bool


@contextmanager
def opened(path: Path) -> Iterator[AudioFile]:
    """The tracks of a file.

    Raises:
        AudioError: it is missing, empty, not a regular file or not audio; at the end of the block: it was changed, or
            taken away, while it was read.
    """
    path = Path(path)
    file, stamp = _open(path)
    with file:
        laid_out = _laid_out(path, file.fileno(), stamp)
        with ExitStack() as temporary:
            tracks, left_out = ([], 0) if laid_out.foreign else _tracks(path, file.fileno(), laid_out.parts, temporary)
            remarks = [*([_joined(laid_out.joined, left_out)] if laid_out.joined else []), *laid_out.remarks]
            if left_out and tracks and not laid_out.joined:
                remarks.append(f"has {left_out:,} bytes that do not decode: they were left out")
            if tracks:
                yield AudioFile(path, tracks, remarks, stamp, native=True)
            else:
                track = _foreign_track(path, path, temporary)
                yield AudioFile(path, [track], list(laid_out.remarks), stamp, native=False)
        check_unchanged(path, stamp)


def _joined(remark: str, left_out: int) -> str:
    fate = f"{left_out:,} bytes of them do not decode, and were left out" if left_out else "all of them were examined"
    return f"{remark}: {fate}"


def _laid_out(path: Path, descriptor: int, stamp: Stamp) -> Layout:
    try:
        return layout(FileBytes(descriptor, stamp[2]))
    except OSError as error:  # of the disk
        raise AudioError(path, f"cannot be read: {error}") from error


def _foreign_track(path: Path, place: Path, open_decoders: ExitStack) -> Track:
    """The first track of what libsndfile does not read; `place` is where its bytes lie, `path` names it in errors."""
    first = open_decoders.enter_context(foreign.opened(place))
    _check_rate(first.rate, path)
    unread = [first.blocks]

    def frames() -> Iterator[np.ndarray]:
        if unread:
            yield from unread.pop()
            return
        with foreign.opened(place) as anew:
            yield from anew.blocks

    return Track(first.rate, first.channels, frames, remarks=first.remarks)


def _open(path: Path) -> tuple[BinaryIO, Stamp]:
    """A regular file that is not empty, and its stamp."""
    try:
        file = doors.open_regular(path)
    except FileNotFoundError as error:
        plain = error.strerror == os.strerror(errno.ENOENT)
        raise AudioError(path, "no such file" if plain else f"cannot be read: {error.strerror}") from None
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}") from error
    stamp = _stamp(os.fstat(file.fileno()))
    if not stamp[2]:
        file.close()
        raise AudioError(path, "is empty (0 bytes)")
    return file, stamp


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def file_stamp(path: Address) -> Stamp | None:
    """Of a file, or of what lies at an address, as it is now; None where there is none."""
    if isinstance(path, str):
        size_and_number = stamps.stamp(path)
        return (0, 0, *size_and_number) if size_and_number else None
    try:
        return _stamp(path.stat())
    except (OSError, ValueError):
        return None


def check_unchanged(path: Address, stamp: Stamp | None) -> None:
    """Make sure that a file is still the one that was read.

    Raises:
        AudioError: it is not.
    """
    now = file_stamp(path)
    if now is None:
        raise AudioError(shown(path), VANISHED)
    if now != stamp:
        raise AudioError(shown(path), CHANGED)


def _tracks(path: Path, descriptor: int, parts: tuple[Part, ...], temporary: ExitStack) -> tuple[list[Track], int]:
    """The parts as tracks, and how many bytes do not decode; no track, where FFmpeg is to read the whole file.

    Args:
        parts: the file as it is where there are none.
        temporary: keeps parts that libsndfile does not read as files of their own, for FFmpeg.

    Raises:
        AudioError: a header is impossible.
    """
    tracks: list[Track] = []
    left_out = 0
    for part in parts or (None,):
        track = None if part and part.foreign else _native_track(path, _opening(path, descriptor, part))
        if track is None and part is not None:
            with suppress(AudioError):
                place = temporary.enter_context(_as_file(path, descriptor, part))
                track = _foreign_track(path, place, temporary)
        if track:
            tracks.append(track)
        elif part:
            left_out += part.end - part.start
    return tracks, left_out


def _native_track(path: Path, opening: Callable[[], Any]) -> Track | None:
    file = opening()
    if file is None:
        return None
    with file:
        _check_rate(file.samplerate, path)
        frames = file.frames if 0 <= file.frames < UNKNOWN_FRAMES else None
        track = Track(file.samplerate, file.channels, lambda: iter(()), frames, file.format, file.subtype, opening)
    track.blocks = _reading(opening, track)
    return track


@contextmanager
def _as_file(path: Path, descriptor: int, part: Part) -> Iterator[Path]:
    """A part as a temporary file."""
    with NamedTemporaryFile(prefix="synthprint-", suffix=path.suffix) as file:
        shutil.copyfileobj(PartFile(descriptor, part), file)
        file.flush()
        yield Path(file.name)


def file_name(path: Path) -> str | bytes:
    """As libsndfile is given it: bytes, for a name need not be UTF-8; on Windows text."""
    return os.fsencode(path) if os.name == "posix" else str(path)


def _opening(path: Path, descriptor: int, part: Part | None) -> Callable[[], Any]:
    """Opens a part of a file, or the file as it is, with libsndfile; None where that does not read it."""

    def opening() -> Any:
        import soundfile

        try:
            with quiet.decoding():
                return soundfile.SoundFile(file_name(path) if part is None else PartFile(descriptor, part))
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


def _check_rate(rate: int, path: Path) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(path, f"claims a sample rate of {rate} Hz; its header is damaged: export it again")
