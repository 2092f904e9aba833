"""Answers written: shard after shard, each whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.answers.manifest import MANIFEST, Origin, Shard, add_line, origin_text, read_manifest, write_manifest
from synthprint.answers.reading import Answers
from synthprint.answers.schema import TIME, answer_schema, arrow
from synthprint.errors import AnswersError
from synthprint.reading import doors

GROUP_ROWS = 1000  # of a row group: what is in memory at once
ORIGIN_KEY = b"synthprint"
REPEATED = ("source", "family", "human", "error", "outside.list.element", "nearest.list.element.source")


class AnswersWriter:
    """Adds shards to a folder of answers; a folder that is new is begun.

    One process adds at a time. `write_shard` may be called by any number, each for names of its own.

    Attributes:
        folder, origin: where the answers lie, and what makes them.
        shards: those in the manifest, by name.

    Raises:
        AnswersError: something else made the answers that are there; or they are damaged.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: str | Path, origin: Origin) -> None:
        self.folder, self.origin = Path(folder), origin
        files.check_place(self.folder, folder=True)
        self.shards: dict[str, Shard] = {}
        if not (self.folder / MANIFEST).exists():
            if self.folder.is_dir() and any(self.folder.glob("*.parquet")):
                raise AnswersError(f"{self.folder}: holds Parquet files and no manifest; name another folder")
            write_manifest(self.folder, origin)
        before, self.shards = read_manifest(self.folder)
        if other := before.differences(origin):
            raise AnswersError(f"{self.folder}: holds other answers ({'; '.join(other)}); name another folder")

    def write(self, rows: Iterable[dict[str, Any]], name: str | None = None) -> Shard | None:
        """Write a shard and add it; None where there are no rows. Without a name it has the next free number."""
        head = list(islice(rows := iter(rows), 1))
        if not head:
            return None
        shard = write_shard(self.folder, name or self.next_name(), self.origin, chain(head, rows))
        self.add([shard])
        return shard

    def next_name(self) -> str:
        """A name for a further shard, behind all others."""
        last = max((int(name.removesuffix(".parquet").rpartition("-")[2]) for name in self.shards), default=-1)
        return f"shard-{last + 1:09d}.parquet"

    def add(self, shards: Sequence[Shard], removed: Iterable[str] = ()) -> None:
        """Put shards that are in their places into the manifest, and take others out of it and off the disk."""
        gone = [name for name in removed if name in self.shards]
        add_line(self.folder, shards, gone)
        self.shards |= {shard.name: shard for shard in shards}
        for name in gone:
            del self.shards[name]
            (self.folder / name).unlink(missing_ok=True)

    def finish(self) -> None:
        """Put the manifest into the order of the shards' names: the same whichever was ready first."""
        with files.locked(self.folder):
            write_manifest(self.folder, self.origin, self.shards.values())


def write_shard(folder: Path, name: str, origin: Origin, rows: Iterable[dict[str, Any]]) -> Shard:
    """Write the shard FOLDER/NAME of rows of `schema.row`, in bounded memory.

    The bytes are the same for the same rows, but for those of the column of times, which are as many and in one place.

    Raises:
        OutputError: it cannot be written.
    """
    pa = arrow()
    schema = answer_schema(origin.dim).with_metadata({ORIGIN_KEY: origin_text(origin)})
    remaining, count, failures = iter(rows), 0, 0
    with files.atomic(folder / name) as temporary:
        with pa.parquet.ParquetWriter(temporary, schema, **_settings(schema)) as writer:
            while some := list(islice(remaining, GROUP_ROWS)):
                writer.write_table(pa.Table.from_pylist(some, schema=schema))
                count += len(some)
                failures += sum(row["error"] is not None for row in some)
        size, digest = temporary.stat().st_size, doors.sha256(temporary)
    return Shard(name, count, failures, size, digest)


def _settings(schema: Any) -> dict[str, Any]:
    """How the columns are stored: the times so that their number alone tells where their bytes are."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(schema.empty_table(), sink)
    leaves = pa.parquet.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    names = [leaves.column(place).path for place in range(len(leaves.names))]
    return {
        "compression": {name: "NONE" if name == TIME else "ZSTD" for name in names},
        "use_dictionary": [name for name in names if name in REPEATED],
        "write_statistics": [name for name in names if name != TIME],
    }


def written_shard(folder: Path, name: str, origin: Origin) -> Shard | None:
    """A shard that is in its place, whether or not the manifest names it; None where there is none of this origin.

    Raises:
        AnswersError: it is damaged.
    """
    path = folder / name
    if not path.exists():
        return None
    answers = Answers(folder, origin, {name: Shard(name, 0, 0, path.stat().st_size, "")})
    if answers.metadata(name).get(ORIGIN_KEY) != origin_text(origin).encode():
        return None
    rows = failures = 0
    for batch in answers.batches(["error"]):
        rows += batch.num_rows
        failures += batch.num_rows - batch.column(0).null_count
    return Shard(name, rows, failures, path.stat().st_size, doors.sha256(path))
