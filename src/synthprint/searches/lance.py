"""LanceDB: a collection on disk or in an object store, searched by inverted lists of codes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.errors import MissingDependency, RecipeError, SearchError
from synthprint.vectors.hits import Hits, as_kept

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Lance"]

VECTORS, SEGMENTS = "vectors", "segments"  # tables
BEGUN = -1  # in place of a number of rows: a writer may have been killed
MOST_UNINDEXED = 20  # one of so many vectors, before there is a new index
OLD = timedelta(hours=1)  # a version of a table that no search still reads
LEAST_INDEXED = 100_000  # vectors; a scan of fewer takes no longer than a probe of lists on a busy disk
BATCH_ROWS = 1 << 16
LIST_ROWS = 1 << 14  # of a list of the index, about
MOST_LISTS = 512  # to fill them, each vector is compared with the centre of each
MOST = 1 << 16  # of an option
CODED_DIMS = 8  # a code is whole bytes: vectors are filled up with zeros, which leave cosines as they are
TRAIN_ROUNDS, TRAIN_ROWS = 15, 64  # of k-means: rounds, and vectors a list


class Lance:
    """The closest by inverted lists (IVF): those whose centres are closest are looked through by codes of a bit a
    dimension, and the best of them compared by their vectors (Gao and Long, "RaBitQ: quantizing high-dimensional
    vectors with a theoretical error bound for approximate nearest neighbor search", 2024).

    Below `LEAST_INDEXED` vectors there is no index, and all are compared. What is not in the index is compared as it
    is; `prepare` makes a new one when that is more than a twentieth. Until it is ready all are compared.

    Args:
        address: a folder, or a URL of an object store ("s3://bucket/prefix"), whose credentials its own driver finds.
        collection: below it.
        probes: lists that are looked through.
        candidates: that are taken by their codes, to be compared by their vectors; more where more are asked for.
        half: keep vectors in half precision: half the size, cosines within 1e-4.

    Raises:
        RecipeError: an option is not a whole number of 1 or more.
        MissingDependency: on its first use: the extra `lance` is not installed.
    """

    def __init__(
        self,
        address: str,
        collection: str = "vectors",
        probes: int = 20,
        candidates: int = 1000,
        half: bool = False,
    ) -> None:
        for name, value in (("probes", probes), ("candidates", candidates)):
            if not isinstance(value, int) or not 1 <= value <= MOST:
                raise RecipeError(f"search lance: {name} = {value!r} must be a whole number from 1 to {MOST}")
        self._place = f"{str(address).rstrip('/')}/{collection}"
        self._probes, self._candidates, self._half = probes, candidates, half
        self._database: Any = None

    @property
    def approximate(self) -> bool:
        """See `Search`."""
        with self._reached():
            vectors = self._table(VECTORS)
            return vectors is not None and bool(_indices(vectors))

    def segments(self) -> Mapping[str, int]:
        """See `Search`."""
        with self._reached():
            return {segment: rows for segment, rows in self._named().items() if rows != BEGUN}

    def add(self, segment: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """See `Search`."""
        directions = _filled(as_kept(vectors, ids, self._place))
        with self._reached():
            import pyarrow as pa

            if segment in self._named():
                self._drop([segment])
            width = pa.float16() if self._half else pa.float32()
            schema = pa.schema([
                ("segment", pa.string()), ("row", pa.int64()), ("id", pa.string()),
                ("vector", pa.list_(width, directions.shape[1])),
            ])  # fmt: skip
            batches = _batches(schema, segment, ids, directions)
            self._name(segment, BEGUN)
            self._append(VECTORS, pa.RecordBatchReader.from_batches(schema, batches))
            self._name(segment, len(ids))

    def drop(self, segments: Collection[str]) -> None:
        """See `Search`."""
        with self._reached():
            self._drop([segment for segment in self._named() if segment in segments])

    def _drop(self, segments: Sequence[str]) -> None:
        """In this order: what is killed in between leaves them begun."""
        if not segments:
            return
        named = "segment IN ({})".format(", ".join("'" + segment.replace("'", "''") + "'" for segment in segments))
        self._table(SEGMENTS).delete(f"{named} AND rows != {BEGUN}")
        if (table := self._table(VECTORS)) is not None:
            table.delete(named)
        self._table(SEGMENTS).delete(named)

    def _named(self) -> dict[str, int]:
        """Segment -> how many vectors it has; BEGUN where it is not there whole."""
        table = self._table(SEGMENTS)
        rows = [] if table is None else table.to_arrow().to_pylist()
        named = {row["segment"]: BEGUN for row in rows}
        return named | {row["segment"]: row["rows"] for row in rows if row["rows"] != BEGUN}

    def _name(self, segment: str, rows: int) -> None:
        import pyarrow as pa

        self._append(SEGMENTS, pa.table({"segment": [segment], "rows": [rows]}))

    def prepare(self) -> None:
        """See `Search`."""
        with self._reached():
            if self._table(SEGMENTS) is not None:
                self._table(SEGMENTS).optimize()
            table = self._table(VECTORS)
            if table is None:
                return
            rows, names = table.count_rows(), _indices(table)
            if names and table.index_stats(names[0]).num_unindexed_rows * MOST_UNINDEXED <= rows:
                return
            for name in names:  # to bring it up to date takes longer than to make it anew
                table.drop_index(name)
            table.optimize(cleanup_older_than=OLD)
            if rows < LEAST_INDEXED:
                return
            from lancedb.index import IvfRq

            lists = min(MOST_LISTS, max(1, rows // LIST_ROWS))
            table.create_index(
                "vector",
                config=IvfRq(  # l2 of directions: the order of cosines
                    "l2", num_partitions=lists, max_iterations=TRAIN_ROUNDS, sample_rate=TRAIN_ROWS
                ),
            )

    def search(self, test: np.ndarray, nearest: int) -> list[Hits]:
        """See `Search`."""
        directions = as_kept(test, range(len(test)), self._place)  # type: ignore[arg-type]
        with self._reached():
            table = self._table(VECTORS)
            return [self._hits(table, direction, nearest) for direction in directions]

    def _hits(self, table: Any, direction: np.ndarray, nearest: int) -> Hits:
        if table is None or not nearest:
            return Hits((), np.zeros(0, np.int64), (), np.zeros((0, len(direction)), np.float32))
        query = (
            table.search(_filled(direction[None])[0], vector_column_name="vector").distance_type("l2").limit(nearest)
        )
        query = query.nprobes(self._probes).refine_factor(-(-self._candidates // nearest))
        rows = query.select(["segment", "row", "id", "vector", "_distance"]).to_arrow()
        flat = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return Hits(
            rows["segment"].to_pylist(),
            rows["row"].to_numpy(),
            rows["id"].to_pylist(),
            flat.astype(np.float32).reshape(len(rows), -1)[:, : len(direction)],
        )

    def _append(self, name: str, data: pa.Table | pa.RecordBatchReader) -> None:
        table = self._table(name)
        if table is None:
            self._connected().create_table(name, data=data)
        else:
            table.add(data)

    def _table(self, name: str) -> Any:
        """As it is now; None where it is not there."""
        if "://" not in self._place and not Path(self._place).is_dir():  # or the folder would be made
            return None
        return self._connected().open_table(name) if name in self._connected().list_tables().tables else None

    def _connected(self) -> Any:
        if self._database is None:
            os.environ.setdefault("LANCEDB_LOG", "error")  # it tells each new table on standard error
            import lancedb

            self._database = lancedb.connect(self._place)
        return self._database

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as error:
            raise MissingDependency.extra(error.name or "lancedb", "lance") from error
        except (OSError, RuntimeError, ValueError) as error:  # what lancedb raises, whatever is wrong
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SearchError(
                f"{self._place}: the collection cannot be used ({reason}); take it away, or make its place reachable, "
                "and have it built anew"
            ) from error


def _batches(schema: pa.Schema, segment: str, ids: Sequence[str], kept: np.ndarray) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    vector = schema.field("vector").type
    for start in range(0, len(ids), BATCH_ROWS):
        part = kept[start : start + BATCH_ROWS].astype(vector.value_type.to_pandas_dtype())
        yield pa.record_batch(
            [
                pa.array([segment] * len(part)),
                pa.array(np.arange(start, start + len(part))),
                pa.array(ids[start : start + len(part)], pa.string()),
                pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), vector.list_size),
            ],
            schema=schema,
        )


def _filled(vectors: np.ndarray) -> np.ndarray:
    return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % CODED_DIMS)))


def _indices(table: Any) -> list[str]:
    return [index.name for index in table.list_indices() if index.columns == ["vector"]]
