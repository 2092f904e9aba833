"""The audit log: who did what, when, with which files; a line an event, each holding the digest of the one before.

Whoever changes, removes or inserts a line breaks the chain from there on. Lines cut off at the end leave a chain that
is whole, so note its last digest elsewhere from time to time: `verify` gives it. A line is with the system when the
client has its answer; a power cut may lose the last ones.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthprint.errors import ServingError
from synthprint.reading import doors

START = "0" * 64  # what stands for the line before the first
LONGEST_LINE = 32 << 20


@dataclass(frozen=True)
class AuditSummary:
    """A log whose chain is whole: how many events it has, and the digest of the last."""

    events: int
    last: str


class AuditLog:
    """An audit log that events are added to.

    Args:
        path: of the file; made with the first event, and read by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._last: AuditSummary | None = None

    def note(self, who: str, action: str, **details: Any) -> None:
        """Add an event.

        Args:
            who: the name of the caller's token.
            action: what was done, in a word or two.
            details: JSON values, such as the digests of what it was done with.

        Raises:
            ServingError: the log that is there is damaged.
            OSError: it cannot be written.
        """
        with self._guard:
            before = self._last or self._opened()
            event = {
                "number": before.events + 1,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "who": who,
                "action": action,
                **details,
                "previous": before.last,
            }
            digest = _digest(event)
            line = json.dumps({**event, "sha256": digest}) + "\n"
            _append(self.path, line.encode())
            self._last = AuditSummary(before.events + 1, digest)

    def _opened(self) -> AuditSummary:
        """What stands in the file; half a line at its end, which a power cut left, is taken off."""
        if not self.path.exists():
            return AuditSummary(0, START)
        with open(self.path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            tail = _tail(file, size)
            if not tail.endswith(b"\n"):
                file.truncate(size - len(tail.rpartition(b"\n")[2]))
        return verify(self.path)


def verify(path: Path) -> AuditSummary:
    """Follow the chain of an audit log from its first line to its last.

    Raises:
        ServingError: it cannot be read, or is broken; which line is said.
    """
    last, number = START, 0
    with doors.ending_in(ServingError, path), doors.open_regular(path) as file:
        while line := file.readline(LONGEST_LINE):
            number += 1
            try:
                event = json.loads(line)
                digest = event.pop("sha256")
                whole = line.endswith(b"\n") and event["number"] == number and event["previous"] == last
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                whole, digest, event = False, "", {}
            if not whole or digest != _digest(event):
                words = f"line {number} does not follow from the one before: the log was changed there, or is damaged"
                raise ServingError(f"{path}: {words}; keep it as it is, and compare it with a copy")
            last = digest
    return AuditSummary(number, last)


def _append(path: Path, line: bytes) -> None:
    """All of a line, or none of it: half of one, from a full disk, would break the chain at the next."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _digest(event: dict[str, Any]) -> str:
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _tail(file: Any, size: int) -> bytes:
    file.seek(max(size - LONGEST_LINE, 0))
    return bytes(file.read())
