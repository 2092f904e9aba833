"""One table of utterances: a CSV, JSONL or Parquet file with at least the columns `path` and `source`.

Known columns are those of `Utterance`; a path is relative to the table's folder. These other names are taken
for them where the column itself is not there; every column that is not known goes to `extra`.

| column     | also as        |
|------------|----------------|
| source     | `model_name`   |
| family     | `architecture` |
| publisher  | `repository`   |
| text_id    | `content_id`   |
| duration_s | `duration`     |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synthprint.errors import ManifestError
from synthprint.reading.rows import csv_rows, json_lines, listed, parquet_rows
from synthprint.reading.schemas import Refused, short
from synthprint.types import Manifest, Utterance
from synthprint.types.manifest import COLUMNS

LICENCE = "your own table: the licence of the audio that it lists"
CITATION = "your own table: whatever the makers of the audio ask to be cited"
ADDRESS = "a file of this machine"

ALIASES = {
    "source": "model_name",
    "family": "architecture",
    "publisher": "repository",
    "text_id": "content_id",
    "duration_s": "duration",
}
ENDINGS = (".csv", ".jsonl", ".parquet")
NAMES = tuple(f"manifest{ending}" for ending in ENDINGS)  # looked for in a folder, in this order

TableRow = tuple[str, dict[str, Any]]  # where it stands, in words, and its cells


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
        utterances = _utterances(_READERS[path.suffix.lower()](path))
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: {error.strerror if path.is_symlink() else 'no such file'}") from None
    except Refused as error:
        raise ManifestError(f"{path}: {error}") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not utterances:
        raise ManifestError(f"{path}: no rows")
    return Manifest(tuple(utterances), path.parent, str(path))


def _table(root: Path) -> Path | None:
    if root.is_dir():
        return next((root / name for name in NAMES if (root / name).is_file()), None)
    return root if root.suffix.lower() in ENDINGS else None


def _csv_rows(path: Path) -> Iterator[TableRow]:
    return ((f"{path}: line {line}", dict(cells)) for line, cells in csv_rows(path))


def _jsonl_rows(path: Path) -> Iterator[TableRow]:
    try:
        for line, cells in json_lines(path, dict[str, Any]):
            yield f"{path}: line {line}", cells
    except Refused as error:
        raise ManifestError(f"{path}: {error}; each line must be one object") from error


def _parquet_rows(path: Path) -> Iterator[TableRow]:
    for number, row in parquet_rows(path, (*COLUMNS, *ALIASES.values())):
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
            columns = listed(cells)
            raise ManifestError(
                f"{where}: there is no column {column!r}{also}; a manifest needs path and source, "
                f"in CSV separated by commas. Columns here: {columns}"
            )
    return renamed


def _utterances(rows: Iterable[TableRow]) -> list[Utterance]:
    """The utterances of rows, as they are read: a file that repeats itself ends at the first row that it repeats."""
    utterances: list[Utterance] = []
    places: dict[str, str] = {}
    for where, cells in rows:
        utterance = Utterance.from_row(_renamed(cells, where), where)
        earlier = places.setdefault(utterance.id, where)
        if earlier is not where:
            raise _repeated(utterance, earlier.rpartition(": ")[2], where, "id" in cells)
        utterances.append(utterance)
    return utterances


def _repeated(utterance: Utterance, earlier: str, where: str, has_id: bool) -> ManifestError:
    if has_id:
        return ManifestError(f"{where} has the same id as {earlier}, {short(utterance.id)}; ids must be unique")
    return ManifestError(
        f"{where} lists the same path as {earlier}, {short(utterance.path)}, and without a column 'id' the path is "
        "the id; drop one of them, or add a column 'id' with unique values"
    )
