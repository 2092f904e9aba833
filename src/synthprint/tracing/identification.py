"""Trials of identification from labelled clips and a gallery: what is named, of the known and of the unknown.

Its conventions are those of `openset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.calibration.left_out import left_out_scores, scores_without_own
from synthprint.calibration.trials import SourceTrials
from synthprint.components import component_scores
from synthprint.shelves import Backend


@dataclass(frozen=True)
class TrialCount:
    """How many trials there were, of how many sources, and where they came from."""

    clips: int
    sources: int
    data: str


@dataclass(frozen=True, eq=False)
class Identified:
    """What a backend says of K clips.

    Attributes:
        best: [K], the score of the best source.
        lead: [K], by how much it is ahead of the second (infinite where there is no second).
        right: [K] bool, whether it is the true source.
        sources: K true sources.
        data: where the clips came from.
    """

    best: np.ndarray
    lead: np.ndarray
    right: np.ndarray
    sources: Sequence[str] | np.ndarray
    data: str

    @property
    def weights(self) -> np.ndarray:
        """[K], the same for every source in sum, and 1 in all."""
        _, owner, counts = np.unique(self.sources, return_inverse=True, return_counts=True)
        return 1.0 / (len(counts) * counts[owner])

    @property
    def count(self) -> TrialCount:
        """How many clips and sources."""
        return TrialCount(len(self.best), len(set(self.sources)), self.data)


@dataclass(frozen=True, eq=False)
class Development:
    """Clips that are not enrolled, to set a threshold on: vectors [T, D], T sources, and where they come from."""

    vectors: np.ndarray
    sources: Sequence[str]
    data: str


def identified(scores: np.ndarray, truth: np.ndarray, sources: Sequence[str] | np.ndarray, data: str) -> Identified:
    """Read the answers off scores [S, T]; `truth` [T] is each clip's row, or -1 for a source not enrolled."""
    best = scores.max(axis=0)
    second = np.partition(scores, -2, axis=0)[-2] if len(scores) > 1 else np.full_like(best, -np.inf)
    return Identified(best, best - second, scores.argmax(axis=0) == truth, sources, data)


def trials(
    backend: Backend, vectors: np.ndarray, owners: np.ndarray, names: Sequence[str], development: Development | None
) -> tuple[Identified, Identified]:
    """Known and unknown trials: of the development clips; a kind that they lack is `held_out` of the enrolled ones."""
    if development is None:
        return held_out(backend, vectors, owners, names)
    position = {name: i for i, name in enumerate(names)}
    truth = np.array([position.get(source, -1) for source in development.sources])
    sources = np.asarray(development.sources, dtype=object)
    scores = backend.enrol(vectors, owners)(development.vectors)
    known, unknown = (
        identified(scores[:, part], truth[part], sources[part], development.data) for part in (truth >= 0, truth < 0)
    )
    if len(known.best) and len(unknown.best):
        return known, unknown
    held_known, held_unknown = held_out(backend, vectors, owners, names)
    return (known if len(known.best) else held_known), (unknown if len(unknown.best) else held_unknown)


def held_out(
    backend: Backend, vectors: np.ndarray, owners: np.ndarray, names: Sequence[str]
) -> tuple[Identified, Identified]:
    """Trials from the enrolled clips alone, no clip ever scored against itself.

    Known trials leave one clip out: each clip against its own source without it, and against all others. Unknown
    trials leave one source out: each clip against all sources but its own.

    Args:
        vectors, owners: the enrolled clips [N, D] and the source of each [N], as an index into `names`.
        names: S sources.

    Returns:
        Known trials, of the clips that are not alone in their source; and unknown trials, where S >= 2.
    """
    clips = np.arange(len(vectors))
    labels = np.asarray(names, dtype=object)[owners]
    scores, without = left_out_scores(vectors, owners, backend)  # [S, N]
    kept = np.flatnonzero(np.isfinite(scores[owners, clips]))  # not those that are alone in their source
    known = identified(scores[:, kept], owners[kept], labels[kept], "enrolled clips, one left out at a time")
    left = clips if len(names) > 1 else clips[:0]
    nobody = np.full(len(left), -1)
    unknown = identified(without[:, left], nobody, labels[left], "enrolled clips, one source left out at a time")
    return known, unknown


def component_trials(
    backend: Backend,
    vectors: np.ndarray,
    owners: np.ndarray,
    names: Sequence[str],
    values: Mapping[str, str],
    test: Development,
) -> tuple[Identified, Identified]:
    """Trials of a component, such as the vocoder: each clip against all sources but its own.

    In a known trial another source has the clip's value, in an unknown one none has.

    Args:
        vectors, owners, names: as for `held_out`.
        values: of the sources, enrolled or not, whose component is on record.
        test: clips; they may be the enrolled ones.
    """
    row = {name: i for i, name in enumerate(names)}
    own = np.array([row.get(source, -1) for source in test.sources])
    scores = scores_without_own(vectors, owners, backend, test.vectors, own)
    on_record = np.array([i for i, name in enumerate(names) if name in values], np.int64)
    clips = np.array([i for i, source in enumerate(test.sources) if source in values], np.int64)
    found, of_value = component_scores(scores[np.ix_(on_record, clips)], [values[names[i]] for i in on_record])
    place = {value: i for i, value in enumerate(found)}
    sources = np.asarray(test.sources, dtype=object)[clips]
    truth = np.array([place.get(values[source], -1) for source in sources], np.int64)
    alone = (truth >= 0) & np.isneginf(of_value[truth, np.arange(len(truth))])  # its own source is the only one
    truth[alone] = -1
    data = f"{test.data}, the source of each left out"
    known, unknown = (
        identified(of_value[:, part], truth[part], sources[part], data) for part in (truth >= 0, truth < 0)
    )
    return known, unknown


def evidence_trials(known: Identified, unknown: Identified, backend: str, extractor: str) -> SourceTrials:
    """The best scores as trials to calibrate on: a target is a clip whose source is enrolled.

    Raises:
        CalibrationError: one of the two kinds is missing.
    """
    sources, whose = np.unique(np.concatenate([known.sources, unknown.sources]).astype(object), return_inverse=True)
    target = np.repeat([True, False], [len(known.best), len(unknown.best)])
    scores = np.concatenate([known.best, unknown.best])
    compared = "best score over the enrolled sources: the clip's own among them or not"
    data = " / ".join(dict.fromkeys([known.data, unknown.data]))
    return SourceTrials(scores, target, whose, whose, tuple(sources), compared, backend, len(scores), data, extractor)
