"""Likelihood ratios: what scores cost that are meant as such, and the least that they could."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthprint.metrics.inputs import checked_scores, counts_by_score

POOLING_ROUNDS = 30


def cllr(target_llr: ArrayLike, nontarget_llr: ArrayLike) -> float:
    """Log-likelihood-ratio cost in bits of *natural* log-likelihood ratios; 1 is what saying nothing (LLR 0) costs.

    (mean over targets of log2(1 + exp(-llr)) + mean over nontargets of log2(1 + exp(llr))) / 2
    (Brümmer and du Preez, "Application-independent evaluation of speaker detection", 2006).

    Raises:
        MetricError: as for `det`.
    """
    target_llr, nontarget_llr = checked_scores(target_llr, "target"), checked_scores(nontarget_llr, "nontarget")
    cost = np.logaddexp(0, -target_llr).mean() + np.logaddexp(0, nontarget_llr).mean()
    return float(cost / (2 * np.log(2)))


def cllr_min(target: ArrayLike, nontarget: ArrayLike) -> float:
    """The least Cllr, in bits, that any rising map from scores to likelihood ratios could reach on these trials.

    That map is isotonic regression (pool adjacent violators) of the labels on the scores, turned into likelihood
    ratios (Brümmer and du Preez, 2006). The scores need not be likelihood ratios. At most 1.

    Raises:
        MetricError: as for `det`.
    """
    _, targets, nontargets = counts_by_score(target, nontarget)
    targets, nontargets = pool_adjacent_violators(targets, nontargets)
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
    target_llr, nontarget_llr = checked_scores(target_llr, "target"), checked_scores(nontarget_llr, "nontarget")
    entropies = []
    for odds in np.atleast_1d(np.asarray(log_prior_odds, np.float64)).tolist():
        prior = 1 / (1 + np.exp(-odds))
        miss, fa = np.logaddexp(0, -target_llr - odds).mean(), np.logaddexp(0, nontarget_llr + odds).mean()
        entropies.append(prior * miss + (1 - prior) * fa)
    return np.array(entropies) / np.log(2)


def pool_adjacent_violators(targets: np.ndarray, nontargets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
