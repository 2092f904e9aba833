"""Where the keys, values and entries of a text are: JSON, JSON lines, TOML, CSV, cells between white space.

Texts are bytes read as Latin-1, so that every byte is a character and can be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s,:\[\]{}"]+')
_TOML_LINE = re.compile(r"^[ \t]*([\w.\-\"]+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)
_LINE = re.compile(r"[^\n]+")


class Span(NamedTuple):
    """A part of a text, from `start` to `stop`: a "key", a "value", or an "entry" (a key with its value, a line)."""

    start: int
    stop: int
    kind: str


def json_spans(text: str) -> list[Span]:
    """Keys, values and entries of JSON, or of lines of it; of damaged JSON those that can be made out."""
    spans: list[Span] = []
    opened: list[int] = []  # where the arrays and objects start that are not closed yet
    keys: list[int | None] = [None]  # in each of them, where the key starts whose value is awaited
    last = None
    for match in _JSON_TOKEN.finditer(text):
        token, start, stop = match.group(), match.start(), match.end()
        if token == ":":
            if last is not None:
                spans[last] = Span(*spans[last][:2], "key")
                keys[-1] = spans[last].start
            continue
        last = None
        if token == ",":
            keys[-1] = None
        elif token in "[{":
            opened.append(start)
            keys.append(None)
        elif token in "]}":
            if opened:
                keys.pop()
                _close(spans, opened.pop(), stop, keys)
        else:
            last = len(spans)
            _close(spans, start, stop, keys)
    return spans


def _close(spans: list[Span], start: int, stop: int, keys: list[int | None]) -> None:
    """A value has ended, and with it the entry that it belongs to."""
    spans.append(Span(start, stop, "value"))
    if keys[-1] is not None:
        spans.append(Span(keys[-1], stop, "entry"))
        keys[-1] = None


def toml_spans(text: str) -> list[Span]:
    """Keys, values and lines of TOML."""
    spans = []
    for match in _TOML_LINE.finditer(text):
        spans += [Span(*match.span(1), "key"), Span(*match.span(2), "value"), Span(*match.span(), "entry")]
    return spans


def csv_spans(text: str) -> list[Span]:
    """Cells and lines of a table separated by commas; those of the first line are keys."""
    return list(_cells(text, re.compile(r"[^,\n]*")))


def meta_spans(text: str) -> list[Span]:
    """The same of one separated by pipes."""
    return list(_cells(text, re.compile(r"[^|\n]*")))


def words_spans(text: str) -> list[Span]:
    """Words and lines."""
    return list(_cells(text, re.compile(r"\S+")))


def _cells(text: str, cell: re.Pattern[str]) -> Iterator[Span]:
    for line in _LINE.finditer(text):
        kind = "key" if line.start() == 0 else "value"
        yield from (Span(*match.span(), kind) for match in cell.finditer(text, *line.span()) if match.group())
        yield Span(*line.span(), "entry")
