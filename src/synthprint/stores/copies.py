"""Temporary copies of what lies in a store: bounded, in a folder of this process that a kill does not leave behind."""

from __future__ import annotations

import atexit
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from synthprint import temporaries
from synthprint.addresses import ending, shown
from synthprint.errors import StoreError
from synthprint.stores.drivers import driver
from synthprint.stores.retrying import no_room, retried

FETCHING_S = 1800.0  # for one object, on a clock
_LOCK = threading.Lock()
_PLAIN_ENDING = re.compile(r"(\.[a-z0-9]{1,8}){1,2}")


class TooLarge(StoreError):
    """An object has more bytes than may be taken for it."""


def empty(address: str) -> Path:
    """A new file for the bytes of an address, with its ending, by which some decoders choose.

    Raises:
        StoreError: it cannot be made.
    """
    last = ending(address)
    with room(address):
        suffix = last if _PLAIN_ENDING.fullmatch(last) else ""
        descriptor, name = tempfile.mkstemp(suffix, "", folder())
    os.close(descriptor)
    return Path(name)


@contextmanager
def room(address: str) -> Iterator[None]:
    """Turn an error of the disk that copies lie on into one of `address`.

    Raises:
        StoreError: there was one.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(shown(address), no_room(error)) from None


def folder() -> Path:
    """Where this process keeps its copies; it holds it, so after a kill the next one that fetches removes it."""
    with _LOCK:
        return _folder(os.getpid())


@cache
def _folder(process: int) -> Path:
    held = ExitStack()
    atexit.register(lambda: held.close() if os.getpid() == process else None)  # not what it has forked
    place = held.enter_context(temporaries.temporary(Path(tempfile.gettempdir()) / "fetched", folder=True))
    place.chmod(0o700)
    return place


def download(address: str, place: Path, most_bytes: int) -> None:
    """The bytes of an object of a store into the file `place`.

    Raises:
        StoreError: they cannot be fetched, or are more than `most_bytes`.
        MissingDependency: the driver of the store is not installed.
    """
    from fsspec.callbacks import Callback

    store = driver(address)

    class Bound(Callback):  # type: ignore[misc]
        """Ends what passes the bounds: by what the store says is to come, and by what comes."""

        def set_size(self, size: int | None) -> None:
            check_size(address, size or 0, most_bytes)

        def relative_update(self, inc: int = 1) -> None:
            self.absolute_update(self.value + inc)

        def absolute_update(self, value: int) -> None:
            self.value = value
            check_size(address, value, most_bytes)
            if time.monotonic() > until:
                raise StoreError(shown(address), f"takes more than {FETCHING_S / 60:.0f} minutes to come")

    def once() -> None:
        store.get_file(address, str(place), callback=Bound())

    until = time.monotonic() + FETCHING_S
    retried(address, once)


def check_size(address: str, size: int, most_bytes: int) -> None:
    """Refuse what is larger than a bound, before anything is taken for it.

    Raises:
        TooLarge: it is.
    """
    if size > most_bytes:
        raise TooLarge(shown(address), f"has more than {most_bytes:,} bytes: cut it into parts")
