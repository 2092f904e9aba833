"""Closed-set identification: how many labels are predicted rightly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError


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


def _labels(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or not len(true):
        raise MetricError(
            f"true and predicted labels must be as many, at least one: {true.shape} and {predicted.shape}"
        )
    return true, predicted
