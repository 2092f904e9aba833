"""Fitting a calibration, and saying how good it is on sources that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from synthprint.calibration.bounds import elub
from synthprint.calibration.calibration import Calibration, Population, Quality
from synthprint.calibration.maps import LN10, METHODS, Map
from synthprint.calibration.trials import calibratable
from synthprint.errors import CalibrationError
from synthprint.metrics import weighted as weighted_metrics
from synthprint.types import ScoredTrials

FOLDS = 5


def fit(trials: ScoredTrials, method: str = "logistic", weighting: str = "sources", folds: int = FOLDS) -> Calibration:
    """A calibration fitted on all trials; its quality is measured on source-disjoint folds.

    Args:
        trials: see `synthprint.calibration.trials`.
        method: "logistic", "pav" or "kde"; see `synthprint.calibration.maps`.
        weighting: "sources": every source counts alike, in the fit, in the bounds and in the quality; one source, and
            one pair of sources, is then what the bounds take for one observation. "trials": every trial does.
        folds: see `cross_fitted`.

    Raises:
        CalibrationError: there is no such method, a score is not finite, or there are too few sources or trials.
    """
    trials = calibratable(trials)
    crossed = cross_fitted(trials, method, weighting, folds)
    mapped, lower, upper = _bounded(trials, method, weighting)
    return Calibration(
        method=method,
        map=mapped,
        lower=lower,
        upper=upper,
        weighting=weighting,
        population=Population(
            targets=int(trials.target.sum()),
            nontargets=int((~trials.target).sum()),
            clips=trials.clips,
            sources=trials.n_sources,
            data=trials.data,
            compared=trials.compared,
            backend=trials.backend,
            extractor=trials.extractor,
        ),
        quality=crossed.quality(weighting),
    )


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What maps fitted without a trial's sources say of it.

    Attributes:
        trials: those that were tested: both their sources are in one fold.
        index: [K] their places among all trials.
        log10_lr: [K].
        clipped: [K] -1 at the lower bound, 1 at the upper, else 0.
        folds: how many.
    """

    trials: ScoredTrials
    index: np.ndarray
    log10_lr: np.ndarray
    clipped: np.ndarray
    folds: int

    def quality(self, weighting: str) -> Quality:
        """The figures, weighted as asked."""
        target, weights = self.trials.target, self.trials.weights(weighting).each
        bits = np.logaddexp(0, np.where(target, -1, 1) * self.log10_lr * LN10) / np.log(2)
        _, place = np.unique(self.log10_lr, return_inverse=True)
        counts = [np.bincount(place[kind], weights[kind], place.max() + 1) for kind in (target, ~target)]
        return Quality(
            cllr=float(bits @ weights) / 2,
            cllr_min=weighted_metrics.cllr_min(*counts),
            eer=weighted_metrics.eer(*counts),
            folds=self.folds,
            targets=int(target.sum()),
            nontargets=int((~target).sum()),
            at_lower=float(weights @ (self.clipped < 0)) / 2,
            at_upper=float(weights @ (self.clipped > 0)) / 2,
        )


def cross_fitted(
    trials: ScoredTrials, method: str = "logistic", weighting: str = "sources", folds: int = FOLDS
) -> CrossFitted:
    """The LRs, bounds included, that trials get from maps which saw neither of their sources.

    Sources are dealt into folds; the trials within a fold are tested by a map that was fitted on the trials with no
    source in it. Trials across two folds serve to fit where neither is the tested one, and are never tested. There
    are fewer folds where the sources are few: each has two at least.

    Raises:
        CalibrationError: there is no such method, fewer than four sources, or a fold leaves no trials to fit on.
    """
    trials, parts = calibratable(trials), []
    n_folds = min(folds, trials.n_sources // 2)
    if n_folds < 2:
        raise CalibrationError(
            f"{trials.compared}: a calibration needs the trials of 4 sources or more, so that it can be tested on "
            f"sources that it was not fitted on; here are {trials.n_sources}"
        )
    for held, tested in _folds(trials, n_folds):
        try:
            mapped, lower, upper = _bounded(calibratable(trials[~held]), method, weighting)
        except CalibrationError as error:
            raise CalibrationError(f"{error}: too few trials are left without the sources of one fold") from None
        raw = mapped(trials.scores[tested])
        parts.append((np.flatnonzero(tested), np.clip(raw, lower, upper), _sides(raw, lower, upper)))
    index, log10_lr, clipped = (np.concatenate(part) for part in zip(*parts, strict=True))
    return CrossFitted(calibratable(trials[index]), index, log10_lr, clipped, n_folds)


def _folds(trials: ScoredTrials, n_folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(trials with a source in the fold [K] bool, trials with both in it [K] bool), for each fold."""
    fold = deal_folds(trials, n_folds)
    first, second = (fold[side] for side in trials.owners)
    for number in range(n_folds):
        yield (first == number) | (second == number), (first == number) & (second == number)


def deal_folds(trials: ScoredTrials, n_folds: int) -> np.ndarray:
    """The fold of each source, in the order of `trials.names`; -1 of one that takes no part.

    They are dealt by their number of target trials, so that the folds are alike and nothing is drawn.
    """
    n_sources, owners = len(trials.names), trials.owners
    targets = np.bincount(owners[0][trials.target], minlength=n_sources)
    here = np.unique(np.concatenate(owners))
    order = here[np.argsort(-targets[here], kind="stable")]
    fold = np.full(n_sources, -1)
    fold[order] = np.arange(len(order)) % n_folds
    return fold


def _bounded(trials: ScoredTrials, method: str, weighting: str) -> tuple[Map, float, float]:
    """A map, and its bounds on the trials that it was fitted on."""
    if method not in METHODS:
        raise CalibrationError(f"calibration method {method!r} is not one of: {', '.join(METHODS)}")
    target, (weights, further) = trials.target, trials.weights(weighting)
    sides = [(trials.scores[kind], weights[kind]) for kind in (target, ~target)]
    mapped = METHODS[method](sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    lower, upper = elub(mapped(sides[0][0]), mapped(sides[1][0]), sides[0][1], sides[1][1], further)
    return mapped, lower, upper


def _sides(log10_lr: np.ndarray, lower: float, upper: float) -> np.ndarray:
    return (log10_lr > upper).astype(np.int8) - (log10_lr < lower).astype(np.int8)
