"""A Qdrant server: a collection on other machines, searched by a graph that they keep."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.errors import MissingDependency, RecipeError, SearchError
from synthprint.vectors.hits import Hits, as_kept

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["Qdrant"]

KEY = "QDRANT_API_KEY"  # environment variable
HERE = ":memory:"  # as the client names itself in place of a server
BATCH_ROWS = 512  # of a request: with 256 dimensions about 3 MB of JSON
MOST_SEGMENTS = 1 << 20
PATIENCE_S = 60


class Qdrant:
    """The closest by the graph of a Qdrant server (HNSW: Malkov and Yashunin, "Efficient and robust approximate nearest
    neighbor search using hierarchical navigable small world graphs", 2018), which builds it by itself.

    Args:
        address: URL of the server, "http://host:6333". Its key is taken from the environment, `QDRANT_API_KEY`.
        collection: its name there; made where there is none.
        exact: have the server compare all vectors.
        breadth: nodes that a search keeps in view (HNSW's ef).

    Raises:
        RecipeError: the breadth is not a whole number of 1 or more.
        MissingDependency: on its first use: the extra `qdrant` is not installed.
    """

    def __init__(self, address: str, collection: str = "vectors", exact: bool = False, breadth: int = 256) -> None:
        if not isinstance(breadth, int) or not 1 <= breadth <= 1 << 16:
            raise RecipeError(f"search qdrant: breadth = {breadth!r} must be a whole number from 1 to {1 << 16}")
        self._address, self._collection, self._exact, self._breadth = str(address), collection, exact, breadth

    @property
    def approximate(self) -> bool:
        """See `Search`: a server compares all, where it has no graph yet."""
        with self._reached():
            return not self._exact and self._exists and bool(self._info().indexed_vectors_count)

    def segments(self) -> Mapping[str, int]:
        """See `Search`."""
        with self._reached():
            if not self._exists:
                return {}
            counted = self._client.facet(self._collection, key="segment", limit=MOST_SEGMENTS, exact=True)
            there = {str(hit.value): hit.count for hit in counted.hits}
            firsts = [_point(segment, 0) for segment in there]  # each row says how many its segment has
            told = [row.payload or {} for row in self._client.retrieve(self._collection, firsts, ["segment", "of"])]
            return {row["segment"]: row["of"] for row in told if there.get(row["segment"]) == row["of"]}

    def add(self, segment: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """See `Search`."""
        from_here = as_kept(vectors, ids, self._place)
        self.drop([segment])
        with self._reached():
            from qdrant_client.models import Batch

            self._make(from_here.shape[1])
            for start in range(0, len(ids), BATCH_ROWS):
                rows = range(start, min(start + BATCH_ROWS, len(ids)))
                payloads = [{"segment": segment, "row": row, "of": len(ids), "id": ids[row]} for row in rows]
                batch = Batch(
                    ids=[_point(segment, row) for row in rows],
                    vectors=from_here[rows.start : rows.stop].tolist(),
                    payloads=payloads,
                )
                self._client.upsert(self._collection, batch)

    def drop(self, segments: Collection[str]) -> None:
        """See `Search`."""
        if not segments:
            return
        with self._reached():
            from qdrant_client.models import FieldCondition, Filter, FilterSelector, MatchAny

            named = FieldCondition(key="segment", match=MatchAny(any=sorted(segments)))
            if self._exists:
                self._client.delete(self._collection, FilterSelector(filter=Filter(must=[named])))

    def prepare(self) -> None:
        """See `Search`: the server does so by itself, and answers meanwhile."""

    def search(self, test: np.ndarray, nearest: int) -> list[Hits]:
        """See `Search`."""
        directions = as_kept(test, range(len(test)), self._place)  # type: ignore[arg-type]
        none = Hits((), np.zeros(0, np.int64), (), np.zeros((0, test.shape[1]), np.float32))
        with self._reached():
            if not nearest or not self._exists:
                return [none] * len(test)
            from qdrant_client.models import QueryRequest, SearchParams

            whole = self._address == HERE  # which compares all, and says so where it is given parameters
            params = None if whole else SearchParams(exact=self._exact, hnsw_ef=max(self._breadth, nearest))
            requests = [
                QueryRequest(query=row, limit=nearest, params=params, with_vector=True, with_payload=True)
                for row in directions.tolist()
            ]
            answers = self._client.query_batch_points(self._collection, requests)
            return [_hits(answer.points, none) for answer in answers]

    @property
    def _place(self) -> str:
        return f"{self._address}/{self._collection}"

    @cached_property
    def _client(self) -> QdrantClient:
        from qdrant_client import QdrantClient

        key = None if self._address == HERE else os.environ.get(KEY)
        return QdrantClient(self._address, api_key=key, timeout=PATIENCE_S, check_compatibility=False)

    @property
    def _exists(self) -> bool:
        return bool(self._client.collection_exists(self._collection))

    def _info(self) -> Any:
        return self._client.get_collection(self._collection)

    def _make(self, dim: int) -> None:
        from qdrant_client.models import Distance, PayloadSchemaType, VectorParams

        if self._exists:
            return
        # The dot product: of directions it is the cosine, and the server keeps them as they are.
        self._client.create_collection(self._collection, VectorParams(size=dim, distance=Distance.DOT, on_disk=True))
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # in place of a server there is none
            self._client.create_payload_index(self._collection, "segment", PayloadSchemaType.KEYWORD)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            from qdrant_client.common.client_exceptions import QdrantException
            from qdrant_client.http.exceptions import ApiException
        except ModuleNotFoundError as error:
            raise MissingDependency.extra("qdrant-client", "qdrant") from error
        try:
            yield
        except (QdrantException, ApiException, OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SearchError(
                f"{self._place}: the collection cannot be used ({reason}); start the server, name another, or set its "
                f"key in {KEY}"
            ) from error


def _point(segment: str, row: int) -> str:
    """The id of a vector on the server: the same, whoever adds it and how often."""
    return str(uuid.UUID(bytes=sha256(f"{row}:{segment}".encode()).digest()[:16]))


def _hits(points: Sequence[Any], none: Hits) -> Hits:
    if not points:
        return none
    payloads = [point.payload for point in points]
    return Hits(
        [str(payload["segment"]) for payload in payloads],
        np.array([int(payload["row"]) for payload in payloads], np.int64),
        [str(payload["id"]) for payload in payloads],
        np.array([point.vector for point in points], np.float32),
    )
