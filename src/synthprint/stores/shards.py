"""Tar shards: which clips one holds, and the bytes of one. Nothing is unpacked under a name that a shard gives.

A shard is read by `tarfile`, header by header, in bounded pieces. One that is compressed, or whose server gives no
parts, is copied as a whole first, and kept while it is in use.
"""

from __future__ import annotations

import gzip
import tarfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from synthprint.addresses import ending, is_remote, member_address, shown
from synthprint.errors import StoreError
from synthprint.reading import doors
from synthprint.stores import copies
from synthprint.stores.ranges import NoRanges, RangeFile

PIECE_BYTES = 1 << 20  # that are read at once; the header of a member, with its long name, has fewer
MOST_HEADERS = 1000  # that are said of all members
MOST_COPY_BYTES = 32 << 30  # of a shard that must be copied as a whole
AHEAD_BYTES = 1 << 20  # of a remote shard, behind each header
USED_SHARDS = 4  # whose members, and whole copies, are kept
NO_END = "has no end behind its last member: it was cut off, or altered"
_PLAIN = ".tar"


class DamagedShard(StoreError):
    """From some place on it is no tar file."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a shard says of a clip: its name, its size in bytes, where its header begins, and why it is of no use."""

    name: str
    size: int
    offset: int
    problem: str = ""


def members(shard: str) -> Iterator[Member]:
    """The members of a shard that are no folders, in order, as it is now.

    Raises:
        StoreError: it cannot be read, from here on: it is damaged, or made to keep its readers busy.
        MissingDependency: the driver of its store is not installed.
    """
    forget(shard)
    return _members(shard)


def _members(shard: str) -> Iterator[Member]:
    with closing(_opened(shard)) as file:
        for info in _headers(file, shard):
            if not info.isdir():
                yield Member(info.name, info.size, info.offset, _problem(info))


def copy_member(shard: str, name: str, place: Path, most_bytes: int, at: tuple[int, int] | None = None) -> None:
    """The bytes of a member into the file `place`.

    Args:
        at: where its header begins, and its size, where a listing said so; None: it is looked for.

    Raises:
        StoreError: there is no such member, it has more than `most_bytes`, or the shard cannot be read.
        MissingDependency: the driver of its store is not installed.
    """
    for last in (at is not None, True):
        offset, size = at or _find(shard, name)
        copies.check_size(member_address(shard, name), size, most_bytes)
        with closing(_opened(shard, offset, size)) as file:
            file.seek(offset)
            info = None
            with suppress(DamagedShard):
                info = next(_headers(file, shard), None)
            if info is not None and (info.name, info.size) == (name, size):
                _copy(info, file, place, member_address(shard, name))
                return
        forget(shard)
        if last:
            raise StoreError(shown(member_address(shard, name)), "its shard was changed meanwhile: list it again")


def _find(shard: str, name: str) -> tuple[int, int]:
    with _LOCK:
        return _places(shard).find(name)


def _copy(info: tarfile.TarInfo, file: IO[bytes], place: Path, address: str) -> None:
    if problem := _problem(info):
        raise StoreError(shown(address), problem)
    file.seek(info.offset_data)
    with copies.room(address), open(place, "wb") as copy:
        while piece := file.read(min(PIECE_BYTES, info.size - copy.tell())):
            copy.write(piece)
        if copy.tell() < info.size:
            raise StoreError(shown(address), f"breaks off after {copy.tell():,} of its {info.size:,} bytes")


def _problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "is a link in its shard: none is followed"
    return "" if info.isreg() and not info.issparse() else "is no plain file in its shard"


class _Headers:
    """A shard as `tarfile` is given it: what is read at once, whatever a header says, is bounded."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, count: int) -> bytes:
        if not 0 <= count <= PIECE_BYTES:
            raise tarfile.ReadError("a header is larger than any")
        return self._file.read(count)


def _headers(file: IO[bytes], shard: str) -> Iterator[tarfile.TarInfo]:
    """The headers from where `file` is, in order."""
    count, last = 0, -1
    try:
        readable: Any = _Headers(file)
        with tarfile.open(fileobj=readable, mode="r:") as tar:
            while (info := tar.next()) is not None:
                if info.offset <= last or info.size < 0 or len(tar.pax_headers) > MOST_HEADERS:
                    raise tarfile.ReadError("made to keep its readers busy")
                last, count = info.offset, count + 1
                vars(tar)["members"].clear()  # else it keeps them all
                yield info
            file.seek(tar.offset)
            if (end := file.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
                raise DamagedShard(shown(shard), NO_END if not end else _damaged(count))
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        raise DamagedShard(shown(shard), _damaged(count)) from None


def _damaged(count: int) -> str:
    return f"is no tar file from behind its {count} first members on: it is damaged, or was cut off; copy it again"


# --- Where the bytes of a shard are -----------------------------------------------------------------------------------


class _Places:
    """What is kept of a shard: the places of its members, and its copy, where one was needed."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.copy: Path | None = None
        self._known: dict[str, tuple[int, int]] | None = None
        self._broken: StoreError | None = None

    def find(self, name: str) -> tuple[int, int]:
        if self._known is None:
            self._known = {}
            try:
                for member in _members(self.shard):
                    self._known.setdefault(member.name, (member.offset, member.size))
            except StoreError as error:  # what comes before it can be used
                self._broken = error
        if name not in self._known:
            reason = self._broken.reason if self._broken else "its shard has no such member"
            raise StoreError(shown(member_address(self.shard, name)), reason)
        return self._known[name]


_LOCK = threading.RLock()
_SHARDS: OrderedDict[str, _Places] = OrderedDict()


def _places(shard: str) -> _Places:
    kept = _SHARDS.setdefault(shard, _Places(shard))
    _SHARDS.move_to_end(shard)
    while len(_SHARDS) > USED_SHARDS:
        forget(next(iter(_SHARDS)))
    return kept


def forget(shard: str) -> None:
    """Keep nothing of a shard any longer."""
    with _LOCK:
        kept = _SHARDS.pop(shard, None)
        if kept and kept.copy:
            with suppress(OSError):  # on Windows, where it is open; it goes with its folder
                kept.copy.unlink()


def _opened(shard: str, offset: int = 0, size: int | None = None) -> Any:
    """A shard as a file that can be read in places; of a remote one, only the member at `offset` with its `size`."""
    if ending(shard) == _PLAIN:
        if not is_remote(shard):
            return _local(shard)
        with suppress(NoRanges):
            whole = AHEAD_BYTES if size is None else size + 3 * tarfile.BLOCKSIZE
            file = RangeFile(shard, None if size is None else offset + whole + PIECE_BYTES, ahead=whole)
            file.seek(offset)
            file.read(1)  # by which it shows whether there are parts
            file.seek(offset)
            return file
    with _LOCK:
        kept = _places(shard)
        if kept.copy is None:
            kept.copy = _whole(shard)
        return open(kept.copy, "rb")


def _local(shard: str) -> Any:
    try:
        return doors.open_regular(shard)
    except OSError as error:
        raise StoreError(shown(shard), f"cannot be read: {error.strerror}") from None


def _whole(shard: str) -> Path:
    """A copy of a shard that is not compressed; of one that is damaged, as far as it goes."""
    with ExitStack() as undoing:
        place, unpacked = copies.empty(shard), copies.empty(shard)
        undoing.callback(unpacked.unlink, missing_ok=True)
        undoing.callback(place.unlink, missing_ok=True)
        if is_remote(shard):
            copies.download(shard, place, MOST_COPY_BYTES)
        if ending(shard) == _PLAIN:
            place.replace(unpacked)
        else:
            with copies.room(shard), _local(str(place) if is_remote(shard) else shard) as packed:
                _unpack(shard, packed, unpacked)
        undoing.pop_all()
    place.unlink(missing_ok=True)
    return unpacked


def _unpack(shard: str, packed: IO[bytes], place: Path) -> None:
    damage = suppress(EOFError, zlib.error, gzip.BadGzipFile)  # then it has no end, which its reader sees
    with gzip.GzipFile(fileobj=packed) as file, open(place, "wb") as copy, damage:
        while piece := file.read(PIECE_BYTES):
            copies.check_size(shard, copy.tell() + len(piece), MOST_COPY_BYTES)
            copy.write(piece)
