"""Figures of `metrics` from weights instead of lists: what a bootstrap asks for thousands of times.

Conventions
    K rising scores; `targets` [K] and `nontargets` [K] are the sums of the weights of the trials at each, finite and
    at least 0, with a sum above 0. Only their ratios matter. With whole counts every figure is that of the function of
    the same name in `metrics`; with the weights 1 / number of clips of a source, one where every source counts alike.
"""

from __future__ import annotations

import numpy as np

from synthprint.metrics.likelihood_ratios import pool_adjacent_violators
from synthprint.metrics.verification import crossing, rates

ROUNDING = 1e-9  # of sums of weights, as a share of all


class Ordered:
    """Scores [N] in order, so that weights of the N become those of each distinct score.

    Args:
        positive: [N] bool, which are of the first kind.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self._positive = positive
        _, self._place = np.unique(scores, return_inverse=True)
        self._length = int(self._place.max()) + 1

    def sides(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights at each distinct score, rising: of the first kind, and of the others."""
        return self._side(weights, self._positive), self._side(weights, ~self._positive)

    def _side(self, weights: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.bincount(self._place[which], weights[which], self._length)


def eer(targets: np.ndarray, nontargets: np.ndarray) -> float:
    """Equal error rate."""
    return crossing(*rates(targets, nontargets)).eer


def min_dcf(targets: np.ndarray, nontargets: np.ndarray, p_target: float) -> float:
    """Least normalised detection cost, both costs 1."""
    p_miss, p_fa = rates(targets, nontargets)
    return float((p_target * p_miss + (1 - p_target) * p_fa).min() / min(p_target, 1 - p_target))


def cllr_min(targets: np.ndarray, nontargets: np.ndarray) -> float:
    """Cllr in bits after pool adjacent violators."""
    weighty = (targets > 0) | (nontargets > 0)
    blocks = pool_adjacent_violators(targets[weighty], nontargets[weighty])
    p_target, p_nontarget = (weights / weights.sum() for weights in blocks)
    both = p_target + p_nontarget
    return float(sum((p[p > 0] * np.log2(both[p > 0] / p[p > 0])).sum() for p in (p_target, p_nontarget)) / 2)


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Area under the ROC curve, ties counting one half."""
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def fpr_at_tpr(positives: np.ndarray, negatives: np.ndarray, tpr: float = 0.95) -> float:
    """Share of negatives at or above the highest threshold that accepts at least `tpr` of the positives.

    For the other orientation, where a low score is positive, turn both arrays round.
    """
    accepted = np.cumsum(positives[::-1])[::-1] / positives.sum()
    at = np.flatnonzero(accepted >= tpr - ROUNDING)[-1]
    return float(negatives[at:].sum() / negatives.sum())


def identification_rate(right: np.ndarray, enrolled: float, unknown: np.ndarray, far: float) -> float:
    """Open-set identification rate: utterances of enrolled sources identified rightly and accepted.

    Args:
        right: [K] weights of the utterances that are identified rightly.
        enrolled: weight of all utterances of enrolled sources.
        unknown: [K] weights of the utterances of other sources.
        far: the largest share of these that may be accepted.
    """
    alarms = np.append(np.cumsum(unknown[::-1])[::-1] / unknown.sum(), 0.0)
    at = np.flatnonzero(alarms <= far + ROUNDING)[0]
    return float(right[at:].sum() / enrolled)
