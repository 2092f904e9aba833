"""Who is enrolled and who is asked when backends are compared: clips of a manifest by role, and their scores.

*Conventions.* Clips are indices into the embeddings. What is enrolled, and what is left to be asked, is as in
`enrolling`: with everything, or with few clips of each source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthprint import shelves
from synthprint.gallery.components import component_scores
from synthprint.manifests.corpora import Corpora, Selection
from synthprint.manifests.splits import position
from synthprint.measuring.enrolling import EnrolmentPlan
from synthprint.types import Embeddings, IdentificationTrials, Manifest
from synthprint.types.provenance import numbered

ALL = 10**9
NOT_ON_RECORD = ("", "none", "unknown")  # as a vocoder


class ScoredClips(NamedTuple):
    """Clips [T] as indices, and their scores [S, T] against S named sources."""

    clips: np.ndarray
    names: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class OpenSetAnswers:
    """What was read off the scores of K clips.

    Attributes:
        read: the answers.
        trained: [K] bool, whether the extractor trained on the clip's source.
        shared: [K] bool, whether what is right for the clip is enrolled.
    """

    read: IdentificationTrials
    trained: np.ndarray
    shared: np.ndarray

    def __getitem__(self, mask: np.ndarray) -> IdentificationTrials:
        """Those that a mask [K] selects."""
        return self.read[mask]

    def by_role(self) -> dict[str, np.ndarray]:
        """Masks: sources that the extractor never met, and those that it trained on; where there are any."""
        roles = {"never met": ~self.trained, "trained": self.trained}
        return {role: mask for role, mask in roles.items() if mask.any()}


class OpenSetClips:
    """The clips of a manifest with their embeddings, and who is enrolled and asked.

    Attributes:
        utterances, embeddings, sources: of N clips, in one order.
        values: "source", "family", "vocoder" -> source -> its value, where it is on record. Vocoders are those of the
            main corpus.
    """

    def __init__(self, manifest: Manifest, embeddings: Embeddings, corpora: Corpora, plan: EnrolmentPlan) -> None:
        by_id = {u.id: u for u in manifest}
        self.utterances = [by_id[key] for key in embeddings.ids]
        self.embeddings, self.plan = embeddings, plan
        self.sources = np.array([u.source for u in self.utterances], dtype=object)
        self.enrolled = plan.clips(manifest)
        self.trained = {u.source for u in manifest if u.source_seen}
        vocoders = {u.source: u.extra.get("vocoder", "") for u in manifest if corpora.is_main(u)}
        self.values: dict[str, dict[str, str]] = {
            "source": {u.source: u.source for u in manifest},
            "family": {u.source: u.family for u in manifest if u.family},
            "vocoder": {source: value for source, value in vocoders.items() if value not in NOT_ON_RECORD},
        }

    def select(self, *conditions: Selection) -> np.ndarray:
        """The clips that fulfil all conditions."""
        return np.array(
            [i for i, u in enumerate(self.utterances) if all(holds(u) for holds in conditions)], np.int64
        )  # fmt: skip

    def gallery(self, corpus: Selection, trained: int = ALL, never_met: int = ALL) -> np.ndarray:
        """The clips that are enrolled, at most so many of a source that trained, or that training never met."""
        admitted = self.select(corpus, lambda u: u.id in self.enrolled).tolist()
        counts: Counter[str] = Counter()
        enrolled = []
        for i in sorted(admitted, key=lambda i: position(self.utterances[i].id)):
            source = self.utterances[i].source
            counts[source] += 1
            if counts[source] <= (trained if source in self.trained else never_met):
                enrolled.append(i)
        return np.array(sorted(enrolled), np.int64)

    def from_enrolled(self, corpus: Selection, split: str, gallery: np.ndarray) -> np.ndarray:
        """Clips of enrolled sources that no gallery enrols."""
        names = set(self.sources[gallery])
        return self.select(corpus, lambda u: u.split == split and u.source in names and u.id not in self.enrolled)

    def from_new(self, corpus: Selection, split: str) -> np.ndarray:
        """Clips of sources that the extractor never met; those of never enrolled ones on the test split alone."""
        left = set(self.trained) | (set(self.plan.never_enrolled) if split == "dev" else set())
        return self.select(corpus, lambda u: u.split == split and u.source not in left and u.id not in self.enrolled)

    def scored(self, backend: str, gallery: np.ndarray, clips: np.ndarray) -> ScoredClips:
        """Clips against all of a gallery."""
        names, owners = np.unique(self.sources[gallery], return_inverse=True)
        enrolled = self.embeddings.select([self.embeddings.ids[i] for i in gallery])
        publishers = numbered([self.utterances[i].publisher for i in gallery])
        fitted = shelves.find("backends", backend)().fit(enrolled, self.sources[gallery].tolist(), publishers)
        scorer = fitted.enrol(enrolled.vectors, owners, publishers)
        return ScoredClips(clips, names, scorer(self.embeddings.vectors[clips]))

    def left_out(self, backend: str, gallery: np.ndarray, clips: np.ndarray) -> Iterator[ScoredClips]:
        """Clips, source by source, against the gallery without their source."""
        for source in np.unique(self.sources[clips]):
            rest = gallery[self.sources[gallery] != source]
            yield self.scored(backend, rest, clips[self.sources[clips] == source])

    def read(self, parts: Iterable[ScoredClips], value: Mapping[str, str]) -> OpenSetAnswers:
        """The best value of each clip; with `values["source"]` the best source."""
        answers, shared = [], []
        for clips, names, scores in parts:
            on_record = [i for i, name in enumerate(names) if name in value]
            values, of_value = component_scores(scores[on_record], [value[names[i]] for i in on_record])
            true = [value[source] for source in self.sources[clips]]
            rows = np.array([values.index(one) if one in values else -1 for one in true])
            answers.append(IdentificationTrials.from_matrix(of_value, rows, self.sources[clips]))
            shared.append(rows >= 0)
        scores, leads, correct, sources = (
            np.concatenate([getattr(part, name) for part in answers])
            for name in ("scores", "leads", "correct", "sources")
        )
        trained = np.array([source in self.trained for source in sources])
        return OpenSetAnswers(IdentificationTrials(scores, leads, correct, sources), trained, np.concatenate(shared))
