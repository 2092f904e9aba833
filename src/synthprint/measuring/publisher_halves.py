"""How good LRs are on publishers that neither training nor calibration met.

Where a manifest has a test split by publisher, the LRs of the shipped calibrations are measured on that. Where it has
none, the dev publishers are dealt into two halves by a digest of their names, and the trials of each half are read by
maps that were fitted on the other. What is shipped is fitted on all of them. Nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from synthprint.calibration.calibration import Calibration
from synthprint.calibration.fitting import CrossFitted, against_own_group, cross_fitted
from synthprint.errors import CalibrationError
from synthprint.manifests.splits import position
from synthprint.types import ScoredTrials

ANY_OTHER, SAME_PUBLISHER, OVERSTATED = "any_other", "same_publisher", "any_other_within_groups"
OTHER_HALF = "the other half of the dev publishers"
DEV_PUBLISHERS = "the dev publishers"


def publisher_halves(publishers: Iterable[str]) -> dict[str, int]:
    """The half, 0 or 1, of each publisher: in the order of a digest of their names, in turn."""
    return {name: place % 2 for place, name in enumerate(sorted(set(publishers), key=position))}


def halved(trials: ScoredTrials, method: str = "logistic") -> CrossFitted:
    """The LRs that trials within one half of the publishers get from a map fitted within the other.

    Also for the trials of a detector: a clip, whose publisher is on both sides.

    Raises:
        CalibrationError: publishers are not on record, or a half has no trial of a kind.
    """
    names, _ = trials.units("publishers")
    halves = publisher_halves(names)
    return cross_fitted(trials, method, "publishers", np.array([halves[name] for name in names]))


def crossed_figures(trials: ScoredTrials) -> dict[str, dict[str, Any]]:
    """The figures of LRs on the half of the publishers that their map was not fitted on.

    Returns:
        Against any other system, and against one of the same publisher and format, its figures; and, of the first map,
        those of the second's trials: how far it overstates them. What has too few publishers is left out.
    """
    figures: dict[str, dict[str, Any]] = {}
    for name, part in ((ANY_OTHER, trials), (SAME_PUBLISHER, against_own_group(trials))):
        try:
            crossed = halved(part)
            figures[name] = lr_figures(crossed.trials, crossed.log10_lr, crossed.clipped)
            if name == ANY_OTHER:
                own = crossed.trials.target | crossed.trials.same_group
                figures[OVERSTATED] = lr_figures(crossed.trials[own], crossed.log10_lr[own], crossed.clipped[own])
        except CalibrationError:
            continue
    return figures


def tested_figures(
    trials: ScoredTrials, any_other: Calibration | None, same_publisher: Calibration | None
) -> dict[str, dict[str, Any]]:
    """The same of calibrations, on the trials of publishers that they were not fitted on."""
    own = against_own_group(trials)
    read = ((ANY_OTHER, trials, any_other), (SAME_PUBLISHER, own, same_publisher), (OVERSTATED, own, any_other))
    figures = {}
    for name, part, calibration in read:
        if calibration is not None and part.target.any() and not part.target.all():
            figures[name] = lr_figures(part, calibration.apply(part.scores), calibration.clipped(part.scores))
    return figures


def lr_figures(trials: ScoredTrials, log10_lr: np.ndarray, clipped: np.ndarray) -> dict[str, Any]:
    """Cllr and Cllr_min in bits, EER, and how often an LR misleads, in 0 ... 1; publishers count alike.

    Raises:
        CalibrationError: a kind of trials is missing.
    """
    if not 0 < trials.target.sum() < len(trials):
        raise CalibrationError(f"{trials.compared}: there are no trials of one kind")
    weighting = "publishers" if trials.publishers else "sources"
    quality = CrossFitted(trials, np.arange(len(trials)), log10_lr, clipped, 0).quality(weighting)
    weights = trials.weights(weighting).each
    return {
        "cllr": quality.cllr, "cllr_min": quality.cllr_min, "eer": quality.eer,
        "misleading_targets": float(weights[trials.target & (log10_lr < 0)].sum()),
        "misleading_nontargets": float(weights[~trials.target & (log10_lr > 0)].sum()),
        "nontargets_above_10": float(weights[~trials.target & (log10_lr > 1)].sum()),
        "targets": quality.targets, "nontargets": quality.nontargets,
        "sources": trials.n_sources, "publishers": trials.n_publishers,
    }  # fmt: skip


def by_alternative(figures: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Alternative -> what was compared -> figures, of figures by what was compared first."""
    table: dict[str, dict[str, Any]] = {}
    for compared, alternatives in figures.items():
        for name, part in alternatives.items():
            table.setdefault(name, {})[compared] = part
    return table
