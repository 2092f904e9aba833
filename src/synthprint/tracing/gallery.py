"""Enrolled sources, ready for identification: a folder that only grows (see `gallery_files`).

Segments are written first and the index last: a gallery whose writer was killed is the gallery before. Writers
wait for each other; readers need no lock.
"""

from __future__ import annotations

import difflib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import doors, files, temporaries
from synthprint.errors import GalleryError
from synthprint.tracing.gallery_files import (
    INDEX,
    REMEDY,
    SEGMENTS,
    BackendSetting,
    Clip,
    Index,
    Source,
)  # fmt: skip
from synthprint.tracing.segments import Clips, Part, live, read_segments, segment_paths, write_segment
from synthprint.types import Embeddings


@dataclass(frozen=True)
class Enrolled:
    """What an enrolment did.

    Attributes:
        added: ids of the clips that were added.
        already: id -> the id under which the same file was there already.
        failures: path -> reason, of the clips that could not be used.
        remarks: path -> what is odd about the file, of the others.
    """

    added: tuple[str, ...]
    already: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Gallery:
    """A gallery on disk, as it was when it was opened or last changed through this object.

    Attributes:
        folder: where it lies.
        index: what gallery.json says.
        names: S enrolled sources, sorted; sources that are aliases of another are one with it.
        clips: N enrolled clips; a sequence of `Clip`, kept as columns.
        vectors: [N, D] float32, their embeddings.
        owners: [N] int64, the source of each as an index into `names`.
    """

    def __init__(self, folder: Path, index: Index, parts: Sequence[Part]) -> None:
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
        index, known = Index.read(self.folder), len(self.index.segments)
        if index == self.index:
            return
        if index.segments[:known] == self.index.segments:
            here = (self.vectors, self.clips, self._segments)
            self._take_up(index, [here, *read_segments(self.folder, index, known)])
        else:
            self._take_up(index, read_segments(self.folder, index))

    def _take_up(self, index: Index, parts: Sequence[Part]) -> None:
        kept = [live(index, *part) for part in parts if len(part[1])]
        enrolled = tuple(sorted(index.sources))
        names = tuple(name for name in enrolled if name not in index.aliases)
        try:
            clips = Clips.joined([clips for _, clips, _ in kept], enrolled)
            vectors = _joined([vectors for vectors, _, _ in kept], np.zeros((0, 0), np.float32))
            row = {name: i for i, name in enumerate(names)}
            rows = np.array([row[index.aliases.get(name, name)] for name in enrolled], np.int64)
        except (GalleryError, KeyError, ValueError) as error:  # a source that is not there; vectors of two sizes
            raise self._unfit() from error
        if not np.bincount(clips.owners, minlength=len(enrolled)).all():
            raise self._unfit()
        self.index, self.names, self.vectors, self.clips = index, names, vectors, clips
        self.owners = rows[clips.owners] if index.aliases else clips.owners
        self._segments = _joined([numbers for _, _, numbers in kept], np.zeros(0, np.int64))  # of each clip

    def _unfit(self) -> GalleryError:
        return GalleryError(f"{self.folder}: {INDEX} and the segments do not fit together; {REMEDY}")

    @property
    def embeddings(self) -> Embeddings:
        """The enrolled clips' embeddings, under the clips' ids."""
        return Embeddings(self.clips.ids, self.vectors, self.index.extractor)

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

    def clips_of(self, source: str) -> list[Clip]:
        """The clips of a source, without those of its aliases; none, where it is not enrolled."""
        at = self.clips.sources.index(source) if source in self.index.sources else -1
        return [self.clips[i] for i in np.flatnonzero(self.clips.owners == at).tolist()]

    def enrolled_among(self, paths: Mapping[str, Path]) -> set[str]:
        """Of files by id, those that are enrolled, by their content; what is no file is not."""
        digests = {key: doors.sha256(path) for key, path in paths.items() if path.is_file()}
        enrolled = {self.clips[i].sha256 for i in self.clips.of_files(set(digests.values()))}
        return {key for key, digest in digests.items() if digest in enrolled}

    def identity(self, source: str) -> str:
        """The name under which a source answers: of an alias, the one it stands for."""
        return self.index.aliases.get(source, source)

    def aliases_of(self, source: str) -> tuple[str, ...]:
        """The other names of a source, sorted."""
        return tuple(sorted(alias for alias, name in self.index.aliases.items() if name == source))

    def declare_aliases(self, source: str, others: Sequence[str]) -> None:
        """Say that `others` are the same system as `source`: from now on they are answered as one, under its name.

        Thresholds and calibrations stay as they are.

        Raises:
            GalleryError: one is not enrolled, is `source` itself, or is of another family.
        """
        with self._changing():
            self._check_enrolled([source, *others])
            source = self.identity(source)
            for other in others:
                families = {known for name in (source, other) if (known := self.index.sources[name].family)}
                if self.identity(other) == source or len(families) > 1:
                    why = (
                        "is that source"
                        if len(families) < 2
                        else f"is of another family ({' and '.join(sorted(families))})"
                    )
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

    def _check_enrolled(self, sources: Sequence[str]) -> None:
        for source in sources:
            if source not in self.index.sources:
                known = sorted(self.index.sources)
                close = difflib.get_close_matches(source, known, 3, 0.5) or known[:10]
                there = f"the nearest names are: {', '.join(close)}" if close else "nothing is"
                raise GalleryError(f"{self.folder}: {source!r} is not enrolled; {there}")

    def enrol(
        self, embeddings: Embeddings, clips: Sequence[Clip], sources: Mapping[str, Source], force: bool = False
    ) -> Enrolled:
        """Add clips to their sources; a source that is new starts with them. Thresholds stay as they are.

        A clip whose file is enrolled under the same source already is left out.

        Args:
            embeddings: of the clips, in the same order.
            clips: an id that is taken gets a number.
            sources: what is known of the sources; a family that is given must not contradict the one enrolled.
            force: also take a clip whose file is enrolled under another source.

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
            kept, already = self._sorted_out(clips, force)
            if not kept:
                return Enrolled((), already)
            known = self._with_sources({clips[i].source for i in kept}, sources)
            taken = set(self.clips.ids)
            renamed = [replace(clips[i], id=_free_id(clips[i].id, taken)) for i in kept]
            ids = tuple(clip.id for clip in renamed)
            number = max((segment.number for segment in self.index.segments), default=0) + 1
            added = Embeddings(ids, embeddings.vectors[kept], embeddings.extractor)
            segment = write_segment(self.folder, number, added, Clips.of(renamed))
            self._commit(segments=(*self.index.segments, segment), sources=known)
        return Enrolled(ids, already)

    def remove(self, source: str) -> int:
        """Take a source out; returns how many clips it had. It can be enrolled anew.

        Raises:
            GalleryError: it is not enrolled.
        """
        with self._changing():
            self._check_enrolled([source])
            count = self.clip_counts()[source]
            last = max(segment.number for segment in self.index.segments)
            left = {name: known for name, known in self.index.sources.items() if name != source}
            heir, *others = self.aliases_of(source) or ("",)  # of the name, where others stand for it
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

    def _sorted_out(self, clips: Sequence[Clip], force: bool) -> tuple[list[int], dict[str, str]]:
        """Which clips are new, and which are there already."""
        enrolled: dict[str, dict[str, str]] = {}  # sha256 -> source -> id
        for there in map(self.clips.__getitem__, self.clips.of_files({clip.sha256 for clip in clips if clip.sha256})):
            enrolled.setdefault(there.sha256, {})[there.source] = there.id
        kept, already = [], {}
        for position, clip in enumerate(clips):
            twins = enrolled.setdefault(clip.sha256, {}) if clip.sha256 else {}
            if clip.source in twins:
                already[clip.id] = twins[clip.source]
                continue
            if twins and not force:
                source, twin = next(iter(twins.items()))
                raise GalleryError(
                    f"{clip.id}: the same file is {twin!r} of {source!r}, and cannot stand for {clip.source!r} too; "
                    f"remove {source!r}, or leave the clip out (--force enrols it under both)"
                )
            twins[clip.source] = clip.id
            kept.append(position)
        return kept, already

    def _with_sources(self, names: set[str], given: Mapping[str, Source]) -> dict[str, Source]:
        known = dict(self.index.sources)
        for name in sorted(names):
            old, new = known.get(name, Source()), given.get(name, Source())
            if old.family and new.family and old.family != new.family:
                raise GalleryError(
                    f"{self.folder}: {name!r} is enrolled with family {old.family!r}, not {new.family!r}; "
                    "remove it first, or give the family it has"
                )
            known[name] = Source(new.family or old.family, new.kind or old.kind, new.vocoder or old.vocoder)
        return known

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


@contextmanager
def starting(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`; it becomes that, whole, when the block ends without an error.

    The caller has the turn at `folder` (see `files.turn`).

    Raises:
        GalleryError: something is in `folder`.
        OutputError: it cannot be written.
    """
    check_free(folder)
    with files.writing(folder):
        (folder / ".lock").unlink(missing_ok=True)  # a writer that was killed may have left these
        for leftover in (folder / SEGMENTS, folder):
            with suppress(OSError):  # then its place is taken file by file
                leftover.rmdir()
    with files.together(folder) as place:
        yield place


def check_free(folder: Path) -> None:
    """Make sure that a gallery can start in `folder`, where a writer that was killed may have left something.

    Raises:
        GalleryError: something else is there.
    """
    if (folder / INDEX).exists():
        raise GalleryError(f"{folder}: there is a gallery already")
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, not a gallery; name a new folder")
    files.check_place(folder, folder=True)
    for place in (folder, folder / SEGMENTS):
        temporaries.sweep(place)
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = {name for name in names - {SEGMENTS, ".lock"} if not temporaries.OWN.fullmatch(name)}
    if (folder / SEGMENTS).is_dir():
        others |= {f"{SEGMENTS}/{path.name}" for path in (folder / SEGMENTS).iterdir()}
    if others:
        raise GalleryError(f"{folder}: is no gallery, and not empty ({min(others)}, …); name a new folder")


def _free_id(wanted: str, taken: set[str]) -> str:
    names = itertools.chain([wanted], (f"{wanted} ({n})" for n in itertools.count(2)))
    free = next(name for name in names if name not in taken)
    taken.add(free)
    return free
