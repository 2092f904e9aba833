"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere. stdout stays the result's."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, TypeVar

from synthprint.wording import printable

T = TypeVar("T")
FIRST_LINE_AFTER_S = 2.0
LINE_EVERY_S = 10.0
_SHOWING: ContextVar[bool] = ContextVar("showing", default=False)


class Progress:
    """Counts from `done` towards `total`; made by `progress`. `note` is shown behind the count."""

    def __init__(self, description: str, total: int | None, done: int) -> None:
        self.description, self.total, self.done, self.note = description, total, done, ""

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` more, and replace the note where one is given."""
        self.done += steps
        self.note = self.note if note is None else note


class _Bar(Progress):
    """On a terminal."""

    def __init__(self, description: str, total: int | None, done: int) -> None:
        super().__init__(description, total, done)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._rich.add_task(description, total=total, completed=done, note="")
        self._rich.start()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        super().advance(steps, note)
        self._rich.update(self._task, advance=steps, note=printable(self.note))

    def close(self) -> None:
        self._rich.stop()


class _Lines(Progress):
    """Elsewhere: nothing for a short job, then a line every LINE_EVERY_S."""

    def __init__(self, description: str, total: int | None, done: int, stream: TextIO) -> None:
        super().__init__(description, total, done)
        self._stream, self._start, self._already = stream, time.monotonic(), done
        self._next = self._start + FIRST_LINE_AFTER_S
        self._printed: int | None = None  # steps done when the last line was printed

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        super().advance(steps, note)
        if time.monotonic() >= self._next:
            self._print()

    def _print(self) -> None:
        elapsed, new = time.monotonic() - self._start, self.done - self._already
        of = f"/{self.total}" if self.total is not None else ""
        left = f", {elapsed * (self.total - self.done) / new:.0f} s left" if self.total and new else ""
        line = f"{self.description}: {self.done}{of} in {elapsed:.0f} s{left} {printable(self.note)}"
        print(line.rstrip(), file=self._stream)
        self._stream.flush()
        self._next, self._printed = time.monotonic() + LINE_EVERY_S, self.done

    def close(self) -> None:
        if self._printed not in (None, self.done):
            self._print()


@contextmanager
def progress(description: str, total: int | None = None, done: int = 0) -> Iterator[Progress]:
    """Show the progress of a job while the block runs; `done` steps were done before, and say nothing of its speed.

    A job within a job that is shown is not shown itself.
    """
    if _SHOWING.get():
        yield Progress(description, total, done)
        return
    stream = sys.stderr
    shown: _Bar | _Lines = (
        _Bar(description, total, done) if stream.isatty() else _Lines(description, total, done, stream)
    )
    token = _SHOWING.set(True)
    try:
        yield shown
    finally:
        _SHOWING.reset(token)
        shown.close()


@contextmanager
def silent(wanted: bool = True) -> Iterator[None]:
    """Show no progress while the block runs, where that is `wanted`."""
    token = _SHOWING.set(wanted or _SHOWING.get())
    try:
        yield
    finally:
        _SHOWING.reset(token)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far it is."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total) as shown:
        for item in items:
            yield item
            shown.advance()
