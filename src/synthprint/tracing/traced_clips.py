"""The embeddings of clips that were traced, kept by a search, to be asked which of them are the closest to a clip."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.errors import SearchError
from synthprint.shelves import Search
from synthprint.vectors.directions import unit
from synthprint.vectors.hits import closest

CANDIDATES = 100  # that are compared anew, at least


@dataclass(frozen=True)
class SimilarClip:
    """A clip that was traced before, by its id, and its cosine to the one that is asked for."""

    id: str
    score: float


class TracedClips:
    """Clips that were traced, in the collection of a search: in memory, on a disk, in an object store, on a server.

    They come in segments, each by the digest of what it comes from, such as the file that `synthprint embed` wrote or
    a shard of answers. A segment that is held is not taken again, so whoever is stopped goes on.

    Args:
        search: from the shelf of searches, over a collection that is for these alone: of one extractor.
    """

    def __init__(self, search: Search) -> None:
        self._search = search

    @property
    def approximate(self) -> bool:
        """Whether a closer clip may be missing from what `nearest` gives."""
        return self._search.approximate

    def __len__(self) -> int:
        return sum(self._search.segments().values())

    def missing(self, segments: Collection[str]) -> list[str]:
        """Of segments, those that are not held whole.

        Raises:
            SearchError: the collection is out of reach.
        """
        held = self._search.segments()
        return [segment for segment in segments if segment not in held]

    def add(self, segment: str, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Take in a segment whole; one that is held already is replaced.

        Args:
            ids: of the clips: their addresses, or whatever they are found by.
            vectors: [N, D] their embeddings.

        Raises:
            SearchError: a value is not finite, there are not as many ids, or the collection is out of reach.
        """
        self._search.add(segment, ids, vectors)

    def drop_others(self, segments: Collection[str]) -> list[str]:
        """Drop every segment but these; returns those that were dropped.

        Raises:
            SearchError: the collection is out of reach.
        """
        others = [segment for segment in self._search.segments() if segment not in segments]
        if others:
            self._search.drop(others)
        return others

    def prepare(self) -> None:
        """Make asking fast again, once segments were added or dropped.

        Raises:
            SearchError: the collection is out of reach.
        """
        self._search.prepare()

    def nearest(self, vectors: np.ndarray, most: int = 10) -> list[list[SimilarClip]]:
        """The clips most similar to each of T embeddings [T, D], the closest first, compared exactly as they are kept.

        Raises:
            SearchError: a value is not finite, the embeddings are of another size than those that are kept, or the
                collection is out of reach.
        """
        directions = unit(vectors)
        if not np.isfinite(directions).all():
            raise SearchError("an embedding that is asked for has a value that is not finite; leave it out")
        answers = []
        for direction, hits in zip(directions, self._search.search(directions, max(most, CANDIDATES)), strict=True):
            # In one order, whatever that of the hits, so that of equals always the same comes first.
            order = sorted(range(len(hits.ids)), key=lambda i: (hits.ids[i], hits.segments[i]))
            places, similar = closest(direction, unit(hits.vectors[order]), most)
            answers.append(
                [SimilarClip(hits.ids[order[i]], float(s)) for i, s in zip(places.tolist(), similar, strict=True)]
            )
        return answers
