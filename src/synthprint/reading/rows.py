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
from typing import Any, TypeVar

from synthprint.errors import MissingDependency
from synthprint.reading.doors import JsonReader, open_regular, twice
from synthprint.reading.schemas import Refused, short

MOST_LINE = 64 << 20  # characters
# Of a Parquet file, which can be small and say that it has any number of any length.
MOST_ROWS, MOST_COLUMNS = 3_000_000, 1000
MOST_CELL = 131_072  # bytes; as of a CSV
MOST_TABLE_BYTES = 512 << 20  # of all cells that are read, decoded
BATCH_ROWS = 8192
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


def parquet_rows(path: str | os.PathLike[str], needed: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, with their numbers from 1; of columns that hold no single values nothing is read.

    Times that Python's own types cannot hold (of nanoseconds, in time zones, durations) are given as text.

    Args:
        needed: columns that must hold single values, where they are there.

    Raises:
        OSError: see `open_regular`.
        Refused: it is not Parquet, damaged, too large, or has a column twice.
        MissingDependency: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency.extra("pyarrow", "parquet") from None
    try:
        with open_regular(path) as file:
            yield from _decoded_rows(file, needed)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, Refused) or (isinstance(error, OSError) and error.errno):  # pyarrow's own have no number
            raise
        raise Refused(f"is not a Parquet file, or is damaged: {' '.join(str(error).split())[:200]}") from error


def _decoded_rows(file: Any, needed: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    from pyarrow.parquet import ParquetFile

    outline = ParquetFile(file)
    wanted = _single_columns(outline.schema_arrow, needed)
    _check_size(outline.metadata, set(wanted))
    # Texts come with each distinct one once: a long one that many rows have is seen before it is there many times.
    texts = [name for name, kind in wanted.items() if _is_text(kind)]
    table = ParquetFile(file, metadata=outline.metadata, read_dictionary=texts)
    number, size = 0, 0
    for batch in table.iter_batches(BATCH_ROWS, columns=list(wanted)):
        columns = {name: batch.column(name) for name in batch.schema.names if name in wanted}
        size += sum(_decoded_bytes(column, name) for name, column in columns.items())
        if number + batch.num_rows > MOST_ROWS or size > MOST_TABLE_BYTES:
            raise Refused(f"is too large: more than {MOST_ROWS:,} rows or {MOST_TABLE_BYTES:,} bytes of cells")
        cells = [_plain(column).to_pylist() for column in columns.values()]
        for place in range(batch.num_rows):
            number += 1
            yield number, dict(zip(columns, (column[place] for column in cells), strict=True))


def _check_size(metadata: Any, wanted: Collection[str]) -> None:
    """What a file says of itself; what is read is counted too."""
    if metadata.num_rows > MOST_ROWS:
        raise Refused(f"says that it has {metadata.num_rows:,} rows; at most {MOST_ROWS:,} are read")
    if metadata.num_columns > MOST_COLUMNS:
        raise Refused(f"has {metadata.num_columns:,} columns; at most {MOST_COLUMNS:,} are read")
    parts = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    chunks = (part.column(place) for part in parts for place in range(part.num_columns))
    if sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted) > MOST_TABLE_BYTES:
        raise Refused(f"says that its cells have more than {MOST_TABLE_BYTES:,} bytes")


def _single_columns(schema: Any, needed: Collection[str]) -> dict[str, Any]:
    """The columns that hold single values, and of which type."""
    from pyarrow import types

    names = schema.names
    if len(set(names)) < len(names):
        raise Refused(f"column {twice(names)} occurs twice; rename or drop one")
    single = {}
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if types.is_primitive(kind) or _is_text(kind) or types.is_decimal(kind) or types.is_null(kind):
            single[field.name] = kind
        elif field.name in needed:
            raise Refused(f"column {short(field.name)} must hold texts or numbers, not {short(str(field.type))}")
    return single


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _decoded_bytes(column: Any, name: str) -> int:
    """How much a column of a batch takes with each cell by itself."""
    from pyarrow import compute, types

    if not types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return int(column.nbytes)
    lengths = compute.binary_length(column.dictionary)
    if (compute.max(lengths).as_py() or 0) > MOST_CELL:
        raise Refused(f"column {short(name)} has a cell of more than {MOST_CELL:,} bytes")
    return int(compute.sum(lengths.take(column.indices)).as_py() or 0)


def _plain(column: Any) -> Any:
    """A column of a batch, each cell by itself and with a value that Python has."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    of_time = types.is_temporal(kind)
    if of_time and (types.is_duration(kind) or getattr(kind, "unit", "") == "ns" or getattr(kind, "tz", None)):
        try:
            return column.cast(pyarrow.string())
        except pyarrow.ArrowException:  # a time zone that this machine does not know
            return column.cast(pyarrow.int64()).cast(pyarrow.string())
    return column


def listed(names: Collection[str], most: int = 20) -> str:
    """Names in a message, one after the other; of many, the first."""
    shown = [name if len(name) <= 80 and name.isprintable() else short(name) for name in islice(map(str, names), most)]
    return ", ".join([*shown, *(["…"] if len(names) > most else [])]) or "none"
