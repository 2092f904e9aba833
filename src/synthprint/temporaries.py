"""Temporary files and folders whose writer may be killed: each is held by a lock, and what nobody holds is removed.

A temporary lies beside what it is to become, as `.{stem}.synthprint-{random}.tmp{ending}`. Its writer holds it with
a lock while it lives, which the system ends at a kill; so the next writer in that folder knows which are of the dead,
also among threads, and among containers that share the folder. Where a file system has no such locks, nothing is
removed; nor on Windows, where a file that is held can neither be written by another name nor moved.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOLDS = os.name == "posix"  # whether what is open and locked can be written and moved
POLL_S = 0.01  # how often whoever waits for a lock tries it
LONGEST_NAME_BYTES = 255
OWN = re.compile(r"\..*\.synthprint-(?:[0-9a-f]{12}|lock)\.tmp(?:\.[^.]*)?", re.DOTALL)
# What versions before left: nothing holds it, so it must also be old.
OLD_FILE = re.compile(r"\..+\.(?P<process>\d+)-\d{6,}\.tmp(?:\.[^.]*)?", re.DOTALL)
OLD_FOLDER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}", re.DOTALL)
OLD_AFTER_S = 24 * 3600.0
GALLERY_NAMES = {".lock", "gallery.json", "segments"}
SMALL = 100  # names in a folder that is looked through by every writer
LOOKING_SHARE = 0.02  # of the time, at most, goes into looking through a larger one
MOST_REMEMBERED = 1000

_guard = threading.Lock()
_look_after: dict[str, float] = {}  # folder -> when it may be looked through again, on the monotonic clock


@contextmanager
def temporary(path: Path, folder: bool = False, inside: bool = False) -> Iterator[Path]:
    """An empty file, or folder, to become `path`; what is left of it at the end of the block is removed.

    Args:
        path: where it is to be moved; its folder exists.
        folder: a folder instead of a file.
        inside: put it into `path`, which is a folder that exists, and not beside it.

    Raises:
        OSError: it cannot be made.
    """
    place = path if inside else path.parent
    sweep(place)
    name, descriptor = _create(place, path, folder)
    try:
        yield name
    finally:
        with suppress(OSError):  # then the next writer removes it
            _remove(name, folder)
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until no other thread or process has the turn at `path`, which need not exist, and have it for the block.

    Raises:
        OSError: the folder of `path` cannot be written.
    """
    placed = path if path.name not in ("", "..") else path.resolve()  # ".", or the root, which has no name
    lock = placed.parent / _name(placed.name, "lock")
    descriptor = acquire(lock, wait=True)
    assert descriptor is not None  # it waited
    try:
        yield
    finally:
        if HOLDS:
            lock.unlink(missing_ok=True)  # whoever waits for it sees that it is gone, and makes a new one
            os.close(descriptor)
        else:
            os.close(descriptor)
            with suppress(PermissionError):  # whoever waits for it has it open: the last one removes it
                lock.unlink(missing_ok=True)


def acquire(lock: Path, wait: bool) -> int | None:
    """Lock the file `lock`, made where there is none; returns its descriptor: closing it ends the lock.

    Returns:
        None where another holds it and this one does not `wait`.

    Raises:
        OSError: it cannot be made, or the file system has no locks.
    """
    from filelock import lock_descriptor

    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = lock_descriptor(descriptor, blocking=wait, poll_interval=POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        if locked and _is_at(descriptor, lock):
            return descriptor
        os.close(descriptor)
        if not locked:
            return None
        # else it was removed by whoever held it before


def sweep(folder: Path) -> None:
    """Remove the temporaries that dead writers left in `folder`; a large one is not looked through each time."""
    key = str(folder.absolute())
    started = time.monotonic()
    with _guard:
        if started < _look_after.get(key, 0.0):
            return
        if len(_look_after) > MOST_REMEMBERED:
            _look_after.clear()
        _look_after[key] = float("inf")
    entries: list[str] = []
    try:
        with suppress(OSError):
            entries = os.listdir(folder)  # noqa: PTH208 - names alone, which is quicker
            for name in (name for name in entries if name[0] == "."):
                if OWN.fullmatch(name):
                    _remove_unheld(folder / name)
                else:
                    _remove_old(folder / name)
    finally:
        ended = time.monotonic()
        _look_after[key] = ended + (ended - started) / LOOKING_SHARE if len(entries) > SMALL else 0.0


def _name(name: str, token: str) -> str:
    """The temporary's name for a file's `name`; the ending stays: several writers choose their format by it."""
    ending = Path(name).suffix
    stem, rest = name.removesuffix(ending), f".synthprint-{token}.tmp{ending}"
    while stem and len(os.fsencode(f".{stem}{rest}")) > LONGEST_NAME_BYTES:
        stem = stem[:-1]
    return f".{stem}{rest}"


def _create(place: Path, path: Path, folder: bool) -> tuple[Path, int | None]:
    """A new file or folder, and the descriptor that holds it."""
    while True:
        name = place / _name(path.name, os.urandom(6).hex())
        if folder:
            name.mkdir()
        else:
            name.touch(exist_ok=False)
        if not HOLDS:
            return name, None
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR)
        except FileNotFoundError:
            continue
        # Before the lock another writer may have taken it for one of the dead: then it is gone, or will be at once.
        if _hold(descriptor) is not False and _is_at(descriptor, name):
            return name, descriptor
        os.close(descriptor)


def _hold(descriptor: int) -> bool | None:
    """Lock it without waiting: whether that went well, or None where there are no locks."""
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file that is open is still the one at `path`."""
    try:
        here = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), here)


def _remove_unheld(path: Path) -> None:
    """Remove a temporary of ours, if no writer holds it."""
    if not HOLDS:
        return
    with suppress(OSError):  # it was moved into place meanwhile, or is not ours to remove
        descriptor = _opened(path)
        try:
            mode = os.fstat(descriptor).st_mode
            if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and _hold(descriptor) and _is_at(descriptor, path):
                _remove(path, stat.S_ISDIR(mode))
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe of that name must not hang us
    except IsADirectoryError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)


def _remove_old(path: Path) -> None:
    """Remove what a killed writer of a version before left, if that is beyond doubt."""
    with suppress(OSError):
        if named := OLD_FILE.fullmatch(path.name):
            if path.is_file() and _is_old(path) and not _runs(int(named["process"])):
                path.unlink()
        elif (named := OLD_FOLDER.fullmatch(path.name)) and path.is_dir() and not path.is_symlink():
            inner = path / named["name"]  # a gallery that was to be moved to where it is named after
            if _names(path) == {named["name"]} and inner.is_dir() and _names(inner) <= GALLERY_NAMES:
                segments = inner / "segments"
                if all(map(_is_old, (path, inner, *([segments] if segments.exists() else [])))):
                    shutil.rmtree(path)


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > OLD_AFTER_S


def _runs(process: int) -> bool:
    if not HOLDS:
        return True  # to ask as below would end it, on Windows
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(path: Path, folder: bool) -> None:
    if folder:
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
