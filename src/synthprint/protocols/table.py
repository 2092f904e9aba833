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

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthprint.errors import ManifestError, MissingDependency
from synthprint.types import Manifest, Utterance

LICENCE = "your own table: the licence of the audio that it lists"
CITATION = "your own table: whatever the makers of the audio ask to be cited"
ADDRESS = "a file of this machine"

ALIASES = {"source": "model_name", "family": "architecture", "text_id": "content_id", "duration_s": "duration"}
ENDINGS = (".csv", ".jsonl", ".parquet")
NAMES = tuple(f"manifest{ending}" for ending in ENDINGS)  # looked for in a folder, in this order

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
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not UTF-8 text (byte {error.start}); save it again as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from error
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
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ManifestError(f"{path}: line 1: column {twice[0]!r} occurs twice; rename or drop one")
        for cells in reader:
            where = f"{path}: line {reader.line_num}"
            if not cells:
                continue  # an empty line
            if len(cells) != len(header):
                raise ManifestError(
                    f"{where} has {len(cells)} cells and the header {len(header)}; is a comma missing, or unquoted?"
                )
            yield where, dict(zip(header, cells, strict=True))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}: line {number}"
            if not line.strip():
                continue
            try:
                cells = json.loads(line)
            except json.JSONDecodeError as error:
                raise ManifestError(f"{where} is not JSON ({error}); each line must be one object") from None
            if not isinstance(cells, dict):
                raise ManifestError(f"{where} is not an object with path and source: {line.strip()[:80]}")
            yield where, cells


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependency.extra("pyarrow", "parquet") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            cells = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    except pyarrow.ArrowException as error:
        raise ManifestError(f"{path}: is not a Parquet file, or is damaged: {error}") from error
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
            there = ", ".join(cells) or "none"
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
