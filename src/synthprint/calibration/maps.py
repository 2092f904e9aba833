"""Three ways to fit a rising map from scores to log10 likelihood ratios.

A method is a function (target scores [T], nontarget scores [N], their weights [T] and [N]) -> map; a map is applied to
scores with numpy alone. Weights are above 0 and add up to 1 on each side, so that target and nontarget trials count
alike however many there are of each: a likelihood ratio does not depend on how often either occurs.

No map reaches infinity, not even on separated scores: each method counts trials that were not seen, as many as
a rule of succession asks for. How far a map may be trusted is another matter: see `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from synthprint.errors import CalibrationError
from synthprint.metrics import pool_adjacent_violators

MAX_KNOTS = 4096
LARGEST = 1e9  # of any number in a map that is read from a file
GRID = 2048  # cells of the kernel density estimate
SAME = 1e-12  # a spread of scores up to this, relative to the largest of them, is that of sums in floating point
STEPS = 100  # of Newton's method, which needs about ten

LN10 = float(np.log(10))


@dataclass(frozen=True)
class Line:
    """log10 LR = slope · score + intercept, with slope >= 0.

    Raises:
        CalibrationError: a number is out of range.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (0 <= self.slope <= LARGEST and abs(self.intercept) <= LARGEST):  # NaN fails both
            raise CalibrationError(f"a line of slope {self.slope} and intercept {self.intercept} is no calibration")

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Scores [K] -> log10 LR [K]."""
        return self.slope * scores + self.intercept

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True)
class Knots:
    """Straight lines between knots, flat beyond the first and the last.

    Attributes:
        scores: strictly rising.
        log10_lr: as many, never falling.

    Raises:
        CalibrationError: lengths, order or a number is not as they must be.
    """

    scores: tuple[float, ...]
    log10_lr: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.scores) == len(self.log10_lr) <= MAX_KNOTS:
            raise CalibrationError(
                f"a map needs 1 to {MAX_KNOTS} knots, as many scores ({len(self.scores)}) as log10 likelihood ratios "
                f"({len(self.log10_lr)})"
            )
        scores, log10_lr = np.array(self.scores, np.float64), np.array(self.log10_lr, np.float64)
        if not (np.abs(np.concatenate([scores, log10_lr])) <= LARGEST).all():
            raise CalibrationError("a map's knots must be finite numbers")
        if (np.diff(scores) <= 0).any() or (np.diff(log10_lr) < 0).any():
            raise CalibrationError("a map must rise: a higher score cannot mean a lower likelihood ratio")

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Scores [K] -> log10 LR [K]."""
        return np.interp(scores, self.scores, self.log10_lr)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"scores": list(self.scores), "log10_lr": list(self.log10_lr)}


Map = Line | Knots
MapFitter = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Map]


def logistic(target: np.ndarray, nontarget: np.ndarray, target_w: np.ndarray, nontarget_w: np.ndarray) -> Line:
    """The line that minimises Cllr: logistic regression with both kinds of trials of equal weight in sum.

    (Brümmer and du Preez, 2006; Morrison, "Tutorial on logistic-regression calibration", 2013.) By Newton's method.
    Labels are smoothed as by Platt ("Probabilistic outputs for support vector machines", 1999): of T targets, the
    share 1 / (T + 2) of each counts as nontarget, and the other way round. It bounds the slope where the scores are
    separated, and vanishes with many trials. Scores that fall where they should rise give LR 1 throughout.
    """
    scores = np.concatenate([target, nontarget]).astype(np.float64)
    weights = np.concatenate([target_w, nontarget_w]) / 2
    labels = np.concatenate(
        [np.full(len(target), (len(target) + 1) / (len(target) + 2)), np.full(len(nontarget), 1 / (len(nontarget) + 2))]
    )
    centre = float(weights @ scores)
    spread = float(np.sqrt(weights @ (scores - centre) ** 2))
    if not spread > SAME * max(abs(float(scores.min())), abs(float(scores.max()))):  # but for rounding they are all one
        return Line(0.0, 0.0)
    slope, intercept = _newton((scores - centre) / spread, labels, weights)
    if slope <= 0:
        return Line(0.0, 0.0)
    return Line(slope / spread / LN10, (intercept - slope * centre / spread) / LN10)


def _newton(x: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the natural log-odds, of least weighted cross-entropy; steps are halved until it falls."""

    def loss(line: np.ndarray) -> float:
        z = line[0] * x + line[1]
        return float(weights @ (np.logaddexp(0, z) - labels * z))

    line, now = np.zeros(2), loss(np.zeros(2))
    for _ in range(STEPS):
        p = 0.5 + 0.5 * np.tanh((line[0] * x + line[1]) / 2)
        pull, bend = weights * (p - labels), weights * p * (1 - p)
        gradient = np.array([pull @ x, pull.sum()])
        curvature = np.array([[bend @ x**2, bend @ x], [bend @ x, bend.sum()]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(line - step)) > now and np.abs(step).max() > 1e-12:
            step = step / 2
        line, now = line - step, min(after, now)
        if np.abs(step).max() < 1e-10:
            break
    return float(line[0]), float(line[1])


def pav(target: np.ndarray, nontarget: np.ndarray, target_w: np.ndarray, nontarget_w: np.ndarray) -> Knots:
    """Isotonic regression: pool adjacent violators, with one more trial of each kind at either end.

    The four added trials are Laplace's rule of succession at the ends (as in Brümmer's BOSARIS toolkit), where the
    scores seen would say LR 0 and infinity. Within a block of pooled scores the LR is constant; between two blocks it
    is interpolated.
    """
    scores, index = np.unique(np.concatenate([target, nontarget]).astype(np.float64), return_inverse=True)
    targets = np.bincount(index[: len(target)], target_w, len(scores))
    nontargets = np.bincount(index[len(target) :], nontarget_w, len(scores))
    return _rising(scores, targets, nontargets, (1 / len(target), 1 / len(nontarget)))


def kde(target: np.ndarray, nontarget: np.ndarray, target_w: np.ndarray, nontarget_w: np.ndarray) -> Knots:
    """The ratio of two kernel density estimates, made to rise.

    Gaussian kernels; the bandwidth of each density is 1.06 σ n^(-1/5) (Silverman, 1986, eq. 3.28), σ being the
    weighted deviation and n = 1 / sum of squared weights, the effective number of trials. The ratio of two densities
    need not rise, above all in the tails where it rests on nothing: it is pooled as by `pav`.
    """
    widths = [_bandwidth(*side) for side in ((target, target_w), (nontarget, nontarget_w))]
    low = min(target.min(), nontarget.min()) - 3 * max(widths)
    high = max(target.max(), nontarget.max()) + 3 * max(widths)
    if not high > low:
        return Knots((float(low),), (0.0,))
    grid = np.linspace(float(low), float(high), GRID)
    targets = _smoothed(target, target_w, grid, widths[0])
    nontargets = _smoothed(nontarget, nontarget_w, grid, widths[1])
    return _rising(grid, targets, nontargets, (1 / len(target), 1 / len(nontarget)))


def _bandwidth(scores: np.ndarray, weights: np.ndarray) -> float:
    deviation = np.sqrt(weights @ (scores - weights @ scores) ** 2)
    return float(1.06 * deviation * (weights @ weights) ** 0.2)


def _smoothed(scores: np.ndarray, weights: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """Mass in each cell of an even grid: weights shared between the two nearest cells, then a Gaussian over them."""
    step = grid[1] - grid[0]
    place = np.clip((scores - grid[0]) / step, 0, GRID - 1.000001)
    left = place.astype(np.int64)
    part = place - left
    mass = np.bincount(left, weights * (1 - part), GRID) + np.bincount(left + 1, weights * part, GRID)
    reach = int(np.ceil(5 * width / step))
    if not reach:
        return mass
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    spread = np.convolve(mass, kernel / kernel.sum(), mode="full")
    return spread[reach : reach + GRID]


def _rising(scores: np.ndarray, targets: np.ndarray, nontargets: np.ndarray, one: tuple[float, float]) -> Knots:
    """The map of pooled weights at rising scores, with `one` trial's weight of each kind added at both ends."""
    there = (targets > 0) | (nontargets > 0)
    scores, targets, nontargets = scores[there], targets[there], nontargets[there]
    blocks = pool_adjacent_violators(
        *(np.concatenate([[w], side, [w]]) for w, side in zip(one, (targets, nontargets), strict=True))
    )
    # Where each block starts and ends among the scores, counted from 1: 0 and K + 1 are the added trials.
    total = np.cumsum(np.concatenate([[sum(one)], targets + nontargets, [sum(one)]]))
    last = np.searchsorted(total, np.cumsum(blocks[0] + blocks[1]) * (1 - 1e-12))
    first = np.append(0, last[:-1] + 1)
    seen = (last > 0) & (first <= len(scores))  # a block of added trials alone says nothing of a score
    first, last = np.maximum(first[seen], 1) - 1, np.minimum(last[seen], len(scores)) - 1
    log10_lr = np.log10(blocks[0] / (1 + 2 * one[0])) - np.log10(blocks[1] / (1 + 2 * one[1]))
    log10_lr = log10_lr[seen]
    x = np.stack([scores[first], scores[last]], axis=1).ravel()
    y = np.maximum.accumulate(np.repeat(log10_lr, 2))
    new = np.append(True, np.diff(x) > 0)  # a block of one score has one knot
    x, y = x[new], y[new]
    if len(x) > MAX_KNOTS:
        some = np.unique(np.linspace(0, len(x) - 1, MAX_KNOTS).round().astype(int))
        x, y = x[some], y[some]
    return Knots(tuple(x.tolist()), tuple(y.tolist()))


METHODS: Mapping[str, MapFitter] = MappingProxyType({"logistic": logistic, "pav": pav, "kde": kde})
