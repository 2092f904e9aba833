"""Fitting a gate on clips whose sources are enrolled, and on the same with their source left out; and measuring it.

*Conventions.* A known trial is a clip of an enrolled source, an unknown one a clip whose own source is left out. Either
is of a *new publisher*, from whom nothing is enrolled: what is enrolled from that publisher alone is left out; or of an
*enrolled* one, whose other systems stay. The two weigh alike, where there are both, and within these every source does.
The gate is measured on folds: it sees neither the sources nor the publishers of the clips that it is tested on. What
travels is fitted on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthprint.calibration.fitting import fit
from synthprint.errors import CalibrationError, GalleryError
from synthprint.gallery.gate import FEATURES, Gate, GateQuality
from synthprint.gallery.rules import EQUAL_ERROR, threshold_at
from synthprint.gallery.trials import evidence_trials
from synthprint.manifests.splits import position
from synthprint.metrics import weighted
from synthprint.types import IdentificationTrials

FOLDS = 5
PENALTY = 1e-2  # on the squared weights of standardised features, with trials that add up to 1
STEPS = 50  # of Newton's method
SEPARATED = 1e-9  # a step below this is none


@dataclass(frozen=True, eq=False)
class GateTrials:
    """K trials of one kind, as a gate sees them.

    Attributes:
        features: [K, 5], see `gallery.gate.FEATURES`.
        answers: the same trials with their scores; K sources among them.
        publishers: K, of the clips.
        new_publisher: [K] bool, whether nothing is enrolled from the clip's publisher.
        known_family: [K] bool, whether another source of its family is enrolled.
    """

    features: np.ndarray
    answers: IdentificationTrials
    publishers: np.ndarray
    new_publisher: np.ndarray
    known_family: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, selection: np.ndarray) -> GateTrials:
        """Those that a mask [K] selects."""
        arrays = (self.publishers, self.new_publisher, self.known_family)
        return GateTrials(self.features[selection], self.answers[selection], *(array[selection] for array in arrays))

    @property
    def weights(self) -> np.ndarray:
        """[K], 1 in all; see the conventions above."""
        weights = np.zeros(len(self))
        parts = [part for part in (self.new_publisher, ~self.new_publisher) if part.any()]
        for part in parts:
            weights[part] = self.answers[part].weights / len(parts)
        return weights

    def outputs(self, values: np.ndarray) -> IdentificationTrials:
        """The trials with what a gate gave in place of the best score."""
        return replace(self.answers, scores=values)


def joined_trials(parts: Sequence[GateTrials]) -> GateTrials:
    """The trials of all parts, one after the other."""
    answers = [part.answers for part in parts]
    whole = IdentificationTrials(
        scores=np.concatenate([trials.scores for trials in answers]),
        leads=np.concatenate([trials.leads for trials in answers]),
        correct=np.concatenate([trials.correct for trials in answers]),
        sources=np.concatenate([np.asarray(trials.sources, object) for trials in answers]),
        data=answers[0].data,
        enrolled=answers[0].enrolled,
    )
    names = ("publishers", "new_publisher", "known_family")
    features = np.concatenate([part.features for part in parts])
    return GateTrials(features, whole, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, eq=False)
class FittedGate:
    """A gate, and what gates that did not see a trial's source and publisher gave of it: [K] known, [U] unknown."""

    gate: Gate
    known_outputs: np.ndarray
    unknown_outputs: np.ndarray


def fit_gate(known_trials: GateTrials, unknown_trials: GateTrials, backend: str, extractor: str) -> FittedGate:
    """Fit a gate, cross-fit it, and calibrate what it gives.

    Raises:
        GalleryError: a kind of trials is missing, or its sources or publishers are too few for folds.
        CalibrationError: they are too few to calibrate on.
    """
    if not len(known_trials) or not len(unknown_trials):
        raise GalleryError("a gate needs clips of enrolled sources, and clips whose source is left out")
    crossed = _cross_fitted(known_trials, unknown_trials)
    trials = [side.outputs(values) for side, values in zip((known_trials, unknown_trials), crossed, strict=True)]
    threshold, false_rejection, false_acceptance = threshold_at(trials[0], trials[1], EQUAL_ERROR)
    shifted = [replace(side, scores=side.scores - threshold) for side in trials]
    auroc, equal_error = over_thresholds(shifted[0], shifted[1])
    means, scales, weights, intercept = _fitted(known_trials, unknown_trials)
    gate = Gate(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights.tolist()),
        intercept=intercept - threshold,
        calibration=fit(evidence_trials(shifted[0], shifted[1], backend, extractor)),
        quality=GateQuality(
            auroc, equal_error, false_rejection, false_acceptance,
            len(trials[0]), trials[0].count.sources, len(trials[1]), trials[1].count.sources,
        ),
    )  # fmt: skip
    return FittedGate(gate, shifted[0].scores, shifted[1].scores)


def over_thresholds(known_trials: IdentificationTrials, unknown_trials: IdentificationTrials) -> tuple[float, float]:
    """AUROC and equal error of the scores, every source alike."""
    sides = (known_trials, unknown_trials)
    order = weighted.Ordered(
        np.concatenate([side.scores for side in sides]), np.repeat([True, False], [len(side) for side in sides])
    )
    counts = order.sides(np.concatenate([side.weights for side in sides]))
    return weighted.auroc(*counts), weighted.eer(*counts)


def rejection_figures(
    known_trials: GateTrials, unknown_trials: GateTrials, scores: tuple[np.ndarray, np.ndarray], threshold: float
) -> dict[str, Any]:
    """How well known and unknown clips are told apart, by which known and which unknown ones.

    Args:
        scores: of the known trials and of the unknown ones: what a gate gave, or the best scores.
        threshold: from which on a clip is known.

    Returns:
        "publisher of the clips / family of the unknown ones" -> rates in 0 ... 1 and sizes; what has no clips is left
        out.
    """
    sides = known_trials.outputs(scores[0]), unknown_trials.outputs(scores[1])
    figures: dict[str, Any] = {}
    for publisher in ("new publisher", "enrolled publisher"):
        of_known, of_unknown = (
            side.new_publisher == (publisher == "new publisher") for side in (known_trials, unknown_trials)
        )
        families = {"all": of_unknown, "known family": of_unknown & unknown_trials.known_family,
                    "new family": of_unknown & ~unknown_trials.known_family}  # fmt: skip
        for family, mask in families.items():
            if not of_known.any() or not mask.any():
                continue
            inside, outside = sides[0][of_known], sides[1][mask]
            auroc, equal_error = over_thresholds(inside, outside)
            figures[f"{publisher} / {family}"] = {
                "auroc": auroc, "equal_error": equal_error,
                "accuracy": float(inside.weights[inside.correct].sum()),
                "false_rejection": float(inside.weights[inside.scores < threshold].sum()),
                "false_acceptance": float(outside.weights[outside.scores >= threshold].sum()),
                "known_clips": len(inside), "known_sources": inside.count.sources,
                "unknown_clips": len(outside), "unknown_sources": outside.count.sources,
            }  # fmt: skip
    return figures


def _cross_fitted(known: GateTrials, unknown: GateTrials) -> tuple[np.ndarray, np.ndarray]:
    """What gates give that saw neither the source nor the publisher of a trial."""
    sides = (known, unknown)
    values = [np.full(len(side), np.nan) for side in sides]
    units = [_units(side) for side in sides]
    names = sorted(set(np.concatenate(units).tolist()), key=position)
    fold = {name: place % min(FOLDS, len(names)) for place, name in enumerate(names)}
    folds = [np.array([fold[name] for name in side.tolist()]) for side in units]
    for number in sorted(set(fold.values())):
        tested = [side == number for side in folds]
        held = [np.asarray(side.answers.sources)[part] for side, part in zip(sides, tested, strict=True)]
        sources = np.concatenate(held).tolist()
        rest = [
            side[~part & ~np.isin(np.asarray(side.answers.sources).astype(str), sources)]
            for side, part in zip(sides, tested, strict=True)
        ]
        if not len(rest[0]) or not len(rest[1]):
            raise GalleryError("a gate needs clips of more sources and publishers, so that it can be tested on others")
        means, scales, weights, intercept = _fitted(rest[0], rest[1])
        for side, part, outputs in zip(sides, tested, values, strict=True):
            outputs[part] = ((side.features[part] - means) / scales) @ weights + intercept
    return values[0], values[1]


def _units(trials: GateTrials) -> np.ndarray:
    """What is dealt into folds: publishers, or sources where they are not on record."""
    whole = all(trials.publishers.tolist())
    return np.asarray(trials.publishers if whole else trials.answers.sources, dtype=object)


def _fitted(known: GateTrials, unknown: GateTrials) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Means and scales of the features, weights and intercept: a penalised logistic regression, by Newton's method."""
    features = np.concatenate([known.features, unknown.features])
    each = np.concatenate([known.weights, unknown.weights]) / 2
    means = each @ features
    scales = np.sqrt(each @ (features - means) ** 2)
    scales[scales < 1e-9] = 1.0  # a feature that never changes says nothing
    inputs = np.column_stack([(features - means) / scales, np.ones(len(features))])
    labels = np.repeat([1.0, 0.0], [len(known), len(unknown)])
    penalty = PENALTY * np.diag([1.0] * len(FEATURES) + [0.0])
    line = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        p = 0.5 + 0.5 * np.tanh(inputs @ line / 2)
        gradient = inputs.T @ (each * (p - labels)) + penalty @ line
        curvature = (inputs * (each * p * (1 - p))[:, None]).T @ inputs + penalty + 1e-9 * np.eye(len(line))
        step = np.linalg.solve(curvature, gradient)
        line = line - step * min(1.0, 5 / max(np.abs(step).max(), SEPARATED))
        if np.abs(step).max() < SEPARATED:
            break
    if not np.isfinite(line).all():
        raise CalibrationError("a gate could not be fitted: its features are not finite")
    return means, scales, line[:-1], float(line[-1])
