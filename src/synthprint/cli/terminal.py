"""Standard output and error of the command: any text on any terminal, and a failure to write is one of ours.

A character that the terminal's encoding lacks is written as a plain stand-in, or as its escape. What cannot be written
to standard output is an `OutputError`; what cannot be written to standard error is dropped, as nobody could be told.
"""

from __future__ import annotations

import codecs
import errno
import io
import logging
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from synthprint.errors import OutputError
from synthprint.sound.quiet import own_stderr
from synthprint.wording import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDIN, STDOUT, STDERR = 0, 1, 2
FLAGS = {"start_from": "--from"}  # parameter of the library -> option, where it is not called the same
PLAIN = "synthprint.plain"  # the name of the way to write what an encoding lacks
STAND_INS = {
    "≥": ">=", "≤": "<=", "≈": "~", "≠": "!=", "±": "+-", "×": "x", "÷": "/", "·": ".", "−": "-", "√": "sqrt",
    "…": "...", "–": "-", "—": "-", "‐": "-", "‑": "-", "→": "->", "←": "<-", "•": "*", "°": " deg",
    "µ": "u", "μ": "u", "²": "^2", "³": "^3", "½": "1/2", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "✓": "yes", "✗": "no", "\ufffd": "?",
}  # fmt: skip
DRAWN = dict.fromkeys("─━═╌╍╴╸", "-") | dict.fromkeys("│┃║", "|")  # by rich: lines of tables and bars


def flag(parameter: str) -> str:
    """The option that gives a parameter of the library, where a command has it."""
    return FLAGS.get(parameter, "--" + parameter.replace("_", "-"))


def stand_in(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handler of `codecs`: stand-ins for what an encoding lacks, escapes for what has none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(STAND_INS.get(c) or DRAWN.get(c) or _escape(c) for c in lacking), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()


codecs.register_error(PLAIN, stand_in)


class _Stream(io.FileIO):
    """A standard stream; after the first failure it swallows what is still to be flushed."""

    def __init__(self, descriptor: int, called: str, closed: bool) -> None:
        self.is_error = descriptor == STDERR
        super().__init__(own_stderr() if self.is_error else descriptor, "w", closefd=False)
        self.called, self.closed_before, self.failed = called, closed, False

    def write(self, data: ReadableBuffer) -> int:
        """Write some of it.

        Raises:
            OutputError: it cannot be written, and is standard output.
        """
        size = memoryview(data).nbytes
        try:
            if self.closed_before and not self.failed:
                raise OSError(errno.EBADF, "it is closed")
            return size if self.failed else self._written(data)
        except OSError as error:
            self.failed = True
            if self.is_error:
                return size
            raise OutputError(
                self.called, OutputError.from_os_error(self.called, error).reason, "send it elsewhere"
            ) from error

    def _written(self, data: ReadableBuffer) -> int:
        while (count := super().write(data)) is None:  # a pipe that does not block, and is full
            select.select([], [self], [])
        return count


class _Line(logging.Formatter):
    """A message in one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging calls it
        return printable(super().formatMessage(record))


class _Text(io.TextIOWrapper):
    """Text over a `_Stream`."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What libraries are told: click takes "ascii" for a mistake, and would write UTF-8 instead."""
        return "plain-ascii" if codecs.lookup(self.own_encoding).name == "ascii" else self.own_encoding

    @property
    def own_encoding(self) -> str:
        """What is written."""
        return super().encoding


def fitting(text: str) -> str:
    """`text` as standard output will show it: what is laid out in columns must not grow later."""
    encoding = getattr(sys.stdout, "own_encoding", sys.stdout.encoding) or "utf-8"
    return text.encode(encoding, PLAIN).decode(encoding)


def prepare() -> None:
    """Make standard output and error what this module says; streams that are closed are opened on nothing.

    Otherwise the next file that is opened would become standard output, and get what libraries print.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        _occupy(descriptor)
    sys.stdout = _prepared(sys.stdout, sys.__stdout__, STDOUT, "standard output")
    sys.stderr = _prepared(sys.stderr, sys.__stderr__, STDERR, "standard error")
    if logging.lastResort:  # what writes to standard error unless a program says otherwise
        logging.lastResort.setFormatter(_Line())


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _takes_stand_ins(encoding: str) -> bool:
    """Whether what an encoding lacks can be written in another way; "idna" refuses that."""
    try:
        return bool("≥\n".encode(encoding, PLAIN))
    except (UnicodeError, LookupError):
        return False


def _prepared(stream: TextIO | None, original: TextIO | None, descriptor: int, called: str) -> TextIO:
    if stream is not original or not isinstance(stream, io.TextIOWrapper | None):
        return stream or io.StringIO()  # somebody's own, as in a test
    binary = io.BufferedWriter(_Stream(descriptor, called, closed=stream is None))
    if stream is None or not _takes_stand_ins(stream.encoding):
        return _Text(binary, "utf-8", PLAIN)
    return _Text(
        binary, stream.encoding, PLAIN, line_buffering=stream.line_buffering, write_through=stream.write_through
    )
