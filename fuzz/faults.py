"""What a fault is, and what makes two of them the same."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

PACKAGE = "synthprint"
LONGEST_MESSAGE = 4_000  # characters; what is longer is no line
LONGEST_SHOWN = 300
MOST_LOOKED_AT = 20_000  # parts of a result in which a NaN is looked for


@dataclass(frozen=True)
class Fault:
    """What a case did that it must not.

    Attributes:
        kind: such as "KeyError", "error message", "opens another file", "killed by SIGSEGV", "takes too long".
        place: where in synthprint, "room/file.py:123"; "" where that is not known.
        says: more of it, on one line.
        trace: a traceback, of several lines.
    """

    kind: str
    place: str = ""
    says: str = ""
    trace: str = ""

    @property
    def signature(self) -> tuple[str, str]:
        """The same for faults that are taken for one."""
        return self.kind, self.place

    def __str__(self) -> str:
        says = "".join(c if c.isprintable() else "\ufffd" for c in self.says)
        says = says if len(says) <= LONGEST_SHOWN else says[:LONGEST_SHOWN] + " …"
        return " ".join(filter(None, (self.kind, f"at {self.place}:" if self.place else "", says)))


def of_exception(error: BaseException) -> Fault:
    """An exception that is not one of synthprint's own."""
    return Fault(type(error).__name__, place_of(error.__traceback__), _text(error), _trace(error))


def of_message(error: Exception, names: Iterable[str]) -> Fault | None:
    """What is wrong with the message of an error of synthprint's, which must be one line with one of `names` in it."""
    message, lines = str(error), len(str(error).splitlines())
    if lines != 1:
        kind, says = "error message of several lines", f"{lines} lines"
    elif len(message) > LONGEST_MESSAGE:
        kind, says = "error message without end", f"{len(message):,} characters"
    elif not any(name in message for name in names):
        kind, says = "error message without the file's name", ""
    else:
        return None
    return Fault(kind, place_of(error.__traceback__), ": ".join(filter(None, (says, message))), _trace(error))


def of_result(result: object) -> Fault | None:
    """A result with NaN in it, at any depth of dataclasses, mappings, sequences and arrays."""
    waiting, looked_at = [("result", result)], 0
    while waiting and looked_at < MOST_LOOKED_AT:
        looked_at += 1
        name, value = waiting.pop()
        if isinstance(value, float) and math.isnan(value):
            return Fault("NaN in the result", "", f"{name} is not a number")
        if isinstance(value, np.ndarray | np.generic):
            if value.dtype.kind in "fc" and np.isnan(value).any():
                return Fault("NaN in the result", "", f"{name} {list(value.shape)} holds what is not a number")
        elif isinstance(value, Mapping):
            waiting += [(f"{name}[{str(key)[:40]!r}]", part) for key, part in value.items()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(f"{name}[]", part) for part in value]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            waiting += [(f"{name}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def place_of(trace: TracebackType | None) -> str:
    """The innermost line of synthprint in a traceback; where there is none, the innermost line."""
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if f"/{PACKAGE}/" in frame.filename]
    return _place((own or frames)[-1].filename, (own or frames)[-1].lineno) if frames else ""


def place_in_dump(dump: str) -> str:
    """The same of what `faulthandler` wrote: the innermost line comes first."""
    lines = [line.split('"') for line in dump.splitlines() if line.lstrip().startswith('File "')]
    own = [parts for parts in lines if f"/{PACKAGE}/" in parts[1]] or lines
    return _place(own[0][1], int(own[0][2].split("line ")[1].split(" ")[0])) if own else ""


def _place(filename: str, line: int | None) -> str:
    path = Path(filename)
    at = len(path.parts) - 1 - path.parts[::-1].index(PACKAGE) if PACKAGE in path.parts[:-1] else len(path.parts) - 2
    return f"{'/'.join(path.parts[at + 1 :])}:{line}"


def _text(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())[: 4 * LONGEST_SHOWN]
    except Exception as another:  # an exception whose text cannot be made
        return f"({type(another).__name__} in its text)"


def _trace(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-30)
    return "".join(line if len(line) < 1000 else line[:1000] + " …\n" for line in lines)
