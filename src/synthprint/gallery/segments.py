"""Segments of a gallery: clips as columns, and the files that they are kept in.

    GALLERY/segments/00001.safetensors   an `Embeddings` file (ids, vectors [N, D], extractor) with further columns:
        sources_utf8     the names of the sources in it, one a line
        owners           [N] int32, the source of each clip, as an index into these
        sha256           [N, 32] uint8, of the clip's file; zeros where there was none
        durations_s      [N] float64; not a number where it is not known
    and, where a publisher is known,
        publishers_utf8  the names of the publishers in it, one a line
        publisher_of     [N] int32, the publisher of each clip, as an index into these; -1 where it is not known

Galleries of format 1 have a second file instead, 00001.jsonl, with a line per clip; they are read as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from synthprint import files
from synthprint.errors import EmbeddingsError, GalleryError
from synthprint.gallery.index import REMEDY, SEGMENTS, EnrolledClip, Index, SegmentEntry
from synthprint.reading import doors
from synthprint.reading.rows import json_lines
from synthprint.reading.schemas import Refused, construct, table_schema
from synthprint.reading.tensors import BYTES, FLOATS, WHOLE, Column, open_tensors
from synthprint.types import Embeddings
from synthprint.types.embeddings import EMBEDDINGS_FORMAT

NO_FILE = bytes(32)
NOBODY = np.zeros(0, np.int32)  # as the publishers of clips: of none is it known
LINES = ("ids_utf8", "sources_utf8", "publishers_utf8")
PUBLISHERS = ("publishers_utf8", "publisher_of")


@dataclass(frozen=True, eq=False)
class Clips(Sequence[EnrolledClip]):
    """N clips as columns: a million take 150 MB. An `EnrolledClip` is made when it is asked for.

    Attributes:
        ids: N ids.
        sources: names of sources.
        owners: [N] int, the source of each clip, as an index into `sources`.
        sha256: [N, 32] uint8.
        durations_s: [N] float64.
        publishers: names of publishers.
        publisher_of: [N] int, the publisher of each clip, as an index into `publishers`; -1 where it is not known.

    Raises:
        GalleryError: a name cannot be printed, or the columns do not fit each other.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    owners: np.ndarray
    sha256: np.ndarray
    durations_s: np.ndarray
    publishers: tuple[str, ...] = ()
    publisher_of: np.ndarray = field(default_factory=lambda: NOBODY)

    def __post_init__(self) -> None:
        if self.publisher_of is NOBODY:
            object.__setattr__(self, "publisher_of", np.full(len(self), -1, np.int32))
        shapes = [column.shape for column in (self.owners, self.durations_s, self.publisher_of, self.sha256)]
        if shapes != [(len(self),)] * 3 + [(len(self), 32)] or self.sha256.dtype != np.uint8:
            raise GalleryError(f"{len(self)} clips need columns of as many rows, not {shapes}")
        if len(self) and not 0 <= self.owners.min() <= self.owners.max() < len(self.sources):
            raise GalleryError(f"clips name sources outside the {len(self.sources)} listed")
        if len(self) and not -1 <= self.publisher_of.min() <= self.publisher_of.max() < len(self.publishers):
            raise GalleryError(f"clips name publishers outside the {len(self.publishers)} listed")
        names = (*self.ids, *self.sources, *self.publishers)
        if not all(names) or not "".join(names).isprintable():
            raise GalleryError("ids, and names of sources and publishers, must be printable text")

    @classmethod
    def from_clips(cls, clips: Iterable[EnrolledClip]) -> Clips:
        """The columns of single clips."""
        clips = tuple(clips)
        sources = tuple(dict.fromkeys(clip.source for clip in clips))
        position = {name: i for i, name in enumerate(sources)}
        publishers = tuple(dict.fromkeys(clip.publisher for clip in clips if clip.publisher is not None))
        row = {None: -1} | {name: i for i, name in enumerate(publishers)}
        digests = b"".join(bytes.fromhex(clip.sha256) or NO_FILE for clip in clips)
        return cls(
            tuple(clip.id for clip in clips),
            sources,
            np.array([position[clip.source] for clip in clips], np.int32),
            np.frombuffer(digests, np.uint8).reshape(-1, 32),
            np.array([np.nan if clip.duration_s is None else clip.duration_s for clip in clips], np.float64),
            publishers,
            np.array([row[clip.publisher] for clip in clips], np.int32),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> EnrolledClip: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[EnrolledClip]: ...
    def __getitem__(self, index: int | slice) -> EnrolledClip | Sequence[EnrolledClip]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        digest, duration_s = self.sha256[index].tobytes(), float(self.durations_s[index])
        publisher = int(self.publisher_of[index])
        return EnrolledClip(
            self.ids[index],
            self.sources[self.owners[index]],
            digest.hex() if digest != NO_FILE else "",
            None if np.isnan(duration_s) else duration_s,
            self.publishers[publisher] if publisher >= 0 else None,
        )

    @classmethod
    def joined(cls, parts: Sequence[Clips], sources: tuple[str, ...]) -> Clips:
        """The parts one after the other, over one list of sources.

        Raises:
            GalleryError: a clip has a source that is not in it.
        """
        position = {name: i for i, name in enumerate(sources)}
        owners = [np.array([position.get(name, -1) for name in part.sources])[part.owners] for part in parts]
        publishers = tuple(dict.fromkeys(chain.from_iterable(part.publishers for part in parts)))
        row = {name: i for i, name in enumerate(publishers)}
        published = [np.array([*(row[name] for name in part.publishers), -1])[part.publisher_of] for part in parts]
        return cls(
            tuple(chain.from_iterable(part.ids for part in parts)),
            sources,
            np.concatenate([np.zeros(0, np.int64), *owners]),
            np.concatenate([np.zeros((0, 32), np.uint8), *(part.sha256 for part in parts)]),
            np.concatenate([np.zeros(0), *(part.durations_s for part in parts)]),
            publishers,
            np.concatenate([np.zeros(0, np.int64), *published]),
        )

    def take(self, positions: np.ndarray) -> Clips:
        """Those at `positions`."""
        ids = tuple(self.ids[i] for i in positions)
        owners, sha256, durations_s = self.owners[positions], self.sha256[positions], self.durations_s[positions]
        return Clips(
            ids, self.sources, owners, sha256, durations_s, self.publishers, self.publisher_of[positions]
        )  # fmt: skip

    def count_publishers(self, owners: np.ndarray, sources: int) -> tuple[dict[str, int], ...]:
        """Of each of S sources: publisher -> how many of its clips it put out, the most first.

        Args:
            owners: [N], the source of each clip.
            sources: S.
        """
        counts: tuple[dict[str, int], ...] = tuple({} for _ in range(sources))
        width = len(self.publishers) + 1
        pairs, clips = np.unique(owners * width + self.publisher_of + 1, return_counts=True)
        for pair, count in sorted(zip(pairs.tolist(), clips.tolist(), strict=True), key=lambda item: -item[1]):
            source, publisher = divmod(pair, width)
            if publisher:
                counts[source][self.publishers[publisher - 1]] = count
        return counts

    def find_files(self, digests: Collection[str]) -> list[int]:
        """Positions of the clips whose file has one of these SHA-256 digests, hex."""
        heads = np.frombuffer(b"".join(bytes.fromhex(digest)[:8] for digest in digests), np.uint64)
        mine = np.ascontiguousarray(self.sha256).view(np.uint64)[:, 0]  # 8 of 32 bytes; the rest is looked at below
        found = np.flatnonzero(np.isin(mine, heads))
        return [i for i in found.tolist() if self.sha256[i].tobytes().hex() in digests]


SegmentPart: TypeAlias = tuple[
    np.ndarray, Clips, np.ndarray
]  # vectors [N, D], clips, number of the segment of each and its row in that [N, 2]


def segment_paths(gallery: Path, segment: SegmentEntry) -> list[Path]:
    """The file of a segment; of format 1 the two, vectors and clips."""
    stem = gallery / SEGMENTS / f"{segment.number:05d}"
    return [stem.with_suffix(".safetensors"), *([stem.with_suffix(".jsonl")] if segment.clips_sha256 else [])]


def write_segment(gallery: Path, number: int, vectors: np.ndarray, clips: Clips, extractor: str) -> SegmentEntry:
    """Write a segment of clips and their vectors [N, D]; it counts once the index names it."""
    (path,) = segment_paths(gallery, SegmentEntry(number, len(clips), ""))
    tensors = {
        "vectors": vectors,
        "ids_utf8": _lines(clips.ids),
        "sources_utf8": _lines(clips.sources),
        "owners": clips.owners.astype(np.int32),
        "sha256": np.ascontiguousarray(clips.sha256),
        "durations_s": clips.durations_s,
    }
    if clips.publishers:
        tensors |= dict(zip(PUBLISHERS, (_lines(clips.publishers), clips.publisher_of.astype(np.int32)), strict=True))
    files.write_tensors(path, tensors, {"format": EMBEDDINGS_FORMAT, "extractor": extractor})
    return SegmentEntry(number, len(clips), doors.sha256(path))


def drop_segments(gallery: Path, segments: Iterable[SegmentEntry]) -> None:
    """Remove the files of segments that no index names any more; what cannot be removed stays."""
    for path in chain.from_iterable(segment_paths(gallery, segment) for segment in segments):
        with suppress(OSError):
            path.unlink()


def read_segment(gallery: Path, segment: SegmentEntry, extractor: str) -> tuple[np.ndarray, Clips]:
    """Read a segment, vectors [N, D] and clips, and check that it is the one that the index describes.

    Raises:
        GalleryError: a file is missing, damaged, or belongs to something else.
    """
    paths = segment_paths(gallery, segment)
    for path, digest in zip(paths, (segment.vectors_sha256, segment.clips_sha256), strict=False):
        _check_digest(path, digest)
    try:
        embeddings, clips = _read_lines(*paths) if segment.clips_sha256 else _read_columns(*paths)
    except (EmbeddingsError, GalleryError, OSError, ValueError) as error:  # Refused is a ValueError
        raise GalleryError(f"{paths[0]}: is not a segment of a gallery ({error}); {REMEDY}") from error
    if embeddings.extractor != extractor:
        raise GalleryError(f"{paths[0]}: its embeddings come from another extractor than the gallery's; {REMEDY}")
    if embeddings.ids != clips.ids or len(clips) != segment.clips:
        names = " and ".join(path.name for path in paths)
        raise GalleryError(f"{paths[0].parent}: {names} and the index do not list the same clips; {REMEDY}")
    return embeddings.vectors, clips


def read_segments(folder: Path, index: Index, skipped: int = 0) -> list[SegmentPart]:
    """The segments that the index names after the first `skipped`; see `read_segment`."""
    read = [(segment, *read_segment(folder, segment, index.extractor)) for segment in index.segments[skipped:]]
    return [(vectors, clips, _rows(segment.number, len(clips))) for segment, vectors, clips in read]


def _rows(number: int, clips: int) -> np.ndarray:
    return np.stack([np.full(clips, number), np.arange(clips)], axis=1)


def live(index: Index, vectors: np.ndarray, clips: Clips, segments: np.ndarray) -> SegmentPart:
    """What was not removed since it was enrolled."""
    removed = np.array([index.removed.get(name, 0) for name in clips.sources])
    kept = segments[:, 0] > removed[clips.owners]
    if kept.all():
        return vectors, clips, segments
    return vectors[kept], clips.take(np.flatnonzero(kept)), segments[kept]


def _check_digest(path: Path, digest: str) -> None:
    try:
        found = doors.sha256(path)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    if found != digest:
        raise GalleryError(f"{path}: is damaged, or was replaced; {REMEDY}")


COLUMNS = {
    "vectors": Column(FLOATS, 2),
    "ids_utf8": Column(BYTES, 1),
    "sources_utf8": Column(BYTES, 1),
    "owners": Column(WHOLE, 1),
    "sha256": Column(BYTES, 2),
    "durations_s": Column(FLOATS, 1),
    "publishers_utf8": Column(BYTES, 1),
    "publisher_of": Column(WHOLE, 1),
}


def _read_columns(path: Path) -> tuple[Embeddings, Clips]:
    with open_tensors(path) as file:
        tensors = file.take(COLUMNS, optional=() if PUBLISHERS[0] in file.places else PUBLISHERS)
        extractor = file.metadata.get("extractor", "")
    names = {key: tuple(tensors[key].tobytes().decode("utf-8").split("\n")) for key in tensors if key in LINES}
    ids, sources, publishers = (names.get(key, ()) for key in LINES)
    publisher_of = tensors.get(PUBLISHERS[1], NOBODY)
    clips = Clips(
        ids, sources, tensors["owners"], tensors["sha256"], tensors["durations_s"], publishers, publisher_of
    )  # fmt: skip
    return Embeddings(ids, tensors["vectors"], extractor), clips


def _read_lines(vectors_path: Path, clips_path: Path) -> tuple[Embeddings, Clips]:
    try:
        clips = [construct(EnrolledClip, table) for _, table in json_lines(clips_path, _CLIP)]
    except Refused as error:
        raise GalleryError(f"{clips_path.name}: {error}") from error
    return Embeddings.load(vectors_path), Clips.from_clips(clips)


_CLIP: Any = table_schema(EnrolledClip, id=str, source=str)


def _lines(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode("utf-8"), np.uint8)
