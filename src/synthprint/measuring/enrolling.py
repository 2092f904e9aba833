"""Which clips of a manifest a model's gallery enrols, and which are left to test it on.

Sources that trained are enrolled with their training clips; the others with the earlier part of their clips, and the
rest of these are known trials. Of a source all publishers get their turn, and of a publisher all sentences and
speakers. Nothing is random: else a hash of the clip's id orders the clips.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthprint.gallery.enrolment import Enrolment, enrolled_source
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip
from synthprint.manifests.splits import position
from synthprint.manifests.spreading import spread
from synthprint.measuring.source_names import SourceNames
from synthprint.stores.fetching import sha256
from synthprint.types import Embeddings, Manifest, Utterance

GALLERY = "gallery"  # in a model's folder


@dataclass(frozen=True)
class EnrolmentPlan:
    """Which clips stand for their sources.

    Attributes:
        never_enrolled: sources that no gallery enrols, so that there is an unknown one to meet. They are unknown trials
            of the test split alone.
        most_clips: of a source, at most.
        share: of the clips of a source that never trained.
        aliases: source -> others that are the same system under another name.
        human: whether human speech is enrolled as a source. A detector says better whether a clip is synthetic.
        most_per_publisher: of a source, at most so many clips that one publisher put out; None: any.
        names: what people call the sources, and what else is on record of them.
    """

    never_enrolled: Sequence[str] = ()
    most_clips: int = 30
    share: float = 0.5
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    human: bool = False
    most_per_publisher: int | None = None
    names: SourceNames = field(default_factory=SourceNames)

    def admits(self, u: Utterance) -> bool:
        """Whether a clip may stand for its source, as far as its split and id decide."""
        if u.source in self.never_enrolled or (u.human and not self.human):
            return False
        return u.split == "train" if u.source_seen else position(u.id) < self.share

    def clips(self, manifest: Manifest) -> set[str]:
        """The ids of the clips that are enrolled: of a source, from all its publishers in turn."""
        by_source: dict[str, dict[str | None, list[Utterance]]] = {}
        for u in manifest:
            if self.admits(u):
                by_source.setdefault(u.source, {}).setdefault(u.publisher, []).append(u)
        return {key for published in by_source.values() for key in self._drawn(published.values())}

    def _drawn(self, published: Iterable[list[Utterance]]) -> list[str]:
        """Ids of the clips of a source, given by publisher: those that come first with each, then the second …"""
        ranked = [
            (rank, position(u.id), u.id)
            for clips in published
            for rank, u in enumerate(spread(clips)[: self.most_per_publisher])
        ]
        return [key for _, _, key in sorted(ranked)[: self.most_clips]]

    def enrol(self, folder: Path, manifest: Manifest, embeddings: Embeddings) -> Gallery:
        """A new gallery in `folder`, in place of what lies there."""
        shutil.rmtree(folder, ignore_errors=True)
        gallery = Gallery.create(folder, embeddings.extractor)
        admitted = self.clips(manifest) & set(embeddings.ids)
        enrolled = [u for u in manifest if u.id in admitted]
        clips = [
            EnrolledClip(u.id, u.source, sha256(manifest.audio_path(u)), u.duration_s, u.publisher) for u in enrolled
        ]
        sources = {u.source: self.names.completed(u.source, enrolled_source(u)) for u in enrolled}
        Enrolment(embeddings.select([u.id for u in enrolled]), clips, sources, {}).into(gallery, force=True, half=True)
        for source, others in self.aliases.items():
            gallery.declare_aliases(source, list(others))
        return gallery
