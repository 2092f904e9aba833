"""Figures of pairs: do these two share a source? With intervals, and sliced by what the manifest says of the clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint.calibration.fitting import CrossFitted, cross_fitted
from synthprint.calibration.maps import LN10
from synthprint.errors import CalibrationError
from synthprint.metrics import weighted
from synthprint.scoring.all_pairs import QUADRANTS
from synthprint.types import ScoredTrials, Utterance
from synthprint.validation.bootstrap import REPLICATES, Figure, binned, intervals

TPR = 0.95
SCALES = ("raw", "log10", "ln")  # what scores are: anything, or likelihood ratios
DURATIONS_S = (2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Settings:
    """How to validate.

    Attributes:
        scale: "raw", or that the scores are LRs already: "log10" or "ln".
        method: of the calibration that raw scores are cross-fitted with.
        p_target: of minDCF.
        replicates, seed: of the bootstrap.
    """

    scale: str = "raw"
    method: str = "logistic"
    p_target: float = 0.01
    replicates: int = REPLICATES
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Verification:
    """What was found of a set of pairs.

    Attributes:
        figures: by name; see `docs/conventions.md`.
        targets, nontargets: numbers of pairs.
        sources: that take part; None where they are on nobody's record.
        lr_targets, lr_nontargets: of the pairs that have an LR.
        log10_lr, lr_target, lr_score: [L] the LRs, and the marks and scores of their pairs. Empty where there is none.
        notes: what is missing, and why, in words.
    """

    figures: Mapping[str, Figure]
    targets: int
    nontargets: int
    sources: int | None
    lr_targets: int = 0
    lr_nontargets: int = 0
    log10_lr: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lr_target: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    lr_score: np.ndarray = field(default_factory=lambda: np.zeros(0))
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the trials."""
        return {
            "targets": self.targets,
            "nontargets": self.nontargets,
            "sources": self.sources,
            "lr_targets": self.lr_targets,
            "lr_nontargets": self.lr_nontargets,
            **{name: figure.to_dict() for name, figure in self.figures.items()},
        }


@dataclass(frozen=True, eq=False)
class Ratios:
    """log10 LRs of some of the trials: `index` [L] says which, `log10_lr` [L] what."""

    index: np.ndarray
    log10_lr: np.ndarray


def likelihood_ratios(trials: ScoredTrials, settings: Settings) -> tuple[Ratios | None, tuple[str, ...]]:
    """The LRs of the trials and, in words, where they come from or why there are none."""
    if settings.scale != "raw":
        log10_lr = trials.scores if settings.scale == "log10" else trials.scores / LN10
        return Ratios(np.arange(len(log10_lr)), log10_lr), ("The scores were taken as the likelihood ratios they are.",)
    if trials.sources is None:
        return None, (
            "Raw scores, and no sources: nothing can be calibrated on other sources than it is tested on, so there are "
            "no likelihood ratios. A manifest with the clips' sources allows it.",
        )
    try:
        crossed: CrossFitted = cross_fitted(trials, settings.method, "trials")
    except CalibrationError as error:
        return None, (f"No likelihood ratios: {error}.",)
    return Ratios(crossed.index, crossed.log10_lr), (
        f"The likelihood ratios are cross-fitted ({settings.method}): {crossed.folds} source-disjoint folds, "
        f"{int(crossed.trials.target.sum()):,} target and {int((~crossed.trials.target).sum()):,} nontarget pairs "
        "with both sources in the fold that was left out.",
    )


def measure_verification(
    trials: ScoredTrials, ratios: Ratios | None, settings: Settings, notes: tuple[str, ...] = ()
) -> Verification:
    """All figures of a set of pairs, every pair counting alike, with intervals where the sources are on record.

    Cllr and Cllr_min are of the LRs where there are any, so that the difference is what calibration costs; without LRs
    Cllr_min is of the scores.
    """
    target = trials.target
    values = _values(trials.target_scores, trials.nontarget_scores, settings.p_target)
    complete = ratios if ratios is not None and 0 < target[ratios.index].sum() < len(ratios.index) else None
    if complete is not None:
        sides = [LN10 * complete.log10_lr[target[complete.index] == kind] for kind in (True, False)]
        values |= {"cllr": metrics.cllr(*sides), "cllr_min": metrics.cllr_min(*sides)}
    if trials.sources is None:
        figures = {name: Figure(value) for name, value in values.items()}
    else:
        figures = _with_intervals(trials, complete, values, settings)
    ratios = ratios or Ratios(np.zeros(0, int), np.zeros(0))
    return Verification(
        figures=figures,
        targets=int(target.sum()),
        nontargets=int((~target).sum()),
        sources=None if trials.sources is None else trials.n_sources,
        lr_targets=int(target[ratios.index].sum()),
        lr_nontargets=int((~target[ratios.index]).sum()),
        log10_lr=ratios.log10_lr,
        lr_target=target[ratios.index],
        lr_score=trials.scores[ratios.index],
        notes=notes,
    )


def _with_intervals(
    trials: ScoredTrials, ratios: Ratios | None, values: Mapping[str, float | None], settings: Settings
) -> dict[str, Figure]:
    """Figures of trials whose sources are on record, and of their LRs, where there are any of both kinds."""
    owners, n_sources = trials.owners, len(trials.names)
    score_bins = binned(trials.scores, trials.target.astype(int), *owners, n_sources)
    lr_bins = None
    if ratios is not None:
        marks, (first, second) = trials.target[ratios.index], (side[ratios.index] for side in owners)
        bits = np.logaddexp(0, np.where(marks, -1, 1) * LN10 * ratios.log10_lr) / np.log(2)
        lr_bins = binned(ratios.log10_lr, marks.astype(int), first, second, n_sources, costs=bits)

    def replicate(times: np.ndarray) -> dict[str, float] | None:
        nontargets, targets = score_bins.counts(times)
        if not targets.any() or not nontargets.any():
            return None
        drawn = _weighted_values(targets, nontargets, settings.p_target)
        if lr_bins is not None:
            del drawn["cllr_min"]
            nontargets, targets = lr_bins.counts(times)
            if targets.any() and nontargets.any():
                drawn |= {"cllr": lr_bins.cost(times), "cllr_min": weighted.cllr_min(targets, nontargets)}
        return drawn

    present = np.unique(np.concatenate(owners))
    return intervals(replicate, values, present, n_sources, settings.replicates, settings.seed)


def _values(target: np.ndarray, nontarget: np.ndarray, p_target: float) -> dict[str, float | None]:
    return {
        "eer": metrics.eer(target, nontarget),
        "min_dcf": metrics.min_dcf(target, nontarget, p_target),
        "auroc": metrics.auroc(target, nontarget),
        "fpr95_same_positive": metrics.fpr_at_tpr(target, nontarget, TPR),
        "fpr95_different_positive": metrics.fpr_at_tpr(-nontarget, -target, TPR),
        "cllr": None,
        "cllr_min": metrics.cllr_min(target, nontarget),
    }


def _weighted_values(targets: np.ndarray, nontargets: np.ndarray, p_target: float) -> dict[str, float]:
    return {
        "eer": weighted.eer(targets, nontargets),
        "min_dcf": weighted.min_dcf(targets, nontargets, p_target),
        "auroc": weighted.auroc(targets, nontargets),
        "fpr95_same_positive": weighted.fpr_at_tpr(targets, nontargets, TPR),
        "fpr95_different_positive": weighted.fpr_at_tpr(nontargets[::-1], targets[::-1], TPR),
        "cllr_min": weighted.cllr_min(targets, nontargets),
    }


def _quadrant(u: Utterance) -> str | None:
    return None if u.quadrant is None else QUADRANTS[u.quadrant]


def _duration(u: Utterance) -> str | None:
    if u.duration_s is None:
        return None
    edges = [0.0, *DURATIONS_S, np.inf]
    low, high = next((low, high) for low, high in pairwise(edges) if u.duration_s < high)
    return f"{low:g} s and longer" if np.isinf(high) else f"{low:g} to {high:g} s"


def _codec(u: Utterance) -> str | None:
    return u.extra.get("codec") or u.extra.get("native_format") or None


# What pairs are sliced by: the name of the slices, and which one a clip is in.
SLICES: Mapping[str, Callable[[Utterance], str | None]] = MappingProxyType(
    {
        "quadrant": _quadrant,
        "language": lambda u: u.language,
        "family": lambda u: u.family,
        "duration": _duration,
        "codec": _codec,
    }
)


def sliced(trials: ScoredTrials, ratios: Ratios | None, settings: Settings) -> dict[str, dict[str, Verification]]:
    """The figures of the pairs with *both* clips in a slice; slices that lack a kind of pair are left out."""
    if not trials.utterances:
        return {}
    slices: dict[str, dict[str, Verification]] = {}
    for what, slice_name in SLICES.items():
        names, place = _slices([slice_name(u) for u in trials.utterances])
        shared = np.where(place[trials.first] == place[trials.second], place[trials.first], -1)
        figures = {name: _slice(trials, ratios, settings, shared == number) for number, name in enumerate(names)}
        defined = {name: verification for name, verification in figures.items() if verification is not None}
        if len(defined) > 1 or (len(names) > 1 and defined):
            slices[what] = defined
    return slices


def _slices(values: Sequence[str | None]) -> tuple[list[str], np.ndarray]:
    names = sorted({value for value in values if value})
    number = {name: i for i, name in enumerate(names)}
    return names, np.array([number.get(value or "", -1) for value in values])


def _slice(trials: ScoredTrials, ratios: Ratios | None, settings: Settings, inside: np.ndarray) -> Verification | None:
    if not 0 < trials.target[inside].sum() < inside.sum():
        return None
    if ratios is not None:
        part = inside[ratios.index]
        ratios = Ratios((np.cumsum(inside) - 1)[ratios.index[part]], ratios.log10_lr[part])
    return measure_verification(trials[inside], ratios, settings)
