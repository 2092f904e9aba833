"""Enrolled sources, ready for identification: a folder that grows with each edit (see `gallery.index`).

Segments are written first and the index last: a gallery whose writer was killed is the gallery before. Writers
wait for each other; readers need no lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery import edits, history
from synthprint.gallery.additions import Enrolled, check_enrolled, merged_sources, sort_out, with_free_ids
from synthprint.gallery.contents import Contents
from synthprint.gallery.index import SEGMENTS, BackendSetting, EnrolledClip, EnrolledSource, Index
from synthprint.gallery.search_setting import SearchSetting
from synthprint.gallery.segments import Clips, drop_segments, read_segments, segment_paths, write_segment
from synthprint.gallery.starting import starting
from synthprint.types import Embeddings
from synthprint.vectors.directions import unit

Read = TypeVar("Read")


class Gallery(Contents):
    """A gallery on disk, as it was when it was opened or last changed through this object; see also `Contents`."""

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """Open the gallery in `folder`.

        Raises:
            GalleryError: it is missing, damaged or of another version.
        """
        folder = Path(folder)
        return _steady(folder, lambda index: cls(folder, index, read_segments(folder, index)))

    @classmethod
    def create(cls, folder: str | Path, extractor: str) -> Gallery:
        """Start an empty gallery for the embeddings of one extractor, named by its digest.

        Raises:
            GalleryError: the folder is not empty.
            OutputError: it cannot be written.
        """
        folder = Path(folder)
        with files.turn(folder), starting(folder) as place:
            Index(extractor).write(place)
        return cls.load(folder)

    def copy(self, folder: str | Path) -> Gallery:
        """Start a gallery as a copy of this one.

        Raises:
            GalleryError: the folder is not empty.
            OutputError: it cannot be written.
        """
        folder = Path(folder)
        with files.turn(folder), starting(folder) as place:
            self.copy_files(place)
        return Gallery.load(folder)

    def copy_files(self, place: Path) -> None:
        """Write what this gallery consists of into the folder `place`; its search, which it can do without, is not."""
        (place / SEGMENTS).mkdir()
        for segment in self.index.segments:
            for path in segment_paths(self.folder, segment):
                shutil.copyfile(path, place / SEGMENTS / path.name)
        self.index.without_search().write(place)

    def reload(self) -> None:
        """Take up what was changed on disk since; only segments that are new are read."""
        _steady(self.folder, self._renew)

    def _renew(self, index: Index) -> None:
        count = len(self.index.segments)
        if index == self.index:
            return
        if index.segments[:count] == self.index.segments:
            here = (self.vectors, self.clips, self.segment_rows)
            self._take_up(index, [here, *read_segments(self.folder, index, count)])
        else:
            self._take_up(index, read_segments(self.folder, index))

    def declare_aliases(self, source: str, others: Sequence[str]) -> None:
        """Say that `others` are the same system as `source`: from now on they are answered as one, under its name.

        Thresholds and calibrations stay as they are.

        Raises:
            GalleryError: one is not enrolled, is `source` itself, or is of another family.
        """
        with self._changing():
            self._commit(aliases=edits.with_aliases(self.folder, self.index, source, others))

    def separate(self, aliases: Sequence[str]) -> None:
        """Take back that these are aliases.

        Raises:
            GalleryError: one is none.
        """
        with self._changing():
            self._commit(aliases=edits.without_aliases(self.folder, self.index, aliases))

    def enrol(
        self,
        embeddings: Embeddings,
        clips: Sequence[EnrolledClip],
        sources: Mapping[str, EnrolledSource],
        force: bool = False,
        half: bool = False,
    ) -> Enrolled:
        """Add clips to their sources; a source that is new starts with them. Thresholds stay as they are.

        A clip whose file is enrolled under the same source already is left out.

        Args:
            embeddings: of the clips, in the same order.
            clips: an id that is taken gets a number.
            sources: what is known of the sources; a family that is given must not contradict the one enrolled.
            force: also take a clip whose file is enrolled under another source.
            half: keep the embeddings in half precision, L2-normalised: half the size, cosines within 1e-6.

        Raises:
            GalleryError: another extractor made the embeddings, a family contradicts, or a file is enrolled under
                another source.
        """
        self.check_extractor(embeddings.extractor)
        if len(embeddings) != len(clips):
            raise GalleryError(f"{self.folder}: {len(clips)} clips need as many embeddings, not {len(embeddings)}")
        with self._changing():
            if len(self.vectors) and embeddings.dim != self.vectors.shape[1]:
                raise GalleryError(
                    f"{self.folder}: holds vectors of size {self.vectors.shape[1]}, not {embeddings.dim}"
                )
            new, already = sort_out(self.clips, clips, force)
            vectors = unit(embeddings.vectors[new]).astype(np.float16) if half else embeddings.vectors[new]
            added = self._add([clips[i] for i in new], vectors, sources) if new else ()
        return Enrolled(added, already, clip_counts=self.clip_counts(), sources=len(self.names))

    def _add(
        self, clips: Sequence[EnrolledClip], vectors: np.ndarray, given: Mapping[str, EnrolledSource]
    ) -> tuple[str, ...]:
        """Write a segment of these clips, and an index that names it; returns the ids that they got."""
        try:
            sources = merged_sources(self.index.sources, given, {clip.source for clip in clips})
        except GalleryError as error:
            raise GalleryError(f"{self.folder}: {error}") from error
        renamed = with_free_ids(clips, self.clips.ids)
        number = max((segment.number for segment in self.index.segments), default=0) + 1
        segment = write_segment(self.folder, number, vectors, Clips.from_clips(renamed), self.index.extractor)
        self._commit(segments=(*self.index.segments, segment), sources=sources)
        return tuple(clip.id for clip in renamed)

    def remove(self, source: str) -> int:
        """Take a source out; returns how many clips it had. It can be enrolled anew.

        Raises:
            GalleryError: it is not enrolled.
        """
        with self._changing():
            check_enrolled(self.folder, self.index.sources, [source])
            count = self.clip_counts()[source]
            self._commit(**edits.without_source(self.index, source))
        return count

    def merge(self, other: Gallery, force: bool = False) -> Enrolled:
        """Add all that `other` has enrolled; see `enrol`. Thresholds and aliases stay this gallery's."""
        return self.enrol(other.embeddings, other.clips, other.index.sources, force)

    def set_backends(self, backends: Mapping[str, BackendSetting], default: str | None = None) -> None:
        """Store the settings of backends, and which of them answers by default."""
        with self._changing():
            self._commit(backends={**self.index.backends, **backends}, backend=default or self.index.backend)

    def set_search(self, search: SearchSetting) -> None:
        """Store what finds the nearest clips.

        Raises:
            GalleryError: there is no such search.
        """
        search.check_name(self.folder)
        with self._changing():
            self._commit(search=search)

    def undo(self) -> str:
        """Take back the last edit of this gallery, whoever made it; returns what that was, in words.

        Raises:
            GalleryError: there is none that can be undone, or what lay before it is damaged.
        """
        with self._changing():
            before = history.last(self.folder)
            parts = read_segments(self.folder, before)
            Gallery(self.folder, before, parts)  # or it is refused, and this one stays
            undone, after = edits.describe(before, self.index, self._enrolled_since(before)), self.index
            history.put_back(self.folder)
            self._take_up(before, parts)
            named = {segment.number for segment in before.segments}
            drop_segments(self.folder, [segment for segment in after.segments if segment.number not in named])
        return undone

    def _enrolled_since(self, before: Index) -> tuple[str, ...]:
        """The sources of clips in segments that a former index does not name."""
        new = ~np.isin(self.segment_rows[:, 0], [segment.number for segment in before.segments])
        return tuple(self.clips.sources[i] for i in np.unique(self.clips.owners[new]).tolist())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with files.locked(self.folder):
            self.reload()
            yield

    def _commit(self, **changes: Any) -> None:
        index = replace(self.index, **changes)
        history.keep(self.folder, index)
        index.write(self.folder)
        self.reload()


def _steady(folder: Path, read: Callable[[Index], Read]) -> Read:
    """What `read` makes of the index; again, where an edit was undone meanwhile, and a segment went with it.

    An edit that is undone and done again has the same index, so an index that stays is read twice more.
    """
    left = 3
    while True:
        index = Index.read(folder)
        try:
            return read(index)
        except GalleryError:
            left -= Index.read(folder) == index
            if not left:
                raise
