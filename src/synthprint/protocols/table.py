"""One table of utterances: a CSV, JSONL or Parquet file with at least the columns `path` and `source`.

Known columns are those of `Utterance`; a path is relative to the table's folder. These other names are taken
for them where the column itself is not there; every column that is not known goes to `extra`.

| column     | also as        |
|------------|----------------|
| source     | `model_name`   |
| family     | `architecture` |
| text_id    | `content_id`   |
| duration_s | `duration`     |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthprint import doors
from synthprint.errors import ManifestError, MissingDependency
from synthprint.rows import csv_rows, json_lines, listed
from synthprint.schemas import Refused
from synthprint.types import Manifest, Utterance

LICENCE = "your own table: the licence of the audio that it lists"
CITATION = "your own table: whatever the makers of the audio ask to be cited"
ADDRESS = "a file of this machine"

ALIASES = {"source": "model_name", "family": "architecture", "text_id": "content_id", "duration_s": "duration"}
ENDINGS = (".csv", ".jsonl", ".parquet")
NAMES = tuple(f"manifest{ending}" for ending in ENDINGS)  # looked for in a folder, in this order

MOST_ROWS = 100_000_000  # of a Parquet file: a small one can say that it has any number

Row = tuple[str, dict[str, Any]]  # where it stands, in words, and its cells


def recognises(root: Path) -> bool:
    """Whether `root` is a table by its ending, or a folder with a manifest in it."""
    return _table(Path(root)) is not None


def read(root: Path) -> Manifest:
    """Read a table, or the `manifest.csv`, `.jsonl` or `.parquet` of a folder.

    Raises:
        ManifestError: the file is missing or damaged; a needed column or value is missing; an id occurs twice.
        MissingDependency: a Parquet file, and pyarrow is not installed.
    """
    path = _table(Path(root))
    if path is None:
        raise ManifestError(f"{root}: not a table ({', '.join(ENDINGS)}), nor a folder with {' or '.join(NAMES)}")
    try:
        rows = list(_READERS[path.suffix.lower()](path))
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: {error.strerror if path.is_symlink() else 'no such file'}") from None
    except Refused as error:
        raise ManifestError(f"{path}: {error}") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not rows:
        raise ManifestError(f"{path}: no rows")
    utterances = [Utterance.from_row(_renamed(cells, where), where) for where, cells in rows]
    _check_ids(utterances, rows)
    return Manifest(tuple(utterances), path.parent, str(path))


def _table(root: Path) -> Path | None:
    if root.is_dir():
        return next((root / name for name in NAMES if (root / name).is_file()), None)
    return root if root.suffix.lower() in ENDINGS else None


def _csv_rows(path: Path) -> Iterator[Row]:
    return ((f"{path}: line {line}", dict(cells)) for line, cells in csv_rows(path))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    try:
        for line, cells in json_lines(path, dict[str, Any]):
            yield f"{path}: line {line}", cells
    except Refused as error:
        raise ManifestError(f"{path}: {error}; each line must be one object") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency.extra("pyarrow", "parquet") from None
    try:
        with doors.open_regular(path) as file, pyarrow.parquet.ParquetFile(file) as table:
            names = table.schema_arrow.names
            if len(set(names)) < len(names):
                raise Refused(f"column {doors.twice(names)} occurs twice; rename or drop one")
            if table.metadata.num_rows > MOST_ROWS:
                raise Refused(f"says that it has {table.metadata.num_rows:,} rows; at most {MOST_ROWS:,} are read")
            cells = [row for batch in table.iter_batches() for row in batch.to_pylist()]
    except Refused:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, OSError) and error.errno:  # it cannot be opened; pyarrow's own have no number
            raise
        why = " ".join(str(error).split())
        raise ManifestError(f"{path}: is not a Parquet file, or is damaged: {why[:200]}") from error
    for number, row in enumerate(cells, 1):
        # A missing number is often stored as NaN, the only value that does not equal itself.
        yield f"{path}: row {number}", {key: value for key, value in row.items() if value == value}  # noqa: PLR0124


_READERS = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}


def _renamed(cells: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`cells` with the house's column names, and `path` and `source` among them."""
    house = {alias: column for column, alias in ALIASES.items() if column not in cells}
    renamed = {house.get(key, key): value for key, value in cells.items()}
    for column in ("path", "source"):
        if column not in renamed:
            also = f" (or {ALIASES[column]!r})" if column in ALIASES else ""
            there = listed(cells)
            raise ManifestError(
                f"{where}: there is no column {column!r}{also}; a manifest needs path and source, "
                f"in CSV separated by commas. Columns here: {there}"
            )
    return renamed


def _check_ids(utterances: list[Utterance], rows: list[Row]) -> None:
    first: dict[str, int] = {}
    for index, utterance in enumerate(utterances):
        earlier = first.setdefault(utterance.id, index)
        if earlier == index:
            continue
        what = f"has the same id as {rows[earlier][0].rpartition(': ')[2]}, {utterance.id!r}"
        if "id" not in rows[index][1]:
            what = f"lists the same path as {rows[earlier][0].rpartition(': ')[2]}, {utterance.path!r}"
            raise ManifestError(
                f"{rows[index][0]} {what}, and without a column 'id' the path is the id; drop one of them, "
                "or add a column 'id' with unique values"
            )
        raise ManifestError(f"{rows[index][0]} {what}; ids must be unique")
