"""`Calibration`: a map from scores to log10 likelihood ratios, its limits, and what it was validated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike

from synthprint.calibration.maps import METHODS, Knots, Line, Map
from synthprint.calibration.verbal import SAME_OR_DIFFERENT, times, verbal
from synthprint.errors import CalibrationError
from synthprint.reading.schemas import Number, Refused, Text, checked, construct, short, table_schema, within
from synthprint.types.weights import WEIGHTINGS

CALIBRATION_FORMAT = "synthprint-calibration-1"
MOST_KNOTS = 1 << 16  # that are read at all
STRONGEST = 300.0  # log10 LR: a float's range


@dataclass(frozen=True)
class Population:
    """What a calibration was fitted on.

    Attributes:
        targets, nontargets: numbers of trials.
        clips, sources: that took part.
        data: where they come from, in words.
        compared: what a trial is, in words.
        backend: what scored, by its name on the shelf.
        extractor: digest of what embedded the clips.
        publishers: that put the clips out; 0 where they are not on record.
    """

    targets: int
    nontargets: int
    clips: int
    sources: int
    data: str
    compared: str
    backend: str
    extractor: str
    publishers: int = 0


@dataclass(frozen=True)
class Quality:
    """How well the method did on sources, or publishers, that it was not fitted on, weighted as the fit was.

    Attributes:
        cllr, cllr_min: in bits, of the LRs with their bounds.
        eer: of the LRs.
        folds, targets, nontargets: of how many folds without a source, or publisher, in common, and tested trials.
        at_lower, at_upper: the share of tested trials, both kinds alike, whose LR was cut at a bound.
    """

    cllr: float
    cllr_min: float
    eer: float
    folds: int
    targets: int
    nontargets: int
    at_lower: float
    at_upper: float


@dataclass(frozen=True)
class Evidence:
    """How many times more probable a score is with one proposition than with the other.

    Attributes:
        log10_lr: within the bounds of its calibration.
        at_bound: -1 where it was cut at the lower bound, 1 at the upper, else 0.
    """

    log10_lr: float
    at_bound: int

    def __str__(self) -> str:
        """The log10 LR, marked where it is the most, or the least, that is supported."""
        return f"{('≤ ', '', '≥ ')[self.at_bound + 1]}{self.log10_lr:.2f}"

    def reversed(self) -> Evidence:
        """With the propositions changed over."""
        return Evidence(0.0 - self.log10_lr, -self.at_bound)


@dataclass(frozen=True)
class Calibration:
    """Turns scores into log10 likelihood ratios, within what the validation data support.

    Attributes:
        method: "logistic", "pav" or "kde".
        map: the fitted map, without bounds.
        lower, upper: bounds of the log10 LR, lower <= 0 <= upper.
        weighting: what counted alike: "sources", "trials" or "publishers".
        population, quality: what it was fitted on, and how well that went.

    Raises:
        CalibrationError: a value is out of range.
    """

    method: str
    map: Map
    lower: float
    upper: float
    weighting: str
    population: Population
    quality: Quality

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CalibrationError(f"calibration method {self.method!r} is not one of: {', '.join(METHODS)}")
        if self.weighting not in WEIGHTINGS:
            raise CalibrationError(f"weighting {self.weighting!r} is not one of: {', '.join(WEIGHTINGS)}")
        if not -STRONGEST <= self.lower <= 0 <= self.upper <= STRONGEST:
            raise CalibrationError(f"bounds {self.lower} and {self.upper} of a log10 LR must lie around 0, and finite")

    def apply(self, scores: ArrayLike) -> np.ndarray:
        """Scores of any shape -> log10 LR, float64, within the bounds.

        Raises:
            CalibrationError: a score is not a number.
        """
        return np.clip(self._raw(scores), self.lower, self.upper)

    def clipped(self, scores: ArrayLike) -> np.ndarray:
        """Of each score: -1 where its LR was cut at the lower bound, 1 at the upper, else 0.

        Raises:
            CalibrationError: a score is not a number.
        """
        raw = self._raw(scores)
        return (raw > self.upper).astype(np.int8) - (raw < self.lower).astype(np.int8)

    def evidence(self, score: float) -> Evidence:
        """What one score says.

        Raises:
            CalibrationError: it is not a number.
        """
        raw = float(self._raw(score))
        bounded = float(min(max(raw, self.lower), self.upper))
        return Evidence(bounded, (raw > self.upper) - (raw < self.lower))

    def _raw(self, scores: ArrayLike) -> np.ndarray:
        values = np.asarray(scores, np.float64)
        if np.isnan(values).any():
            raise CalibrationError(f"{int(np.isnan(values).sum())} of {values.size} scores are not numbers (NaN)")
        with np.errstate(invalid="ignore"):  # an infinite score on a flat line
            raw = self.map(values)
        return np.where(np.isnan(raw), 0.0, raw)

    def statement(self, score: float, propositions: tuple[str, str] = SAME_OR_DIFFERENT) -> str:
        """The LR of a score in a sentence: in numbers, in words, and with its limit where that was reached."""
        return self.say(self.evidence(score), propositions)

    def say(self, evidence: Evidence, propositions: tuple[str, str] = SAME_OR_DIFFERENT) -> str:
        """As `statement`, of evidence that this calibration gave."""
        log10_lr = evidence.log10_lr
        favoured, other = propositions if log10_lr >= 0 else propositions[::-1]
        size = times(abs(log10_lr))
        limit = f" (the most that {self._size} support)" if evidence.at_bound else ""
        return f"{size} times more probable with {favoured} than with {other}{limit}: {verbal(log10_lr, propositions)}"

    @property
    def _size(self) -> str:
        """How much was observed, in words."""
        if self.weighting == "publishers":
            return f"{self.population.publishers} validation publishers"
        return f"{self.population.sources} validation sources"

    @property
    def validation(self) -> str:
        """What it was fitted and validated on, in words."""
        of, what = self.population, "publishers" if self.weighting == "publishers" else "sources"
        publishers = f" from {of.publishers} publishers" if of.publishers else ""
        clips = f"{of.clips} clips of {of.sources} sources{publishers} ({of.data})"
        return f"{clips}; Cllr {self.quality.cllr:.2f} on {what} held out"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"format": CALIBRATION_FORMAT, **asdict(self), "map": self.map.to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> Calibration:
        """Check and take what `to_dict` gave. The data may be a stranger's.

        Raises:
            CalibrationError: something is missing, of the wrong kind, out of range, or of another version.
        """
        if not isinstance(values, Mapping):
            raise CalibrationError("calibration is missing, or not an object")
        try:
            return build_calibration(checked(dict(values), CALIBRATION))
        except Refused as error:
            raise CalibrationError(str(error)) from error


class _LineTable(msgspec.Struct, forbid_unknown_fields=True):
    slope: Number
    intercept: Number


class _KnotsTable(msgspec.Struct, forbid_unknown_fields=True):
    scores: Annotated[list[Number], Meta(max_length=MOST_KNOTS)]
    log10_lr: Annotated[list[Number], Meta(max_length=MOST_KNOTS)]


# The schema of what `to_dict` gives. The map comes in two forms, and is looked at when the calibration is made.
CALIBRATION = table_schema(
    Calibration,
    {"format": Text},
    map=dict[str, Any],
    population=table_schema(Population),
    quality=table_schema(Quality),
)


def build_calibration(table: Any) -> Calibration:
    """The calibration of a table that fits CALIBRATION.

    Raises:
        CalibrationError: it is of another version, or a value is out of range.
        Refused: its map is none.
    """
    if table.format != CALIBRATION_FORMAT:
        raise CalibrationError(f"not a calibration of this version: {short(table.format)}")
    with within("map"):
        mapped: Map
        if not {"slope", "intercept"}.isdisjoint(table.map):
            mapped = construct(Line, checked(table.map, _LineTable))
        else:
            knots = checked(table.map, _KnotsTable)
            mapped = Knots(tuple(knots.scores), tuple(knots.log10_lr))
    population, quality = construct(Population, table.population), construct(Quality, table.quality)
    return construct(Calibration, table, map=mapped, population=population, quality=quality)
