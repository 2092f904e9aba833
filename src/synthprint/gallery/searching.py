"""The nearest clips of a gallery by a search that keeps a collection of its own, beside the gallery or elsewhere.

A collection is derived from the gallery's segments, each by its digest, and is never believed. Its hits say which
enrolled clips are compared; every cosine and score is of the gallery's own embeddings. Clips whose segment is not in it
are all compared, and hits of clips that were removed do not count. So after any edit an answer is as it would be
with a collection that is up to date, and only takes longer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from synthprint import shelves
from synthprint.errors import GalleryError, RecipeError
from synthprint.gallery.contents import Contents
from synthprint.gallery.index import INDEX
from synthprint.gallery.segments import read_segment
from synthprint.shelves import Search
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import unit
from synthprint.vectors.hits import Hits, closest

COLLECTIONS = "collections"  # beside the segments
VARIABLE = "SYNTHPRINT_{}"  # of the environment, by the search's name
CANDIDATES = 100  # that are compared anew, at least


class State(NamedTuple):
    """What a gallery's collection holds of it: clips, of how many; and how many that are none of its (any more)."""

    held: int
    clips: int
    others: int


def address_of(gallery: Contents) -> str:
    """Where the collection of a gallery lies: where the environment says, by SYNTHPRINT_LANCE or SYNTHPRINT_QDRANT.

    Without that, it is a folder beside the segments. A gallery itself, which a stranger may have made, cannot say.

    Raises:
        GalleryError: its search needs a server, and none is named.
    """
    variable = VARIABLE.format(gallery.index.search.name.upper())
    if named := os.environ.get(variable):
        return named
    if gallery.index.search.name == "qdrant":
        raise GalleryError(
            f"{gallery.folder}: is searched by a Qdrant server, and none is named; set {variable} to its URL, or "
            "choose the search 'exact'"
        )
    return str(gallery.folder / COLLECTIONS)


def open_search(gallery: Contents) -> Search:
    """The search of a gallery, over its collection.

    Raises:
        GalleryError: it is none of synthprint's, does not take the options it is given, or has no server.
    """
    setting = gallery.index.search
    setting.check_name(gallery.folder)
    try:
        search: Search = shelves.build(
            "searches", setting.name, setting.options, address=address_of(gallery), collection=setting.collection
        )
    except RecipeError as error:
        raise GalleryError(f"{gallery.folder / INDEX}: search.options: {error}") from error
    return search


def state(gallery: Contents, search: Search) -> State:
    """What the collection of a gallery holds of it.

    Raises:
        SearchError: it is out of reach, or damaged.
    """
    there = search.segments()
    held = sum(place.stop - place.start for place in _held(gallery, there).values())
    return State(held, len(gallery.clips), sum(there.values()) - held)


def bring_up_to_date(gallery: Contents, search: Search) -> None:
    """Have a collection hold the segments of a gallery, and no others; clips that were removed are held with theirs.

    Raises:
        GalleryError: a segment is missing, or damaged.
        SearchError: the collection is out of reach, or damaged.
    """
    there, places = search.segments(), _places(gallery)
    held = _held(gallery, there)
    search.drop([name for name in there if name not in held])
    for entry in gallery.index.segments:
        if entry.vectors_sha256 in places and entry.vectors_sha256 not in held:
            vectors, clips = read_segment(gallery.folder, entry, gallery.index.extractor)
            search.add(entry.vectors_sha256, clips.ids, vectors)
    search.prepare()


def _places(gallery: Contents) -> dict[str, slice]:
    """Where the clips of each segment are that has any: digest of the segment -> positions."""
    numbers = gallery.segment_rows[:, 0]
    starts = [*np.flatnonzero(np.diff(numbers, prepend=0)).tolist(), len(numbers)]
    of = {int(numbers[start]): slice(start, stop) for start, stop in pairwise(starts)}
    return {entry.vectors_sha256: of[entry.number] for entry in gallery.index.segments if entry.number in of}


def _held(gallery: Contents, there: Mapping[str, int]) -> dict[str, slice]:
    """Those of `_places` whose segment is in a collection, with as many vectors as it has clips."""
    clips = {entry.vectors_sha256: entry.clips for entry in gallery.index.segments}
    return {name: place for name, place in _places(gallery).items() if there.get(name) == clips[name]}


class SearchedClips:
    """The clips of a gallery that are closest to test utterances, by its search; to be used as `ClosestClips`.

    Args:
        gallery: whose clips.
        k: have sources score, too, as `ClosestClips` does, where one of their clips is a candidate; one without any
            scores -inf. None: they do not.

    Attributes:
        approximate: whether a closer clip may be missing.

    Raises:
        GalleryError: see `open_search`.
        SearchError: the collection is out of reach, or damaged.
    """

    def __init__(self, gallery: Contents, k: int | None) -> None:
        self.gallery, self.k = gallery, k
        self._search = open_search(gallery)
        there = self._search.segments()
        self._places = _held(gallery, there)
        left = np.ones(len(gallery.clips), bool)
        for place in self._places.values():
            left[place] = False
        self._left = np.flatnonzero(left)
        held = len(left) - len(self._left)
        self._removed = max(1.0, sum(there.values()) / held) if held else 1.0  # so many times as many hits are needed
        self.approximate = bool(held) and self._search.approximate

    def search(self, test: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `ClosestClips.search`: scores [S, T], positions and cosines [T, min(nearest, N)]."""
        directions, most = unit(test), min(nearest, len(self.gallery.clips))
        found = [np.zeros(0, np.int64)] * len(test)
        if self._places:
            asked = int(np.ceil(max(CANDIDATES, nearest) * self._removed))
            found = [self._positions(hits) for hits in self._search.search(directions, asked)]
        if len(self._left):
            _, places, _ = self._scan_left.search(directions, max(CANDIDATES, nearest))
            found = [np.union1d(*both) for both in zip(found, self._left[places], strict=True)]
        return self._compared(directions, found, most)

    def _compared(
        self, test: np.ndarray, found: Sequence[np.ndarray], most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`search`, by the candidates of each test direction, in the order that they were enrolled."""
        scores = np.full((len(self.gallery.names), len(test)), -np.inf, np.float32)
        positions, similar = np.zeros((len(test), most), np.int64), np.zeros((len(test), most), np.float32)
        for i, candidates in enumerate(found):
            if len(candidates) < most:  # a collection that is not what it says
                one, (positions[i],), (similar[i],) = self._scan.search(test[i : i + 1], most)
                scores[:, i] = one[:, 0]
                continue
            order, similar[i] = closest(test[i], unit(self.gallery.vectors[candidates]), most)
            positions[i] = candidates[order]
            if self.k is not None:
                sources = np.unique(self.gallery.owners[candidates])
                scores[sources, i] = self._scored(test[i : i + 1], sources)
        return scores, positions, similar

    def _scored(self, test: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The scores [C] of some sources, by all of their clips."""
        clips = np.concatenate([self._of_source[source] for source in sources.tolist()])
        owners = np.searchsorted(sources, self.gallery.owners[clips])
        return ClosestClips(self.gallery.vectors[clips], owners, self.k or 1)(test)[:, 0]

    def _positions(self, hits: Hits) -> np.ndarray:
        """Of the clips that are hit and enrolled, in order and each once."""
        found = []
        for name, row in zip(hits.segments, hits.rows.tolist(), strict=True):
            if (place := self._places.get(name)) is not None:
                rows = self.gallery.segment_rows[place, 1]
                at = int(np.searchsorted(rows, row))
                if at < len(rows) and rows[at] == row:
                    found.append(place.start + at)
        return np.unique(np.array(found, np.int64))

    @cached_property
    def _of_source(self) -> list[np.ndarray]:
        owners = self.gallery.owners
        order = np.argsort(owners, kind="stable")
        return np.split(order, np.searchsorted(owners[order], np.arange(1, len(self.gallery.names))))

    @cached_property
    def _scan(self) -> ClosestClips:
        return ClosestClips(self.gallery.vectors, self.gallery.owners, self.k or 1)

    @cached_property
    def _scan_left(self) -> ClosestClips:
        return ClosestClips(self.gallery.vectors[self._left], np.zeros(len(self._left), np.int64))
