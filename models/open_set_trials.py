"""Trials of a gallery: clips of enrolled sources, clips whose source is left out, and what is read off their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from build import NEVER_ENROLLED, enrolled_ids
from measure import Keep, neural
from prepare import position

from synthprint import shelves
from synthprint.components import component_scores
from synthprint.tracing.identification import Identified, identified
from synthprint.types import Embeddings, Manifest

ALL = 10**9
NOT_ON_RECORD = ("", "none", "unknown")  # as a vocoder


class Part(NamedTuple):
    """Clips [T] as indices, and their scores [S, T] against S named sources."""

    clips: np.ndarray
    names: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Answers:
    """What was read off K clips, whether the extractor `trained` on their source, and was what is right `there`."""

    read: Identified
    trained: np.ndarray
    there: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Identified:
        """Those that a mask [K] chooses."""
        sources = np.asarray(self.read.sources, dtype=object)[chosen]
        return Identified(self.read.best[chosen], self.read.lead[chosen], self.read.right[chosen], sources, "")

    def by_role(self) -> dict[str, np.ndarray]:
        """Masks: sources that the extractor never met, and those that it trained on."""
        return {"never met": ~self.trained, "trained": self.trained}


class Corpus:
    """The clips of a manifest with their embeddings, and who is enrolled and asked."""

    def __init__(self, manifest: Manifest, embeddings: Embeddings) -> None:
        by_id = {u.id: u for u in manifest}
        self.utterances = [by_id[key] for key in embeddings.ids]
        self.embeddings = embeddings
        self.sources = np.array([u.source for u in self.utterances], dtype=object)
        self.enrolled = enrolled_ids(manifest)
        self.trained = {u.source for u in manifest if u.source_seen}
        vocoders = {u.source: u.extra.get("vocoder", "") for u in manifest if neural(u)}
        self.values: dict[str, dict[str, str]] = {
            "source": {u.source: u.source for u in manifest},
            "family": {u.source: u.family for u in manifest if u.family},
            "vocoder": {source: value for source, value in vocoders.items() if value not in NOT_ON_RECORD},
        }

    def chosen(self, *keep: Keep) -> np.ndarray:
        """The indices of the clips that fulfil all conditions."""
        return np.array([i for i, u in enumerate(self.utterances) if all(one(u) for one in keep)], np.int64)

    def gallery(self, corpus: Keep, trained: int = ALL, never_met: int = ALL) -> np.ndarray:
        """The clips that are enrolled, at most so many of a source."""
        found = self.chosen(corpus, lambda u: u.id in self.enrolled).tolist()
        taken: Counter[str] = Counter()
        kept = []
        for i in sorted(found, key=lambda i: position(self.utterances[i].id)):
            source = self.utterances[i].source
            taken[source] += 1
            if taken[source] <= (trained if source in self.trained else never_met):
                kept.append(i)
        return np.array(sorted(kept))

    def known(self, corpus: Keep, split: str, gallery: np.ndarray) -> np.ndarray:
        """Clips of enrolled sources that no gallery enrols."""
        there = set(self.sources[gallery])
        return self.chosen(corpus, lambda u: u.split == split and u.source in there and u.id not in self.enrolled)

    def unknown(self, corpus: Keep, split: str) -> np.ndarray:
        """Clips of sources that the extractor never met; the same as the known ones, and those never enrolled."""
        left = set(self.trained) | (set(NEVER_ENROLLED) if split == "dev" else set())
        return self.chosen(corpus, lambda u: u.split == split and u.source not in left and u.id not in self.enrolled)

    def scored(self, backend: str, gallery: np.ndarray, clips: np.ndarray) -> Part:
        """Clips against all of a gallery."""
        names, owners = np.unique(self.sources[gallery], return_inverse=True)
        enrolled = self.embeddings.select([self.embeddings.ids[i] for i in gallery])
        fitted = shelves.find("backends", backend)().fit(enrolled, self.sources[gallery].tolist())
        return Part(clips, names, fitted.enrol(enrolled.vectors, owners)(self.embeddings.vectors[clips]))

    def left_out(self, backend: str, gallery: np.ndarray, clips: np.ndarray) -> Iterator[Part]:
        """Clips, source by source, against the gallery without their source."""
        for source in np.unique(self.sources[clips]):
            rest = gallery[self.sources[gallery] != source]
            yield self.scored(backend, rest, clips[self.sources[clips] == source])

    def read(self, parts: Iterable[Part], value: Mapping[str, str]) -> Answers:
        """The best value of each clip; with "source" for its own value, the best source."""
        found, there = [], []
        for clips, names, scores in parts:
            on_record = [i for i, name in enumerate(names) if name in value]
            values, of_value = component_scores(scores[on_record], [value[names[i]] for i in on_record])
            true = [value[source] for source in self.sources[clips]]
            rows = np.array([values.index(one) if one in values else -1 for one in true])
            found.append(identified(of_value, rows, self.sources[clips], ""))
            there.append(rows >= 0)
        best, lead, right, sources = (
            np.concatenate([getattr(one, name) for one in found]) for name in ("best", "lead", "right", "sources")
        )
        trained = np.array([source in self.trained for source in sources])
        return Answers(Identified(best, lead, right, sources, ""), trained, np.concatenate(there))
