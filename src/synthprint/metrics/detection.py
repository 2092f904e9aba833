"""Detection: how well scores tell positives from negatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError
from synthprint.metrics.inputs import checked_scores


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting one half.

    Raises:
        MetricError: no score on one side, or one is NaN.
    """
    positive, negative = checked_scores(positive, "positive"), np.sort(checked_scores(negative, "negative"))
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
    positive, negative = np.sort(checked_scores(positive, "positive")), checked_scores(negative, "negative")
    needed = int(np.ceil(round(tpr * len(positive), 9)))  # 0.95 * 20 is a hair above 19 in floating point
    return float((negative >= positive[len(positive) - needed]).mean())
