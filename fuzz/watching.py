"""What a worker may touch: its room. Opens of anything else are seen, and so are writes outside.

Python's own opens are seen by an audit hook; those of C libraries and of programs that are started, by the canary: a
file in the room that nobody has a reason to open, watched by the kernel (inotify; on Linux only).
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

CANARY = "canary.wav"  # what seeds and mutations name when they name another file
IN_OPEN = 0x20
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod"}
ROOT = Path(__file__).resolve().parents[1]
READABLE = ("/dev/null", "/dev/urandom", "/proc", "/sys")  # what libraries look at when they are imported


class Watch:
    """Notes what is opened and written outside `room`, and whether the canary in it is opened.

    Args:
        room: a folder; the canary is laid there.
        canary: bytes of the canary.
    """

    def __init__(self, room: Path, canary: bytes) -> None:
        self.notes: list[tuple[str, str]] = []  # (kind of fault, path)
        self._room = os.path.realpath(room)
        self._readable = _readable()
        self._canary = f"{self._room}/{CANARY}"
        with open(self._canary, "wb") as file:
            file.write(canary)
        self._inotify = _inotify(self._canary)
        self._busy = False
        self._active = False
        sys.addaudithook(self._hear)

    def begin(self) -> None:
        """Forget what was noted, and note from now on."""
        self.notes.clear()
        self._drain()
        self._active = True

    def end(self) -> list[tuple[str, str]]:
        """What was noted since `begin`."""
        self._active = False
        if self._drain():
            self.notes.append(("opens another file", CANARY))
        return list(self.notes)

    def _drain(self) -> bool:
        if self._inotify is None:
            return False
        try:
            return bool(os.read(self._inotify, 65536))
        except BlockingIOError:
            return False

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._active or self._busy or (event != "open" and event not in CHANGES):
            return
        self._busy = True
        try:
            if isinstance(args[0], str | bytes | os.PathLike):
                self._look(event, os.fsdecode(args[0]), args)
        finally:
            self._busy = False

    def _look(self, event: str, name: str, args: tuple[Any, ...]) -> None:
        path = os.path.realpath(name) if "\0" not in name else ""
        if not path or (path == self._canary and self._inotify is not None):
            return  # the kernel tells of it
        if _below(path, self._room) and path != self._canary:
            return
        writes = event in CHANGES or (len(args) > 2 and isinstance(args[2], int) and bool(args[2] & WRITING))
        if writes and path != os.devnull:
            self.notes.append(("writes outside its folder", path))
        elif not writes and not any(_below(path, folder) for folder in self._readable):
            self.notes.append(("opens another file", path))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _readable() -> tuple[str, ...]:
    """Where Python and what it imports may read: its own files, packages wherever they are installed, this project."""
    import synthprint

    python = (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)
    packages = (str(Path(synthprint.__file__).resolve().parent), *(p for p in sys.path if p.endswith("-packages")))
    return (*READABLE, *python, *packages, str(ROOT))


def _inotify(path: str) -> int | None:
    """A descriptor that can be read once `path` was opened by anybody; None where there is no such thing."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watched = libc.inotify_add_watch(descriptor, os.fsencode(path), IN_OPEN)
    except (OSError, AttributeError):
        return None
    return descriptor if descriptor >= 0 and watched >= 0 else None
