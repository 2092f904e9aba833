"""How well scores tell targets from nontargets, and decisions right from wrong: a page of definitions.

Conventions
    A higher score always means more likely the same source (or more likely the class named positive).
    A trial is accepted where score >= threshold. Trials with equal scores are accepted together.
    Rates and areas are fractions in 0 ... 1, not percent. `cllr`, `cllr_min` and `ece` are in bits.
    Scores are one-dimensional; none may be missing or NaN. `docs/conventions.md` compares with other tools.

Metrics
    det, eer, eer_threshold, min_dcf             verification
    cllr, cllr_min, ece                          likelihood ratios
    auroc, fpr_at_tpr                            detection
    oscr, oscr_curve, identification_rate        open-set identification
    accuracy, balanced_accuracy, macro_f1        identification
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError

POOLING_ROUNDS = 30


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
    """Where P_miss = P_fa on a curve: on the segment from point `end` - 1 to point `end`."""

    end: int
    eer: float
    end_nearer: bool  # whether the rates are closer to each other at the end than at the start


def det(target: ArrayLike, nontarget: ArrayLike) -> Det:
    """(P_miss, P_fa) at every distinct score as a threshold, and for rejecting all.

    Raises:
        MetricError: no target or no nontarget score, or one is NaN.
    """
    scores, targets, nontargets = _counts(target, nontarget)
    thresholds = np.append(scores, np.array(np.inf, scores.dtype))
    return Det(*rates(targets, nontargets), thresholds)


def eer(target: ArrayLike, nontarget: ArrayLike) -> float:
    """Equal error rate: the points of `det` joined by straight lines, where P_miss = P_fa.

    It does not depend on the order of the trials, nor on an increasing affine map of the scores. Perfectly
    separated scores give 0, scores that are all equal 0.5; `eer(t, n) == eer(-n, -t)`.

    Raises:
        MetricError: as for `det`.
    """
    _, targets, nontargets = _counts(target, nontarget)
    return crossing(*rates(targets, nontargets)).eer


def eer_threshold(target: ArrayLike, nontarget: ArrayLike) -> float:
    """A threshold whose P_miss and P_fa are as close to each other as any threshold's.

    It is a score, or the smallest number above a score (of the same floating-point type): see `threshold_at`.

    Raises:
        MetricError: as for `det`.
    """
    scores, targets, nontargets = _counts(target, nontarget)
    found = crossing(*rates(targets, nontargets))
    return threshold_at(scores[found.end - 1], found)


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


def cllr(target_llr: ArrayLike, nontarget_llr: ArrayLike) -> float:
    """Log-likelihood-ratio cost in bits of *natural* log-likelihood ratios; 1 is what saying nothing (LLR 0) costs.

    (mean over targets of log2(1 + exp(-llr)) + mean over nontargets of log2(1 + exp(llr))) / 2
    (Brümmer and du Preez, "Application-independent evaluation of speaker detection", 2006).

    Raises:
        MetricError: as for `det`.
    """
    target_llr, nontarget_llr = _scores(target_llr, "target"), _scores(nontarget_llr, "nontarget")
    cost = np.logaddexp(0, -target_llr).mean() + np.logaddexp(0, nontarget_llr).mean()
    return float(cost / (2 * np.log(2)))


def cllr_min(target: ArrayLike, nontarget: ArrayLike) -> float:
    """The least Cllr, in bits, that any rising map from scores to likelihood ratios could reach on these trials.

    That map is isotonic regression (pool adjacent violators) of the labels on the scores, turned into likelihood
    ratios (Brümmer and du Preez, 2006). The scores need not be likelihood ratios. At most 1.

    Raises:
        MetricError: as for `det`.
    """
    _, targets, nontargets = _counts(target, nontarget)
    targets, nontargets = pooled(targets, nontargets)
    p_target, p_nontarget = targets / targets.sum(), nontargets / nontargets.sum()
    both = p_target + p_nontarget
    # A block's LR is p_target / p_nontarget; log2(1 + 1 / LR) = log2(both / p_target), and 0 log 0 counts as 0.
    cost = sum((p[p > 0] * np.log2(both[p > 0] / p[p > 0])).sum() for p in (p_target, p_nontarget))
    return float(cost / 2)


def ece(target_llr: ArrayLike, nontarget_llr: ArrayLike, log_prior_odds: ArrayLike) -> np.ndarray:
    """Empirical cross-entropy in bits at each of P prior log-odds: [P]. All logarithms are natural.

    How much is left to know, on average, once the LR is heard; at prior odds of 1 it is Cllr.
    π mean over targets of log2(1 + exp(-(llr + o))) + (1 - π) mean over nontargets of log2(1 + exp(llr + o)), with
    log-odds o and π = 1 / (1 + exp(-o)) (Ramos and Gonzalez-Rodriguez, "Reliable support", 2013).

    Raises:
        MetricError: as for `det`.
    """
    target_llr, nontarget_llr = _scores(target_llr, "target"), _scores(nontarget_llr, "nontarget")
    entropies = []
    for odds in np.atleast_1d(np.asarray(log_prior_odds, np.float64)).tolist():
        prior = 1 / (1 + np.exp(-odds))
        miss, fa = np.logaddexp(0, -target_llr - odds).mean(), np.logaddexp(0, nontarget_llr + odds).mean()
        entropies.append(prior * miss + (1 - prior) * fa)
    return np.array(entropies) / np.log(2)


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.

    Raises:
        MetricError: no score on one side, or one is NaN.
    """
    positive, negative = _scores(positive, "positive"), np.sort(_scores(negative, "negative"))
    below = np.searchsorted(negative, positive, "left").sum(dtype=np.float64)
    not_above = np.searchsorted(negative, positive, "right").sum(dtype=np.float64)
    return float((below + not_above) / (2 * len(positive) * len(negative)))


def fpr_at_tpr(positive: ArrayLike, negative: ArrayLike, tpr: float = 0.95) -> float:
    """Fraction of negatives accepted at the highest threshold that accepts at least `tpr` of the positives.

    Nothing is interpolated. Both orientations are in use for detecting unseen sources: which class is positive is
    the caller's to say, and to report.

    Raises:
        MetricError: no score on one side, one is NaN, or `tpr` is not in 0 ... 1 (0 out).
    """
    if not 0 < tpr <= 1:
        raise MetricError(f"the true positive rate must be in 0 ... 1 (0 out), not {tpr}")
    positive, negative = np.sort(_scores(positive, "positive")), _scores(negative, "negative")
    needed = int(np.ceil(round(tpr * len(positive), 9)))  # 0.95 * 20 is a hair above 19 in floating point
    return float((negative >= positive[len(positive) - needed]).mean())


def oscr(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> float:
    """Area under the open-set classification rate curve (Dhamija et al., "Reducing network agnostophobia", 2018).

    The curve: correct classification rate (known utterances that are identified rightly and score >= threshold)
    over false positive rate (unknown utterances that score >= threshold), over all thresholds, ties together,
    joined by straight lines. At most the closed-set accuracy.

    Args:
        known: [K] scores of utterances of enrolled sources, such as the score of the best source.
        correct: [K] bool, whether each was identified rightly.
        unknown: [U] scores of utterances of sources that are not enrolled.

    Raises:
        MetricError: a side is empty, lengths differ, or a score is NaN.
    """
    known, unknown, right = _known(known, correct), _scores(unknown, "unknown"), np.asarray(correct, dtype=bool)
    if not right.any():
        return 0.0
    # The area is the chance that a known one is identified rightly and scores above an unknown one.
    return auroc(known[right], unknown) * float(right.mean())


def oscr_curve(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The curve whose area is `oscr`: (false positive rate, correct classification rate), from rejecting all.

    Raises:
        MetricError: as for `oscr`.
    """
    known, unknown, right = _known(known, correct), _scores(unknown, "unknown"), np.asarray(correct, dtype=bool)
    thresholds = np.unique(np.concatenate([known, unknown]))[::-1]
    accepted_right, accepted_unknown = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, "left") for scores in (known[right], unknown)
    )
    return np.append(0, accepted_unknown / len(unknown)), np.append(0, accepted_right / len(known))


def identification_rate(known: ArrayLike, correct: ArrayLike, unknown: ArrayLike, far: float = 0.05) -> float:
    """Open-set identification rate: known utterances identified rightly and accepted, at a false alarm rate.

    The detection and identification rate at rank 1 (Phillips, Grother and Micheals, "Evaluation methods in face
    recognition", 2011), at the lowest threshold that accepts at most `far` of the unknown utterances. Nothing is
    interpolated.

    Args:
        known, correct, unknown: as for `oscr`.
        far: the largest fraction of unknown utterances that may be accepted.

    Raises:
        MetricError: as for `oscr`; `far` is not in 0 ... 1 (1 out).
    """
    if not 0 <= far < 1:
        raise MetricError(f"the false alarm rate must be in 0 ... 1 (1 out), not {far}")
    p_fa, rate = oscr_curve(known, correct, unknown)
    return float(rate[np.flatnonzero(p_fa <= far + 1e-12)[-1]])


def accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Fraction of labels predicted rightly.

    Raises:
        MetricError: no labels, or lengths differ.
    """
    true, predicted = _labels(true, predicted)
    return float((true == predicted).mean())


def balanced_accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """Recall, averaged over the classes that occur in `true`.

    Raises:
        MetricError: as for `accuracy`.
    """
    true, predicted = _labels(true, predicted)
    return float(np.mean([(predicted[true == label] == label).mean() for label in np.unique(true)]))


def macro_f1(true: ArrayLike, predicted: ArrayLike) -> float:
    """F1, averaged over the classes that occur in `true` or in `predicted`.

    Raises:
        MetricError: as for `accuracy`.
    """
    true, predicted = _labels(true, predicted)
    return float(
        np.mean(
            [
                2
                * ((true == label) & (predicted == label)).sum()
                / ((true == label).sum() + (predicted == label).sum())
                for label in np.union1d(true, predicted)
            ]
        )
    )


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


def pooled(targets: np.ndarray, nontargets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts at rising scores, merged until the share of targets rises strictly: pool adjacent violators.

    The counts may be weights; at each score one of the two is above 0.
    """
    for _ in range(POOLING_ROUNDS):  # all runs of falling shares at once: whatever the order, the blocks are the same
        falls = targets[:-1] * nontargets[1:] >= targets[1:] * nontargets[:-1]
        if not falls.any():
            return targets, nontargets
        starts = np.flatnonzero(np.append(True, ~falls))
        targets, nontargets = np.add.reduceat(targets, starts), np.add.reduceat(nontargets, starts)
    blocks: list[tuple[float, float]] = []  # merges that follow from one another, one by one
    for t, n in zip(targets.tolist(), nontargets.tolist(), strict=True):
        while blocks and blocks[-1][0] * n >= t * blocks[-1][1]:  # the share does not rise: merge
            t, n = t + blocks[-1][0], n + blocks[-1][1]  # noqa: PLW2901
            blocks.pop()
        blocks.append((t, n))
    merged = np.array(blocks)
    return merged[:, 0], merged[:, 1]


def threshold_at(score: np.floating, found: Crossing) -> float:
    """The threshold of a crossing whose segment is made by the trials of this `score`.

    Accepting them is the segment's start, rejecting them its end; the one with the closer rates counts, and the
    start where both are alike. Rejecting them is written as the smallest number above the score.
    """
    return float(np.nextafter(score, np.inf, dtype=score.dtype) if found.end_nearer else score)


def _scores(values: ArrayLike, name: str) -> np.ndarray:
    scores = np.asarray(values)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    if scores.ndim != 1:
        raise MetricError(f"{name} scores must be one-dimensional, not {list(scores.shape)}")
    if not len(scores):
        raise MetricError(f"there are no {name} scores; this needs at least one")
    if np.isnan(scores).any():
        raise MetricError(f"{int(np.isnan(scores).sum())} of {len(scores)} {name} scores are not numbers (NaN)")
    return scores


def _known(known: ArrayLike, correct: ArrayLike) -> np.ndarray:
    known, right = _scores(known, "known"), np.asarray(correct)
    if known.shape != right.shape:
        raise MetricError(f"{len(known)} known scores need as many marks of right or wrong, not {list(right.shape)}")
    return known


def _counts(target: ArrayLike, nontarget: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct scores in rising order, and the numbers of target and nontarget trials at each."""
    target, nontarget = _scores(target, "target"), _scores(nontarget, "nontarget")
    scores, index = np.unique(np.concatenate([target, nontarget]), return_inverse=True)
    targets = np.bincount(index[: len(target)], minlength=len(scores))
    return scores, targets, np.bincount(index[len(target) :], minlength=len(scores))


def _labels(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or not len(true):
        raise MetricError(
            f"true and predicted labels must be as many, at least one: {true.shape} and {predicted.shape}"
        )
    return true, predicted
