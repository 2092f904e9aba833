"""What a gallery holds, in memory: its sources, its clips and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from synthprint.addresses import Address
from synthprint.errors import GalleryError, StoreError
from synthprint.gallery.index import INDEX, REMEDY, BackendSetting, EnrolledClip, Index
from synthprint.gallery.segments import Clips, SegmentPart, live
from synthprint.stores.fetching import sha256
from synthprint.types import Embeddings


class Contents:
    """What a gallery holds.

    Attributes:
        folder: where it lies.
        index: what gallery.json says.
        names: S enrolled sources, sorted; sources that are aliases of another are one with it.
        clips: N enrolled clips; a sequence of `EnrolledClip`, kept as columns.
        vectors: [N, D] float32, their embeddings.
        owners: [N] int64, the source of each as an index into `names`.
        segment_rows: [N, 2] int64, the number of the segment of each, and its row in that.

    Raises:
        GalleryError: the index and the segments do not fit together.
    """

    def __init__(self, folder: Path, index: Index, parts: Sequence[SegmentPart]) -> None:
        self.folder = folder
        self._take_up(index, parts)

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
        self.segment_rows = _joined([rows for _, _, rows in parts], np.zeros((0, 2), np.int64))

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

    def enrolled_among(self, paths: Mapping[str, Address]) -> set[str]:
        """Of clips by id, those that are enrolled, by their content; what cannot be read is not."""
        digests = {key: digest for key, path in paths.items() if (digest := _digest(path))}
        enrolled = {self.clips[i].sha256 for i in self.clips.find_files(set(digests.values()))}
        return {key for key, digest in digests.items() if digest in enrolled}

    def identity(self, source: str) -> str:
        """The name under which a source answers: of an alias, the one it stands for."""
        return self.index.aliases.get(source, source)

    def find_aliases(self, source: str) -> tuple[str, ...]:
        """The other names of a source, sorted."""
        return tuple(sorted(alias for alias, name in self.index.aliases.items() if name == source))


def _digest(path: Address) -> str:
    """Of a clip; "" where there is none."""
    try:
        return "" if isinstance(path, Path) and not path.is_file() else sha256(path)
    except StoreError:
        return ""


def _joined(parts: list[np.ndarray], empty: np.ndarray) -> np.ndarray:
    """The parts one after the other; a single one as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else empty
