"""All of them, in memory: every vector is compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.hits import Hits, as_kept

__all__ = ["Exact"]


class Exact:
    """The closest by a scan of all vectors, which are held in memory and end with the process.

    Args:
        address, collection: see `Search`; they only name it in errors.
    """

    approximate = False

    def __init__(self, address: str = "memory", collection: str = "vectors") -> None:
        self._place = f"{address}/{collection}"
        self._segments: dict[str, tuple[Sequence[str], np.ndarray]] = {}
        self._scan: ClosestClips | None = None

    def segments(self) -> Mapping[str, int]:
        """See `Search`."""
        return {segment: len(ids) for segment, (ids, _) in self._segments.items()}

    def add(self, segment: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """See `Search`."""
        self._segments[segment] = tuple(ids), as_kept(vectors, ids, self._place)
        self._scan = None

    def drop(self, segments: Collection[str]) -> None:
        """See `Search`."""
        for segment in segments:
            self._segments.pop(segment, None)
        self._scan = None

    def prepare(self) -> None:
        """See `Search`: there is nothing to prepare."""

    def search(self, test: np.ndarray, nearest: int) -> list[Hits]:
        """See `Search`."""
        names = list(self._segments)
        starts = np.cumsum([0, *(len(ids) for ids, _ in self._segments.values())])
        if not starts[-1]:
            return [Hits((), np.zeros(0, np.int64), (), np.zeros((0, test.shape[1]), np.float32))] * len(test)
        if self._scan is None:
            vectors = np.concatenate([vectors for _, vectors in self._segments.values()])
            self._scan = ClosestClips(vectors, np.zeros(len(vectors), np.int64))
        _, positions, _ = self._scan.search(test, nearest)
        found = []
        for places in positions:
            of = np.searchsorted(starts, places, side="right") - 1
            rows = places - starts[of]
            segments = [names[i] for i in of.tolist()]
            ids = [self._segments[name][0][row] for name, row in zip(segments, rows.tolist(), strict=True)]
            found.append(Hits(segments, rows, ids, self._scan.vectors[places]))
        return found
