"""Open-set identification: below which score a clip is of none of the enrolled sources, and how that is set.

*Conventions.* S enrolled sources, T clips, scores [S, T]. A clip is given its best source where that scores at
least `threshold`, else it is *unknown*; a source within `margin` of the best is too close to tell from it.
A *known* trial is a clip of an enrolled source that is not itself enrolled; answering "unknown" is a false
rejection. An *unknown* trial is a clip of a source that is not enrolled; naming a source is a false acceptance.
All rates are means over sources of each source's own rate: a source with many clips weighs no more than one with few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from synthprint.errors import GalleryError
from synthprint.reading.schemas import construct, table_schema
from synthprint.types import IdentificationTrials, TrialCount

OPERATING_POINTS = ("equal error", "false rejection", "false acceptance")
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
        if self.kind not in OPERATING_POINTS:
            raise GalleryError(f"operating point {self.kind!r} is not one of: {', '.join(OPERATING_POINTS)}")
        if (self.rate is None) != (self.kind == "equal error"):
            raise GalleryError("an operating point has a rate, unless it is 'equal error'")
        if self.rate is not None and not 0.0 <= self.rate < 1.0:
            raise GalleryError(f"the rate of {self.kind} must be from 0 to below 1 (0.05 is 5 %), not {self.rate}")

    def __str__(self) -> str:
        return self.kind if self.rate is None else f"{self.kind} at most {100 * self.rate:g} %"


EQUAL_ERROR = OperatingPoint()


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


def rule(
    known_trials: IdentificationTrials,
    unknown_trials: IdentificationTrials,
    point: OperatingPoint,
    enrolled: int,
    most_wrong: float = MAX_WRONG,
) -> Rule:
    """The rule of a gallery with `enrolled` sources, from known and unknown trials.

    Args:
        most_wrong: see `set_margin`.

    Raises:
        GalleryError: one of the two kinds of trials is missing.
    """
    if not len(known_trials):
        raise GalleryError(
            "no known trials: a threshold needs clips of enrolled sources that are not enrolled themselves, "
            "or sources with two enrolled clips or more"
        )
    if not len(unknown_trials):
        raise GalleryError(
            "no unknown trials: a threshold needs clips of sources that are not enrolled, or two enrolled sources"
        )
    threshold, false_rejection, false_acceptance = threshold_at(known_trials, unknown_trials, point)
    named = known_trials.scores >= threshold
    weights = known_trials.weights
    margin, ambiguous, wrong = set_margin(
        known_trials.leads[named], known_trials.correct[named], weights[named], most_wrong
    )
    return Rule(
        threshold=threshold,
        margin=margin,
        operating_point=str(point),
        false_rejection=false_rejection,
        false_acceptance=false_acceptance,
        accuracy=float(weights[known_trials.correct].sum()),
        ambiguous=ambiguous,
        wrong=wrong,
        known=known_trials.count,
        unknown=unknown_trials.count,
        enrolled=enrolled,
    )


def threshold_at(
    known_trials: IdentificationTrials, unknown_trials: IdentificationTrials, point: OperatingPoint
) -> tuple[float, float, float]:
    """The threshold of an operating point, and its rates of false rejection and false acceptance.

    It lies half-way between two scores that were seen. At equal error the larger of the two rates is the least
    that there is; at a given rate it is the threshold with the least of the other error.
    """
    cuts = _between(np.concatenate([known_trials.scores, unknown_trials.scores]))
    false_rejection = _share_below(known_trials.scores, known_trials.weights, cuts)
    false_acceptance = 1.0 - _share_below(unknown_trials.scores, unknown_trials.weights, cuts)
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


def set_margin(
    lead: np.ndarray, right: np.ndarray, weights: np.ndarray, most_wrong: float = MAX_WRONG
) -> tuple[float, float, float]:
    """The least margin with which at most `most_wrong` of the clips that lead by it are named wrongly.

    Where no margin reaches that, the one that comes nearest.

    Args:
        lead, right: [K], see `IdentificationTrials.leads` and `.correct`.
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


_TRIALS: Any = table_schema(TrialCount, data=Annotated[str, Meta(max_length=1 << 16)])
RULE: Any = table_schema(Rule, known=_TRIALS, unknown=_TRIALS)  # the schema of what an index says of a rule


def build_rule(table: Any) -> Rule:
    """The rule of a table that fits RULE."""
    return construct(
        Rule, table, known=construct(TrialCount, table.known), unknown=construct(TrialCount, table.unknown)
    )
