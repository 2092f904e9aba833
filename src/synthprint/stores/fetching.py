"""Clips fetched from where they lie: each a bounded temporary copy, a few at once, and none left behind."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from synthprint.addresses import Address, placed, shard_and_member, shown
from synthprint.errors import AudioError, StoreError
from synthprint.reading import doors
from synthprint.stores import copies, shards
from synthprint.stores.listing import StoredClip

MOST_BYTES = 4 << 30  # of a clip: four hours of two channels of 24 bits at 48 kHz
AT_ONCE = 16  # clips that are on their way, or wait to be taken
LARGE_BYTES = 64 << 20  # a clip from here on is fetched only when its turn has come

Fetchable = StoredClip | str | Path


class FetchedClip:
    """A clip that a decoder can open; as a context manager it removes, at its end, the copy where there is one.

    Attributes:
        address: where it lies.
        path: the file itself, or its temporary copy, which is also removed when this object is.
        sha256: hex, of a copy's bytes; None of a file of this machine.
    """

    def __init__(self, address: Address, path: Path, sha256: str | None = None) -> None:
        self.address, self.path, self.sha256 = address, path, sha256
        self._removing = None if isinstance(address, Path) else weakref.finalize(self, _remove, path, os.getpid())

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copy."""
        if self._removing:
            self._removing()


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:  # not in what it has forked
        path.unlink(missing_ok=True)


def fetched(clip: Fetchable, most_bytes: int = MOST_BYTES) -> FetchedClip:
    """A clip as a file of this machine.

    Args:
        clip: an address, or what a listing gave, by which some requests are spared.

    Raises:
        StoreError: it cannot be fetched, or has more than `most_bytes`.
        MissingDependency: the driver of its store is not installed.
    """
    stored = clip if isinstance(clip, StoredClip) else StoredClip(placed(clip), "")
    address = stored.address
    if stored.problem:
        raise StoreError(shown(address), stored.problem)
    if isinstance(address, Path):
        return FetchedClip(address, address)
    copies.check_size(address, stored.size or 0, most_bytes)
    copy = copies.empty(address)
    try:
        if member := shard_and_member(address):
            at = None if stored.offset is None or stored.size is None else (stored.offset, stored.size)
            shards.copy_member(*member, copy, most_bytes, at)
        else:
            copies.download(address, copy, most_bytes)
        return FetchedClip(address, copy, doors.sha256(copy))
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


@contextmanager
def local_copy(clip: Fetchable, most_bytes: int = MOST_BYTES) -> Iterator[Path]:
    """As `fetched`, for the block: a file itself, or a copy that is removed at its end.

    Raises:
        StoreError: see `fetched`.
        AudioError: the block raised one: of a copy it names the address.
    """
    with fetched(clip, most_bytes) as path, told_of(clip):
        yield path


@contextmanager
def told_of(clip: Fetchable) -> Iterator[None]:
    """An AudioError in the block, unless it is of a file of this machine, names the address and not the copy.

    Raises:
        AudioError: there was one.
    """
    address = address_of(clip)
    try:
        yield
    except StoreError:
        raise
    except AudioError as error:
        if isinstance(address, Path):
            raise
        raise AudioError(shown(address), error.reason) from None


def address_of(clip: Fetchable) -> Address:
    """Where a clip lies, whether a listing met it or a user named it."""
    return clip.address if isinstance(clip, StoredClip) else placed(clip)


def sha256(clip: Fetchable) -> str:
    """Hex SHA-256 of a clip's bytes, where it lies.

    Raises:
        OSError: a file of this machine cannot be read.
        StoreError: it cannot be fetched.
        MissingDependency: the driver of its store is not installed.
    """
    with closing(fetched(clip)) as here:
        return here.sha256 or doors.sha256(here.path)


def fetched_ahead(clips: Iterable[Fetchable]) -> Iterator[FetchedClip | StoreError]:
    """Each of `clips` fetched, in order, a few ahead; an error takes its clip's place. Whoever takes one closes it.

    Raises:
        MissingDependency: the driver of a store is not installed.
    """
    waiting: deque[tuple[Fetchable, Future[FetchedClip | StoreError | None] | None]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for clip in clips:
                here = isinstance(address_of(clip), Path)
                waiting.append((clip, None if here else pool.submit(_fetched_if_small, clip)))
                if len(waiting) >= AT_ONCE:
                    yield _taken(*waiting.popleft())
            while waiting:
                yield _taken(*waiting.popleft())
        finally:
            for _, future in waiting:
                if future:
                    future.cancel()


def _fetched_if_small(clip: Fetchable) -> FetchedClip | StoreError | None:
    try:
        return fetched(clip, LARGE_BYTES)
    except copies.TooLarge:
        return None
    except StoreError as error:
        return error


def _taken(clip: Fetchable, future: Future[FetchedClip | StoreError | None] | None) -> FetchedClip | StoreError:
    if future and (result := future.result()):
        return result
    try:
        return fetched(clip)
    except StoreError as error:
        return error
