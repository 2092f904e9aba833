"""Open-set identification: below which score a clip is of none of the enrolled sources, and how that is set.

*Conventions.* S enrolled sources, T clips, scores [S, T]. A clip is given its best source where that scores at
least `threshold`, else it is *unknown*; a source within `margin` of the best is too close to tell from it.
A *known* trial is a clip of an enrolled source that is not itself enrolled; answering "unknown" is a false
rejection. An *unknown* trial is a clip of a source that is not enrolled; naming a source is a false acceptance.
All rates are means over sources of each source's own rate: a source with many clips weighs no more than one with few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.calibration.trials import SourceTrials, left_out_scores, scores_without_own
from synthprint.components import component_scores
from synthprint.errors import GalleryError
from synthprint.shelves import Backend

KINDS = ("equal error", "false rejection", "false acceptance")
DEFAULT_MARGIN = 0.05  # of a gallery that was never measured
MAX_WRONG = 0.05  # the margin is set so that of the clips named without doubt at most so many are named wrongly
ROUNDING = 1e-12  # of sums of weights


@dataclass(frozen=True)
class OperatingPoint:
    """Where to put a threshold: both error rates equal, or one of them at most `rate`.

    Raises:
        GalleryError: there is no such kind, or the rate is not between 0 and 1.
    """

    kind: str = "equal error"
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GalleryError(f"operating point {self.kind!r} is not one of: {', '.join(KINDS)}")
        if (self.rate is None) != (self.kind == "equal error"):
            raise GalleryError("an operating point has a rate, unless it is 'equal error'")
        if self.rate is not None and not 0.0 <= self.rate < 1.0:
            raise GalleryError(f"the rate of {self.kind} must be from 0 to below 1 (0.05 is 5 %), not {self.rate}")

    def __str__(self) -> str:
        return self.kind if self.rate is None else f"{self.kind} at most {100 * self.rate:g} %"


EQUAL_ERROR = OperatingPoint()


@dataclass(frozen=True)
class TrialCount:
    """How many trials there were, of how many sources, and where they came from."""

    clips: int
    sources: int
    data: str


@dataclass(frozen=True)
class Rule:
    """How scores become an answer, and what that did on development data.

    Attributes:
        threshold, margin: see the conventions above.
        operating_point: where the threshold was put.
        false_rejection: of known clips, those answered "unknown".
        false_acceptance: of unknown clips, those given a source.
        accuracy: of known clips, those whose best source is the right one.
        ambiguous: of known clips at or above the threshold, those with a second source within the margin.
        wrong: of the rest of these, those given a wrong source.
        known, unknown: the trials.
        enrolled: number of sources in the gallery at the time.

    Raises:
        GalleryError: a number is not finite.
    """

    threshold: float
    margin: float
    operating_point: str
    false_rejection: float
    false_acceptance: float
    accuracy: float
    ambiguous: float
    wrong: float
    known: TrialCount
    unknown: TrialCount
    enrolled: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and math.isfinite(self.margin)):
            raise GalleryError(f"threshold {self.threshold} and margin {self.margin} must be finite numbers")


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


def rule(
    known: Identified, unknown: Identified, point: OperatingPoint, enrolled: int, most_wrong: float = MAX_WRONG
) -> Rule:
    """The rule of a gallery with `enrolled` sources, from known and unknown trials.

    Args:
        most_wrong: see `margin_of`.

    Raises:
        GalleryError: one of the two kinds of trials is missing.
    """
    if not len(known.best):
        raise GalleryError(
            "no known trials: a threshold needs clips of enrolled sources that are not enrolled themselves, "
            "or sources with two enrolled clips or more"
        )
    if not len(unknown.best):
        raise GalleryError(
            "no unknown trials: a threshold needs clips of sources that are not enrolled, or two enrolled sources"
        )
    threshold, false_rejection, false_acceptance = threshold_at(known, unknown, point)
    named = known.best >= threshold
    weights = known.weights
    margin, ambiguous, wrong = margin_of(known.lead[named], known.right[named], weights[named], most_wrong)
    return Rule(
        threshold=threshold,
        margin=margin,
        operating_point=str(point),
        false_rejection=false_rejection,
        false_acceptance=false_acceptance,
        accuracy=float(weights[known.right].sum()),
        ambiguous=ambiguous,
        wrong=wrong,
        known=known.count,
        unknown=unknown.count,
        enrolled=enrolled,
    )


def threshold_at(known: Identified, unknown: Identified, point: OperatingPoint) -> tuple[float, float, float]:
    """The threshold of an operating point, and its rates of false rejection and false acceptance.

    It lies half-way between two scores that were seen. At equal error the larger of the two rates is the least
    that there is; at a given rate it is the threshold with the least of the other error.
    """
    cuts = _between(np.concatenate([known.best, unknown.best]))
    false_rejection = _share_below(known.best, known.weights, cuts)
    false_acceptance = 1.0 - _share_below(unknown.best, unknown.weights, cuts)
    rate = (point.rate or 0.0) + ROUNDING
    if point.kind == "equal error":
        larger = np.maximum(false_rejection, false_acceptance)
        apart = np.abs(false_rejection - false_acceptance)
        at = int(np.lexsort((apart.round(12), larger.round(12)))[0])
    elif point.kind == "false rejection":
        at = int(np.flatnonzero(false_rejection <= rate)[-1])
    else:
        at = int(np.flatnonzero(false_acceptance <= rate)[0])
    rates = (false_rejection[at], false_acceptance[at])
    return float(cuts[at]), *(float(np.clip(rate, 0.0, 1.0)) for rate in rates)  # type: ignore[return-value]


def margin_of(
    lead: np.ndarray, right: np.ndarray, weights: np.ndarray, most_wrong: float = MAX_WRONG
) -> tuple[float, float, float]:
    """The least margin with which at most `most_wrong` of the clips that lead by it are named wrongly.

    Where no margin reaches that, the one that comes nearest.

    Args:
        lead, right: [K], see `Identified`.
        weights: [K].

    Returns:
        The margin, the share of clips that do not lead by it, and the share of wrong ones among those that do.
    """
    if not len(lead):
        return DEFAULT_MARGIN, 0.0, 0.0
    finite = lead[np.isfinite(lead)].astype(np.float64)
    cuts = np.concatenate([[0.0], _between(finite)[1:-1]]) if len(finite) else np.zeros(1)
    behind = _share_below(lead, weights, cuts)
    wrong_behind = _share_below(lead, weights * ~right, cuts)
    wrong = (float((weights * ~right).sum()) - wrong_behind) / (float(weights.sum()) - behind)
    excess = np.maximum(wrong, most_wrong).round(12)
    at = int(np.argmin(excess))  # the first of the least, and so the least margin
    share = float(behind[at] / weights.sum())
    return float(cuts[at]), share, float(np.clip(wrong[at], 0.0, 1.0))


def _between(values: np.ndarray) -> np.ndarray:
    """Cuts that part the distinct values in every way: the lowest, all mid-points, and one above the highest."""
    distinct = np.unique(values.astype(np.float64))
    return np.concatenate([distinct[:1], (distinct[:-1] + distinct[1:]) / 2, distinct[-1:] + 1e-6])


def _share_below(values: np.ndarray, weights: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Sum of the weights of the values below each cut."""
    order = np.argsort(values, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weights[order])])
    return sums[np.searchsorted(values[order].astype(np.float64), cuts, side="left")]
