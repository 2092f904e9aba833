"""What metrics are given: scores and labels, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError


def checked_scores(values: ArrayLike, name: str) -> np.ndarray:
    """Scores as a floating-point array [N].

    Args:
        values: the scores.
        name: of what they are the scores, for errors.

    Raises:
        MetricError: there is none, one is NaN, or they have more than one dimension.
    """
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


def counts_by_score(target: ArrayLike, nontarget: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The K distinct scores in rising order, and at each the number of target and of nontarget trials, all [K].

    Raises:
        MetricError: as for `checked_scores`.
    """
    target, nontarget = checked_scores(target, "target"), checked_scores(nontarget, "nontarget")
    scores, index = np.unique(np.concatenate([target, nontarget]), return_inverse=True)
    targets = np.bincount(index[: len(target)], minlength=len(scores))
    return scores, targets, np.bincount(index[len(target) :], minlength=len(scores))
