"""How strong a likelihood ratio the validation data can support: empirical lower and upper bounds (ELUB).

Vergeer, van Es, de Jongh, Alberink and Stoel, "Numerical likelihood ratios outputted by LR systems are often based on
extrapolation: when to stop extrapolating?", Science & Justice 56 (2016).

Whoever decides by Bayes' rule at prior odds 1 / t, accepting where LR >= t, errs at a certain rate. That rate divided
by the rate of one who hears no LR at all is the normalised Bayes error rate:

    t >= 1:  P_miss(t) + t P_fa(t)          t <= 1:  P_miss(t) / t + P_fa(t)

The data support LRs up to t as long as listening to them is better than not, that is the rate stays below 1, even if
one more trial of each kind were misleading without bound.
"""

from __future__ import annotations

import numpy as np


def elub(
    target_llr: np.ndarray,
    nontarget_llr: np.ndarray,
    target_w: np.ndarray,
    nontarget_w: np.ndarray,
    misleading: tuple[float, float],
) -> tuple[float, float]:
    """(lower, upper) bound as log10 LR, lower <= 0 <= upper: the range around LR 1 where the rate is below 1.

    Args:
        target_llr, nontarget_llr: [T], [N] log10 LRs.
        target_w, nontarget_w: their weights, adding up to 1 on each side.
        misleading: the weight of the added misleading trial of each kind, on the same scale. 1 / T and 1 / N are the
            paper's single LR; 1 / number of sources says: one source more, and all its trials misleading.
    """
    upper = _upper(target_llr, nontarget_llr, target_w, nontarget_w, misleading)
    # With the hypotheses changed over, an LR is its inverse, and the lower bound an upper one.
    lower = _upper(-nontarget_llr, -target_llr, nontarget_w, target_w, misleading[::-1])
    return 0.0 - lower, upper


def _upper(
    target: np.ndarray, nontarget: np.ndarray, target_w: np.ndarray, nontarget_w: np.ndarray, one: tuple[float, float]
) -> float:
    """log10 of the least t >= 1 at which P_miss(t) + t P_fa(t) reaches 1.

    Both rates are constant for t in (edge, next edge], the edges being the LRs that occur. There, the sum reaches 1 at
    t = (1 - P_miss) / P_fa, or has reached it at the edge already.
    """
    edges = np.append(0.0, np.unique(np.concatenate([target, nontarget])))
    edges = np.unique(edges[edges >= 0])
    order_t, order_n = np.argsort(target, kind="stable"), np.argsort(nontarget, kind="stable")
    missed, rejected = np.append(0, np.cumsum(target_w[order_t])), np.append(0, np.cumsum(nontarget_w[order_n]))
    p_miss = (missed[np.searchsorted(target[order_t], edges, "right")] + one[0]) / (missed[-1] + one[0])
    left = rejected[-1] - rejected[np.searchsorted(nontarget[order_n], edges, "right")]
    p_fa = (np.maximum(left, 0) + one[1]) / (rejected[-1] + one[1])
    with np.errstate(divide="ignore"):
        reached = np.log10(np.maximum(1 - p_miss, 0)) - np.log10(p_fa)
    first = np.flatnonzero(reached <= np.append(edges[1:], np.inf))[0]  # P_fa > 0, so the last always does
    return float(max(edges[first], reached[first]))
