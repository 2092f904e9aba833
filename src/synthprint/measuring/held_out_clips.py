"""What a model is measured on: `HeldOutClips`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from synthprint.errors import ManifestError
from synthprint.gallery.gallery import Gallery
from synthprint.manifests.corpora import Selection
from synthprint.types import HELD_OUT_SPLITS, Embeddings, Labelled, Manifest, Utterance

DEVELOPMENT = {
    "never met": "development clips of sources never met in training",
    "publishers": "development clips of publishers never met in training",
}


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """What a model is measured on: the dev and test clips of a manifest.

    Attributes:
        manifest: all clips.
        embeddings: of those that could be embedded.
        never_enrolled: sources that are unknown trials of the test split alone.
    """

    manifest: Manifest
    embeddings: Embeddings
    never_enrolled: Sequence[str] = ()

    @property
    def splits(self) -> list[str]:
        """Those that the manifest has, of dev and test."""
        return [split for split in HELD_OUT_SPLITS if any(u.split == split for u in self.manifest)]

    @cached_property
    def by_publisher(self) -> bool:
        """Whether every dev and test clip says who put it out, and that is nobody who put a train clip out."""
        train = {u.publisher for u in self.manifest if u.split == "train"}
        held_out = [u.publisher for u in self.manifest if u.split in HELD_OUT_SPLITS]
        return bool(held_out) and all(name and name not in train for name in held_out)

    def never_met(self, split: str) -> Labelled:
        """The clips of a split whose sources training never met; human speech is none, where publishers are at hand.

        Raises:
            ManifestError: there are none.
        """
        return self._labelled(split, lambda u: not u.source_seen, DEVELOPMENT["never met"])

    def new_publishers(self, split: str) -> Labelled:
        """The clips of a split by publishers that training never met; where these are not at hand, as `never_met`.

        Raises:
            ManifestError: there are none.
        """
        return self._labelled(split, lambda _: True, DEVELOPMENT["publishers"]) if self.by_publisher else (
            self.never_met(split)
        )  # fmt: skip

    def references(self, gallery: Gallery) -> Labelled | None:
        """The enrolled clips of publishers that training met, where these are at hand: what others are set against."""
        if not self.by_publisher:
            return None
        enrolled = {clip.id for clip in gallery.clips}
        clips = [u for u in self.manifest if u.id in enrolled and u.split == "train" and u.publisher and not u.human]
        if not clips:
            return None
        embeddings = self.embeddings.select([u.id for u in clips])
        return Labelled(embeddings, tuple(u.source for u in clips), "enrolled clips", tuple(clips))

    def _labelled(self, split: str, belongs: Selection, data: str) -> Labelled:
        embedded = set(self.embeddings.ids)
        clips = [
            u for u in self.manifest
            if u.split == split and belongs(u) and u.id in embedded and not (self.by_publisher and u.human)
        ]  # fmt: skip
        if not clips:
            raise ManifestError(
                f"{self.manifest.name}: the {split} split has no source that training never met; hold some out"
            )
        embeddings = self.embeddings.select([u.id for u in clips])
        return Labelled(embeddings, tuple(u.source for u in clips), data, tuple(clips))

    def asked(self, gallery: Gallery, split: str) -> list[Utterance]:
        """The clips of a split that are not enrolled, in the manifest's order."""
        left = set(self.embeddings.ids) - {clip.id for clip in gallery.clips}
        people = self.by_publisher  # whose speech is another question there
        return [
            u for u in self.manifest
            if u.id in left and u.split == split and (u.source not in self.never_enrolled or split == "test")
            and not (people and u.human)
        ]  # fmt: skip
