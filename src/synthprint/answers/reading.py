"""Answers read, a batch at a time: nothing is gathered, however many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.answers.manifest import DISTRUST, Origin, Shard, read_manifest
from synthprint.answers.schema import answer_schema, arrow
from synthprint.errors import AnswersError
from synthprint.reading import doors
from synthprint.reading.schemas import Refused

if TYPE_CHECKING:
    import pyarrow

MOST_GROUP_BYTES = 512 << 20  # of the columns that are read of a row group, decoded
MOST_GROUP_ROWS = 1 << 20
BATCH_ROWS = 1000
KEY_BYTES = 16


@dataclass(frozen=True, eq=False)
class Answers:
    """A folder of answers.

    Attributes:
        folder: where they lie.
        origin: what made them.
        shards: their files by name, in order.
    """

    folder: Path
    origin: Origin
    shards: Mapping[str, Shard]

    @classmethod
    def open(cls, folder: str | Path) -> Answers:
        """Read the manifest of a folder; the shards are read as they are asked for.

        Raises:
            AnswersError: there is none, or it is damaged.
            MissingDependency: pyarrow is not installed.
        """
        arrow()
        return cls(Path(folder), *read_manifest(Path(folder)))

    def __len__(self) -> int:
        """Rows."""
        return sum(shard.rows for shard in self.shards.values())

    @property
    def failures(self) -> int:
        """Rows with an error."""
        return sum(shard.failures for shard in self.shards.values())

    def batches(self, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS) -> Iterator[pyarrow.RecordBatch]:
        """All answers, some rows at a time, in the order of the shards; of all columns, or of those that are named.

        Raises:
            AnswersError: a shard is missing, damaged, or has other columns.
        """
        for name in self.shards:
            yield from self.shard_batches(name, columns, rows)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """All answers, one after the other; see `batches`."""
        for batch in self.batches(columns):
            yield from batch.to_pylist()

    def shard_batches(
        self, name: str, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
    ) -> Iterator[pyarrow.RecordBatch]:
        """As `batches`, of one shard."""
        schema = answer_schema(self.origin.dim)
        wanted = list(schema.names if columns is None else columns)
        with self._opened(name) as file:
            if not file.schema_arrow.equals(schema):
                raise Refused("has other columns than answers have")
            for group in range(file.metadata.num_row_groups):
                _check_size(file.metadata.row_group(group), wanted)
                for batch in file.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False):
                    yield batch.select(wanted)

    def metadata(self, name: str) -> dict[bytes, bytes]:
        """Of a shard, as it says what made it."""
        with self._opened(name) as file:
            return dict(file.schema_arrow.metadata or {})

    def keys(self, columns: Sequence[str]) -> Keys:
        """What stands in these columns of all rows, in little memory: to ask whether a clip was done."""
        return Keys.of(self.batches(columns), columns)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        """A shard as Parquet; whatever is wrong with it is an error that names it."""
        pa = arrow()
        path = self.folder / name
        with doors.ending_in(AnswersError, path, DISTRUST), doors.open_regular(path) as source:
            try:
                yield pa.parquet.ParquetFile(source)
            except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
                if isinstance(error, Refused):
                    raise
                raise Refused(f"is not Parquet, or damaged: {' '.join(str(error).split())[:200]}") from error


def embeddings_in(batch: pyarrow.RecordBatch) -> np.ndarray:
    """The embeddings [N, D] of the rows of a batch that have one."""
    column = batch.column("embedding")
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, column.type.list_size)


def _check_size(group: Any, wanted: Sequence[str]) -> None:
    """What a row group says of itself, before it is decoded."""
    parts = [group.column(place) for place in range(group.num_columns)]
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.partition(".")[0] in wanted)
    if group.num_rows > MOST_GROUP_ROWS or size > MOST_GROUP_BYTES:
        raise Refused(
            f"says that it has {group.num_rows:,} rows of {size:,} bytes in one group; at most "
            f"{MOST_GROUP_ROWS:,} rows of {MOST_GROUP_BYTES:,} bytes are read"
        )


def key(texts: Sequence[str | None]) -> bytes:
    """A short digest of some texts, for `Keys`."""
    joined = "\0".join("\1" if text is None else text for text in texts)
    return hashlib.blake2b(joined.encode("utf-8", "backslashreplace"), digest_size=KEY_BYTES).digest()


class Keys:
    """A set of short digests: 16 bytes each, however long the texts are.

    Args:
        digests: one after another, each of `key`.
    """

    def __init__(self, digests: bytes = b"") -> None:
        self._sorted = np.sort(np.frombuffer(digests, f"S{KEY_BYTES}"))

    @classmethod
    def of(cls, batches: Iterable[pyarrow.RecordBatch], columns: Sequence[str]) -> Keys:
        """Those of the rows of batches, by these columns."""
        digests = bytearray()
        for batch in batches:
            for row in batch.select(columns).to_pylist():
                digests += key([row[name] for name in columns])
        return cls(bytes(digests))

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, texts: Sequence[str | None]) -> bool:
        if not len(self._sorted):
            return False
        wanted = np.frombuffer(key(texts), f"S{KEY_BYTES}")[0]
        place = int(np.searchsorted(self._sorted, wanted))
        return place < len(self._sorted) and self._sorted[place] == wanted
