"""Fitting a calibration, and saying how good it is on sources, or publishers, that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from synthprint.calibration.bounds import elub
from synthprint.calibration.calibration import Calibration, Population, Quality
from synthprint.calibration.maps import LN10, METHODS, Map
from synthprint.calibration.trials import calibratable
from synthprint.errors import CalibrationError
from synthprint.metrics import weighted as weighted_metrics
from synthprint.types import ScoredTrials

FOLDS = 5
SAME_PUBLISHER = "nontargets of one publisher and format"


def fit(trials: ScoredTrials, method: str = "logistic", weighting: str = "sources", folds: int = FOLDS) -> Calibration:
    """A calibration fitted on all trials; its quality is measured on folds without a source, or publisher, in common.

    Args:
        trials: see `synthprint.calibration.trials`.
        method: "logistic", "pav" or "kde"; see `synthprint.calibration.maps`.
        weighting: "sources": every source counts alike, in the fit, in the bounds and in the quality; one source, and
            one pair of sources, is then what the bounds take for one observation. "publishers": the same of publishers.
            "trials": every trial does.
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
            publishers=trials.n_publishers,
        ),
        quality=crossed.quality(weighting),
    )


def fit_alternatives(trials: ScoredTrials, method: str = "logistic") -> tuple[Calibration, Calibration | None]:
    """Two calibrations of the same targets: against any nontarget, and against those of one page group.

    Publishers count alike where four or more are on record, else sources do.

    Returns:
        The second is None where publishers are not on record, or too few of them have such nontargets.

    Raises:
        CalibrationError: as `fit`, of the first.
    """
    if trials.n_publishers < 4:
        return fit(trials, method), None
    any_other = fit(trials, method, "publishers")
    with suppress(CalibrationError):
        return any_other, fit(against_own_group(trials), method, "publishers")
    return any_other, None


def against_own_group(trials: ScoredTrials) -> ScoredTrials:
    """The targets, and of the nontargets those of one page group, or of one publisher that has none."""
    part = trials[trials.target | trials.same_group]
    return replace(part, compared=f"{trials.compared}, {SAME_PUBLISHER}")


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """What maps fitted without a trial's sources say of it.

    Attributes:
        trials: those that were tested: both their sources, or publishers, are in one fold.
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
    trials: ScoredTrials, method: str = "logistic", weighting: str = "sources", folds: int | np.ndarray = FOLDS
) -> CrossFitted:
    """The LRs, bounds included, that trials get from maps which saw neither of their sources, or publishers.

    Units (publishers, where these count alike, else sources) are dealt into folds; the trials within a fold are tested
    by a map that was fitted on the trials with no unit in it. Trials across two folds serve to fit where neither is the
    tested one, and are never tested. There are fewer folds where the units are few: each has two at least.

    Args:
        folds: how many; or the fold of each unit, in the order of `ScoredTrials.units`.

    Raises:
        CalibrationError: there is no such method, fewer than four units, or a fold leaves no trials to fit on.
    """
    trials, parts = calibratable(trials), []
    what = "publishers" if weighting == "publishers" else "sources"
    units = trials.n_publishers if weighting == "publishers" else trials.n_sources
    n_folds = min(folds, units // 2) if isinstance(folds, int) else len(np.unique(folds))
    if n_folds < 2:
        raise CalibrationError(
            f"{trials.compared}: a calibration needs the trials of 4 {what} or more, so that it can be tested on "
            f"{what} that it was not fitted on; here are {units}"
        )
    fold_of_unit = deal_folds(trials, n_folds, weighting) if isinstance(folds, int) else folds
    for held, tested in _folds(trials, fold_of_unit, weighting):
        try:
            mapped, lower, upper = _bounded(calibratable(trials[~held]), method, weighting)
        except CalibrationError as error:
            raise CalibrationError(f"{error}: too few trials are left without the {what} of one fold") from None
        raw = mapped(trials.scores[tested])
        parts.append((np.flatnonzero(tested), np.clip(raw, lower, upper), _sides(raw, lower, upper)))
    index, log10_lr, clipped = (np.concatenate(part) for part in zip(*parts, strict=True))
    return CrossFitted(calibratable(trials[index]), index, log10_lr, clipped, n_folds)


def _folds(trials: ScoredTrials, fold: np.ndarray, weighting: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(trials with a unit in the fold [K] bool, trials with both in it [K] bool), for each fold."""
    first, second = (fold[side] for side in trials.units(weighting)[1])
    for number in np.unique(fold[fold >= 0]).tolist():
        yield (first == number) | (second == number), (first == number) & (second == number)


def deal_folds(trials: ScoredTrials, n_folds: int, weighting: str = "sources") -> np.ndarray:
    """The fold of each unit, in the order of `ScoredTrials.units`; -1 of one that takes no part.

    They are dealt by their number of target trials, so that the folds are alike and nothing is drawn.
    """
    names, (first, second) = trials.units(weighting)
    targets = np.bincount(first[trials.target], minlength=len(names))
    here = np.unique(np.concatenate([first, second]))
    order = here[np.argsort(-targets[here], kind="stable")]
    fold = np.full(len(names), -1)
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
