"""Verification: how well scores tell target trials from nontarget trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError
from synthprint.metrics.inputs import counts_by_score


class Det(NamedTuple):
    """The decision error tradeoff: from accepting every trial to rejecting every trial.

    Attributes:
        p_miss: [K + 1] fraction of target trials that are rejected, rising from 0 to 1.
        p_fa: [K + 1] fraction of nontarget trials that are accepted, falling from 1 to 0.
        thresholds: [K + 1] the K distinct scores in rising order, then infinity.
    """

    p_miss: np.ndarray
    p_fa: np.ndarray
    thresholds: np.ndarray


class Crossing(NamedTuple):
    """Where P_miss = P_fa on a curve: on one segment between two of its points.

    Attributes:
        end: index of the point where the segment ends; it starts at the one before.
        eer: the rate there.
        end_nearer: whether the two rates are closer to each other at the segment's end than at its start.
    """

    end: int
    eer: float
    end_nearer: bool


def det(target: ArrayLike, nontarget: ArrayLike) -> Det:
    """(P_miss, P_fa) at every distinct score as a threshold, and for rejecting all.

    Raises:
        MetricError: no target or no nontarget score, or one is NaN.
    """
    scores, targets, nontargets = counts_by_score(target, nontarget)
    thresholds = np.append(scores, np.array(np.inf, scores.dtype))
    return Det(*rates(targets, nontargets), thresholds)


def eer(target: ArrayLike, nontarget: ArrayLike) -> float:
    """Equal error rate: the points of `det` joined by straight lines, where P_miss = P_fa.

    It does not depend on the order of the trials, nor on an increasing affine map of the scores. Perfectly
    separated scores give 0, scores that are all equal 0.5; `eer(t, n) == eer(-n, -t)`.

    Raises:
        MetricError: as for `det`.
    """
    _, targets, nontargets = counts_by_score(target, nontarget)
    return crossing(*rates(targets, nontargets)).eer


def eer_threshold(target: ArrayLike, nontarget: ArrayLike) -> float:
    """A threshold whose P_miss and P_fa are as close to each other as any threshold's.

    It is a score, or the smallest number above a score (of the same floating-point type): see `threshold_at`.

    Raises:
        MetricError: as for `det`.
    """
    scores, targets, nontargets = counts_by_score(target, nontarget)
    crossed = crossing(*rates(targets, nontargets))
    return threshold_at(scores[crossed.end - 1], crossed)


def min_dcf(
    target: ArrayLike, nontarget: ArrayLike, p_target: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Least normalised detection cost over the points of `det` (NIST speaker recognition evaluations).

    min over thresholds of (c_miss P_miss p_target + c_fa P_fa (1 - p_target)), divided by the cost of the better
    of accepting all and rejecting all, min(c_miss p_target, c_fa (1 - p_target)). So it is at most 1.

    Raises:
        MetricError: as for `det`; `p_target` is not in 0 ... 1 (both ends out), a cost is not above 0.
    """
    if not 0 < p_target < 1 or c_miss <= 0 or c_fa <= 0:
        raise MetricError(
            f"a detection cost needs 0 < p_target < 1 and costs above 0, not {p_target}, {c_miss}, {c_fa}"
        )
    curve = det(target, nontarget)
    miss, fa = c_miss * p_target, c_fa * (1 - p_target)
    return float((miss * curve.p_miss + fa * curve.p_fa).min() / min(miss, fa))


def rates(targets: np.ndarray, nontargets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa) [K + 1] from numbers of trials at each of K rising scores; the last point rejects all.

    The counts may be weights; only their ratios matter.
    """
    missed = np.append(0, np.cumsum(targets))
    rejected = np.append(0, np.cumsum(nontargets))
    return missed / missed[-1], (rejected[-1] - rejected) / rejected[-1]


def crossing(p_miss: np.ndarray, p_fa: np.ndarray) -> Crossing:
    """Where a curve that starts at or below P_miss = P_fa crosses it, its points joined by straight lines."""
    difference = p_miss - p_fa
    end = max(1, int(np.searchsorted(difference, 0.0)))
    before, after = -difference[end - 1], difference[end]
    rate = p_miss[end - 1] + (p_miss[end] - p_miss[end - 1]) * (before / (before + after))
    return Crossing(end, float(rate), bool(after < before))


def threshold_at(score: np.floating, crossed: Crossing) -> float:
    """The threshold of a crossing whose segment is made by the trials of this `score`.

    Accepting them is the segment's start, rejecting them its end; the one with the closer rates counts, and the
    start where both are alike. Rejecting them is written as the smallest number above the score.
    """
    return float(np.nextafter(score, np.inf, dtype=score.dtype) if crossed.end_nearer else score)
