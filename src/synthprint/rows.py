"""Tables of a stranger: text as lines, as JSON lines, as the cells of a CSV, and the numbers in them.

They may be of any length and are read as they go, a line at a time. See `doors` for what is opened.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import TypeVar

from synthprint.doors import JsonReader, open_regular, twice
from synthprint.schemas import Refused, short

MOST_LINE = 64 << 20  # characters
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
Wanted = TypeVar("Wanted")


def lines(path: str | os.PathLike[str]) -> Generator[str, None, None]:
    """The lines of a text file, with their ends.

    Raises:
        OSError: see `open_regular`.
        Refused: it is not UTF-8, has a zero byte, or a line without end.
    """
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MOST_LINE)
            except UnicodeDecodeError as error:
                what = f"is not UTF-8 text (near line {number}, byte {error.start}); save it again as UTF-8"
                raise Refused(what) from None
            if not line:
                return
            if len(line) >= MOST_LINE:
                raise Refused(f"line {number} is longer than {MOST_LINE:,} characters")
            if "\0" in line:
                raise Refused(f"line {number} has a zero byte; this is no text")
            yield line


def number(text: str) -> float:
    """A finite number as it is written in tables: digits, a point, an exponent, nothing around it.

    Raises:
        ValueError: it is none ("1_0", " 1" and "inf" are none).
    """
    if not NUMBER.fullmatch(text) or abs(value := float(text)) == float("inf"):
        raise ValueError(f"{short(text)} is not a number")
    return value


def json_lines(path: str | os.PathLike[str], schema: type[Wanted]) -> Iterator[tuple[int, Wanted]]:
    """The lines of a file, each JSON in the form of `schema`, with their numbers; empty ones are passed over.

    Raises:
        OSError: see `open_regular`.
        Refused: a line, which is named, is not JSON or does not fit.
    """
    reader = JsonReader()
    with closing(lines(path)) as source:
        for place, line in enumerate(source, 1):
            if line.strip():
                try:
                    yield place, reader.checked(line, schema)
                except Refused as error:
                    raise Refused(str(error), (f"line {place}",)) from None


def csv_rows(
    path: str | os.PathLike[str], delimiter: str = ",", check: Callable[[list[str]], None] = lambda _: None
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV with a header, with the number of their line; empty lines are passed over.

    Args:
        check: looks at the header first.

    Raises:
        OSError: see `open_regular`.
        Refused: it is not a CSV, a column occurs twice, or a row has more or fewer cells than the header.
    """
    source = lines(path)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise Refused(f"line 1: column {twice(header)} occurs twice; rename or drop one")
        check(header)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise Refused(
                    f"line {reader.line_num} has {len(cells)} cells and the header {len(header)}; "
                    "is a comma missing, or unquoted?"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise Refused(f"line {reader.line_num} cannot be read: {error}") from None
    finally:
        source.close()


def listed(names: Collection[str], most: int = 20) -> str:
    """Names in a message, one after the other; of many, the first."""
    shown = [name if len(name) <= 80 and name.isprintable() else short(name) for name in islice(map(str, names), most)]
    return ", ".join([*shown, *(["…"] if len(names) > most else [])]) or "none"
