"""The gate: is the source of a clip enrolled at all? A small model over what the scores of all enrolled sources say.

The best score alone rises with how well a clip fits *any* system. So the gate also hears how far the best is ahead, and
where the clip stands among sources that are not in question (score normalisation against a cohort: Auckenthaler, Carey
and Lloyd-Thomas, "Score normalization for text-independent speaker verification systems", 2000; its adaptive form takes
the closest). The cohort is of the enrolled sources themselves, so that nothing else has to travel with a gallery.

    best        the best score
    gap         the best minus the second
    ahead       the best minus the mean of the TOP best
    cohort      the best, in deviations of the COHORT sources after the TOP best from their mean
    publishers  the logarithm of how many publishers the best source is enrolled from

The gate is a logistic regression of these, standardised. It is fitted and measured in `measuring.gate_fitting`; here it
is applied, with numpy alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from synthprint.calibration.calibration import CALIBRATION, Calibration, Evidence, build_calibration
from synthprint.errors import GalleryError
from synthprint.reading.schemas import Count, Number, Share, construct, table_schema, within

FEATURES = ("best", "gap", "ahead", "cohort", "publishers")
TOP, COHORT = 10, 100
LEAST_SOURCES = 3 * TOP  # enrolled, for the cohort to be one
LEAST_DEVIATION = 1e-6  # of the cohort's scores
LARGEST = 1e9  # of a parameter


@dataclass(frozen=True)
class GateQuality:
    """What a gate did with clips of sources and publishers that it was not fitted on; means over sources.

    Attributes:
        auroc, equal_error: over all thresholds.
        false_rejection, false_acceptance: where it says known from 0 on.
        known_clips, known_sources, unknown_clips, unknown_sources: the trials.
    """

    auroc: float
    equal_error: float
    false_rejection: float
    false_acceptance: float
    known_clips: int
    known_sources: int
    unknown_clips: int
    unknown_sources: int


@dataclass(frozen=True)
class Gate:
    """Says from all scores of a clip whether its source is enrolled.

    Attributes:
        means, scales, weights: of each of FEATURES.
        intercept: so that the source counts as enrolled from 0 on.
        calibration: of what the gate gives: one of the enrolled sources made the clip, against none of them.
        quality: how good it is.

    Raises:
        GalleryError: a parameter is missing, or out of range.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    calibration: Calibration
    quality: GateQuality

    def __post_init__(self) -> None:
        parameters = (self.means, self.scales, self.weights)
        if any(len(values) != len(FEATURES) for values in parameters):
            raise GalleryError(f"a gate needs a mean, a scale and a weight for each of: {', '.join(FEATURES)}")
        numbers = np.array([*self.means, *self.scales, *self.weights, self.intercept], np.float64)
        if not (np.abs(numbers) <= LARGEST).all() or min(self.scales) <= 0:
            raise GalleryError("a gate's parameters must be finite numbers, and its scales above 0")

    def serves(self, sources: int) -> bool:
        """Whether so many enrolled sources are enough for it."""
        return sources >= LEAST_SOURCES

    def outputs(self, scores: np.ndarray, publishers: np.ndarray) -> np.ndarray:
        """[T] what the gate gives for scores [S, T], of sources from so many publishers [S]; from 0 on they are known.

        Raises:
            GalleryError: there are too few sources.
        """
        return self.read(gate_features(scores, publishers))

    def read(self, features: np.ndarray) -> np.ndarray:
        """[T] the same of features [T, 5], see `gate_features`."""
        inputs = (features - np.array(self.means)) / np.array(self.scales)
        # Summed in one order, so that a clip's output does not depend on those beside it.
        return np.asarray((inputs * np.array(self.weights)).sum(axis=1) + self.intercept)

    def unknown_lr(self, output: float) -> Evidence:
        """None of the enrolled sources made the clip, against one of them."""
        return self.calibration.evidence(output).reversed()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "calibration": self.calibration.to_dict()}


_Parameters = Annotated[list[Number], Meta(min_length=len(FEATURES), max_length=len(FEATURES))]
_QUALITY: Any = table_schema(
    GateQuality, auroc=Share, equal_error=Share, false_rejection=Share, false_acceptance=Share,
    known_clips=Count, known_sources=Count, unknown_clips=Count, unknown_sources=Count,
)  # fmt: skip


class _Gate(msgspec.Struct, forbid_unknown_fields=True):
    means: _Parameters
    scales: _Parameters
    weights: _Parameters
    intercept: Number
    calibration: CALIBRATION  # type: ignore[valid-type]
    quality: _QUALITY


GATE = _Gate  # the schema of what `Gate.to_dict` gives


def build_gate(table: _Gate) -> Gate:
    """The gate of a table that fits GATE.

    Raises:
        GalleryError, CalibrationError: a value is out of range.
        Refused: its calibration's map is none.
    """
    with within("calibration"):
        calibration = build_calibration(table.calibration)
    return Gate(
        tuple(table.means), tuple(table.scales), tuple(table.weights), table.intercept, calibration,
        construct(GateQuality, table.quality),
    )  # fmt: skip


def gate_features(scores: np.ndarray, publishers: np.ndarray) -> np.ndarray:
    """[T, 5] the FEATURES of clips with scores [S, T]; a source that scores -inf is not enrolled.

    Args:
        publishers: [S] from how many publishers each source is enrolled; 0 where that is not on record.

    Raises:
        GalleryError: there are too few sources.
    """
    scores = np.asarray(scores, np.float64)
    if len(scores) < LEAST_SOURCES:
        raise GalleryError(f"a gate needs {LEAST_SOURCES} enrolled sources or more, not {len(scores)}")
    last = min(TOP + COHORT, int(np.isfinite(scores).sum(axis=0).min(initial=len(scores))))
    if last <= TOP:
        raise GalleryError(f"a gate needs more than {TOP} enrolled sources beside those that are left out")
    ranked = np.ascontiguousarray(-np.sort(-scores, axis=0)[:last].T)  # [T, last]: rows are added up alike
    best, cohort = ranked[:, 0], ranked[:, TOP:]
    deviation = np.maximum(cohort.std(axis=1), LEAST_DEVIATION)
    several = np.log(np.maximum(publishers[scores.argmax(axis=0)], 1))
    return np.stack(
        [
            best,
            best - ranked[:, 1],
            best - ranked[:, :TOP].mean(axis=1),
            (best - cohort.mean(axis=1)) / deviation,
            several,
        ],
        axis=1,
    )
