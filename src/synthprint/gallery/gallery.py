"""Enrolled sources, ready for identification: a folder that only grows (see `gallery.index`).

Segments are written first and the index last: a gallery whose writer was killed is the gallery before. Writers
wait for each other; readers need no lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import files
from synthprint.errors import GalleryError
from synthprint.gallery.additions import Enrolled, check_enrolled, merged_sources, sort_out, with_free_ids
from synthprint.gallery.index import INDEX, REMEDY, SEGMENTS, BackendSetting, EnrolledClip, EnrolledSource, Index
from synthprint.gallery.segments import Clips, SegmentPart, live, read_segments, segment_paths, write_segment
from synthprint.gallery.starting import starting
from synthprint.reading import doors
from synthprint.types import Embeddings
from synthprint.vectors.directions import unit


class Gallery:
    """A gallery on disk, as it was when it was opened or last changed through this object.

    Attributes:
        folder: where it lies.
        index: what gallery.json says.
        names: S enrolled sources, sorted; sources that are aliases of another are one with it.
        clips: N enrolled clips; a sequence of `EnrolledClip`, kept as columns.
        vectors: [N, D] float32, their embeddings.
        owners: [N] int64, the source of each as an index into `names`.
    """

    def __init__(self, folder: Path, index: Index, parts: Sequence[SegmentPart]) -> None:
        self.folder = folder
        self._take_up(index, parts)

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """Open the gallery in `folder`.

        Raises:
            GalleryError: it is missing, damaged or of another version.
        """
        folder = Path(folder)
        index = Index.read(folder)
        return cls(folder, index, read_segments(folder, index))

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
        """Write what this gallery consists of into the folder `place`."""
        (place / SEGMENTS).mkdir()
        for segment in self.index.segments:
            for path in segment_paths(self.folder, segment):
                shutil.copyfile(path, place / SEGMENTS / path.name)
        self.index.write(place)

    def reload(self) -> None:
        """Take up what was changed on disk since; only segments that are new are read."""
        index, count = Index.read(self.folder), len(self.index.segments)
        if index == self.index:
            return
        if index.segments[:count] == self.index.segments:
            here = (self.vectors, self.clips, self._segments)
            self._take_up(index, [here, *read_segments(self.folder, index, count)])
        else:
            self._take_up(index, read_segments(self.folder, index))

    def _take_up(self, index: Index, parts: Sequence[SegmentPart]) -> None:
        parts = [live(index, *part) for part in parts if len(part[1])]
        enrolled = tuple(sorted(index.sources))
        names = tuple(name for name in enrolled if name not in index.aliases)
        try:
            clips = Clips.joined([clips for _, clips, _ in parts], enrolled)
            vectors = _joined([vectors for vectors, _, _ in parts], np.zeros((0, 0), np.float32))
            row = {name: i for i, name in enumerate(names)}
            rows = np.array([row[index.aliases.get(name, name)] for name in enrolled], np.int64)
        except (GalleryError, KeyError, ValueError) as error:  # a source that is not there; vectors of two sizes
            raise self._unfit() from error
        if not np.bincount(clips.owners, minlength=len(enrolled)).all():
            raise self._unfit()
        self.index, self.names, self.vectors, self.clips = index, names, vectors, clips
        self.owners = rows[clips.owners] if index.aliases else clips.owners
        self.__dict__.pop("publisher_counts", None)
        self._segments = _joined([numbers for _, _, numbers in parts], np.zeros(0, np.int64))  # of each clip

    def _unfit(self) -> GalleryError:
        return GalleryError(f"{self.folder}: {INDEX} and the segments do not fit together; {REMEDY}")

    @property
    def embeddings(self) -> Embeddings:
        """The enrolled clips' embeddings, under the clips' ids."""
        return Embeddings(self.clips.ids, self.vectors, self.index.extractor)

    @property
    def publishers(self) -> np.ndarray | None:
        """[N] the publisher of each clip, as an index into `clips.publishers`, -1 where unknown; None: all are."""
        return self.clips.publisher_of if self.clips.publishers else None

    @cached_property
    def publisher_counts(self) -> tuple[dict[str, int], ...]:
        """Of each of `names`, aliases included: publisher -> how many of its clips it put out, the most first."""
        return self.clips.count_publishers(self.owners, len(self.names))

    def setting(self, backend: str) -> BackendSetting:
        """How this gallery uses a backend."""
        return self.index.backends.get(backend, BackendSetting())

    def check_extractor(self, digest: str) -> None:
        """Make sure that what is compared with this gallery comes from its extractor.

        Raises:
            GalleryError: it does not.
        """
        if digest != self.index.extractor:
            raise GalleryError(
                f"{self.folder}: was made with extractor {self.index.extractor[:12]}, not with "
                f"{digest[:12] or 'an unnamed one'}; use the model it was made with, or enrol its sources again"
            )

    def clip_counts(self) -> dict[str, int]:
        """How many clips each source has, aliases by themselves."""
        names = self.clips.sources
        return dict(zip(names, np.bincount(self.clips.owners, minlength=len(names)).tolist(), strict=True))

    def source_clips(self, source: str) -> list[EnrolledClip]:
        """The clips of a source, without those of its aliases; none, where it is not enrolled."""
        at = self.clips.sources.index(source) if source in self.index.sources else -1
        return [self.clips[i] for i in np.flatnonzero(self.clips.owners == at).tolist()]

    def enrolled_among(self, paths: Mapping[str, Path]) -> set[str]:
        """Of files by id, those that are enrolled, by their content; what is no file is not."""
        digests = {key: doors.sha256(path) for key, path in paths.items() if path.is_file()}
        enrolled = {self.clips[i].sha256 for i in self.clips.find_files(set(digests.values()))}
        return {key for key, digest in digests.items() if digest in enrolled}

    def identity(self, source: str) -> str:
        """The name under which a source answers: of an alias, the one it stands for."""
        return self.index.aliases.get(source, source)

    def find_aliases(self, source: str) -> tuple[str, ...]:
        """The other names of a source, sorted."""
        return tuple(sorted(alias for alias, name in self.index.aliases.items() if name == source))

    def declare_aliases(self, source: str, others: Sequence[str]) -> None:
        """Say that `others` are the same system as `source`: from now on they are answered as one, under its name.

        Thresholds and calibrations stay as they are.

        Raises:
            GalleryError: one is not enrolled, is `source` itself, or is of another family.
        """
        with self._changing():
            check_enrolled(self.folder, self.index.sources, [source, *others])
            source = self.identity(source)
            for other in others:
                families = {family for name in (source, other) if (family := self.index.sources[name].family)}
                if self.identity(other) == source or len(families) > 1:
                    of_another = f"is of another family ({' and '.join(sorted(families))})"
                    why = "is that source" if len(families) < 2 else of_another
                    raise GalleryError(f"{self.folder}: {other!r} cannot be an alias of {source!r}: it {why}")
            joined = {self.identity(other) for other in others}
            moved = {name: source for name in self.index.sources if self.identity(name) in joined}
            self._commit(aliases={**self.index.aliases, **moved})

    def separate(self, aliases: Sequence[str]) -> None:
        """Take back that these are aliases.

        Raises:
            GalleryError: one is none.
        """
        with self._changing():
            none = [name for name in aliases if name not in self.index.aliases]
            if none:
                raise GalleryError(f"{self.folder}: {none[0]!r} is no alias of a source")
            self._commit(aliases={k: v for k, v in self.index.aliases.items() if k not in aliases})

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
            last = max(segment.number for segment in self.index.segments)
            left = {name: details for name, details in self.index.sources.items() if name != source}
            heir, *others = self.find_aliases(source) or ("",)  # of the name, where others stand for it
            aliases = {k: v for k, v in self.index.aliases.items() if k not in (source, heir)}
            aliases |= dict.fromkeys(others, heir)
            self._commit(sources=left, removed={**self.index.removed, source: last}, aliases=aliases)
        return count

    def merge(self, other: Gallery, force: bool = False) -> Enrolled:
        """Add all that `other` has enrolled; see `enrol`. Thresholds and aliases stay this gallery's."""
        return self.enrol(other.embeddings, other.clips, other.index.sources, force)

    def set_backends(self, backends: Mapping[str, BackendSetting], default: str | None = None) -> None:
        """Store the settings of backends, and which of them answers by default."""
        with self._changing():
            self._commit(backends={**self.index.backends, **backends}, backend=default or self.index.backend)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with files.locked(self.folder):
            self.reload()
            yield

    def _commit(self, **changes: Any) -> None:
        replace(self.index, **changes).write(self.folder)
        self.reload()


def _joined(parts: list[np.ndarray], empty: np.ndarray) -> np.ndarray:
    """The parts one after the other; a single one as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else empty
