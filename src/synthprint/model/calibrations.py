"""Likelihood ratios of a gallery's scores, and of two sets of clips: which calibration holds for what was compared.

An LR holds for trials made as those that it was fitted on: a source enrolled with ten clips scores higher than one
enrolled with one. So there is a calibration for each of some numbers of clips; what was enrolled with more than the
last of them is read with that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from synthprint import files
from synthprint.backends.centroid import Centroid
from synthprint.calibration.calibration import CALIBRATION, Calibration, build_calibration
from synthprint.calibration.fitting import fit
from synthprint.calibration.trials import clip_against_source, clip_pairs, set_against_set
from synthprint.errors import CalibrationError, CheckpointError
from synthprint.extractor.checkpoint import measured_for
from synthprint.reading.schemas import Count, ExtractorName, Refused, Text, checked, short, within
from synthprint.shelves import Backend
from synthprint.types import Labelled

NUMBERS = (1, 2, 3, 5, 10)  # of clips, for which there is a calibration
MOST_SOURCES, MOST_CLIPS = 200, 24  # that are fitted on: all against all of them is a matrix
COMPARISONS = "calibrations.json"  # in a checkpoint's folder
FORMAT = "synthprint-comparisons-1"
_COMPARISON: Any = msgspec.defstruct("Comparison", [("clips", tuple[Count, Count])], bases=(CALIBRATION,), kw_only=True)


@dataclass(frozen=True)
class SourceCalibrations:
    """What the scores of a gallery's backend mean.

    Attributes:
        by_clips: number of enrolled clips -> this source made the clip, against another source.
        enrolled: the best score -> one of the enrolled sources made the clip, against none of them; "known" in JSON.
    """

    by_clips: Mapping[int, Calibration] = field(default_factory=dict)
    enrolled: Calibration | None = None

    def for_clips(self, clips: int) -> Calibration | None:
        """For a source enrolled with so many clips; None where nothing was fitted."""
        return self.by_clips.get(max((n for n in self.by_clips if n <= clips), default=0))

    @property
    def population(self) -> str | None:
        """What was fitted on, in words; None where nothing was."""
        first = next(iter(self.by_clips.values()), self.enrolled)
        return first.validation if first else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        by_clips = {str(n): calibration.to_dict() for n, calibration in self.by_clips.items()}
        return {"by_clips": by_clips, "known": self.enrolled.to_dict() if self.enrolled else None}

    @classmethod
    def from_dict(cls, table: Any) -> SourceCalibrations:
        """Check and take what `to_dict` gave.

        Raises:
            CalibrationError: something is missing or out of range.
        """
        try:
            return build_source_calibrations(checked(table, SOURCES))
        except Refused as error:
            raise CalibrationError(f"not the calibrations of a gallery ({error})") from error


class _Sources(msgspec.Struct, forbid_unknown_fields=True):
    by_clips: dict[Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,8}\Z")], CALIBRATION]  # type: ignore[valid-type]
    known: CALIBRATION | None  # type: ignore[valid-type]


SOURCES = _Sources  # the schema of what `SourceCalibrations.to_dict` gives


def build_source_calibrations(table: _Sources) -> SourceCalibrations:
    """The calibrations of a table that fits SOURCES.

    Raises:
        Refused: a value is out of range.
    """
    by_clips = {}
    for n, one in table.by_clips.items():
        with within("by_clips", n):
            by_clips[int(n)] = build_calibration(one)
    with within("known"):
        return SourceCalibrations(by_clips, build_calibration(table.known) if table.known else None)


def fit_by_clips(development: Labelled, backend: Backend, name: str) -> dict[int, Calibration]:
    """Number of enrolled clips -> calibration of a clip against a source, as far as the sources have clips enough.

    Args:
        development: clips to fit on.
        backend: fitted; `name` is its own on the shelf.

    Raises:
        CalibrationError: there are too few sources or clips for a single one.
    """
    clips = _largest_sources(development)
    fitted: dict[int, Calibration] = {}
    for n in NUMBERS:
        try:
            fitted[n] = fit(clip_against_source(clips, n, backend, name))
        except CalibrationError:
            if not fitted:
                raise
            break
    return fitted


def _largest_sources(clips: Labelled) -> Labelled:
    """At most MOST_CLIPS clips of each of at most MOST_SOURCES sources, those with the most clips."""
    counts = np.bincount(clips.owners, minlength=len(clips.names))
    sources = np.argsort(-counts, kind="stable")[:MOST_SOURCES]
    places = [np.flatnonzero(clips.owners == source)[:MOST_CLIPS] for source in sources]
    return clips[np.sort(np.concatenate([*places, np.zeros(0, np.int64)])).astype(np.int64)]


@dataclass(frozen=True)
class ComparisonCalibrations:
    """What the cosine of two sets of clips means, each set as its mean direction.

    Attributes:
        extractor: digest of what embedded the clips.
        by_clips: (fewer, more) clips in the two sets -> the same source made both, against two different ones.
    """

    extractor: str
    by_clips: Mapping[tuple[int, int], Calibration]

    def for_sets(self, a: int, b: int) -> Calibration | None:
        """For sets of `a` and `b` clips; None where nothing was fitted."""
        fewer, more = sorted((a, b))
        fits = [sizes for sizes in self.by_clips if sizes[0] <= fewer and sizes[1] <= more]
        return self.by_clips[max(fits)] if fits else None

    def save(self, folder: Path) -> None:
        """Write `calibrations.json` into a checkpoint's folder."""
        fitted = [{"clips": list(sizes), **one.to_dict()} for sizes, one in self.by_clips.items()]
        table = {"format": FORMAT, "extractor": self.extractor, "calibrations": fitted}
        files.write_json(folder / COMPARISONS, table)

    @classmethod
    def load(cls, folder: Path, extractor: str) -> ComparisonCalibrations | None:
        """Those of the checkpoint in `folder` with this digest; None where it has none of its own.

        Raises:
            CheckpointError: the file is damaged or of another version.
        """
        remedy = "take it away, or calibrate again"
        return measured_for(folder, COMPARISONS, extractor, _Comparisons, cls._of, remedy, command="model calibrate")

    @classmethod
    def _of(cls, table: _Comparisons) -> ComparisonCalibrations:
        if table.format != FORMAT:
            raise CheckpointError(f"is of format {short(table.format)}, not {FORMAT!r}")
        by_clips = {}
        for place, one in enumerate(table.calibrations):
            with within("calibrations", place):
                by_clips[one.clips] = build_calibration(one)
        return cls(table.extractor, by_clips)


class _Comparisons(msgspec.Struct, forbid_unknown_fields=True):
    format: Text
    extractor: ExtractorName
    calibrations: list[_COMPARISON]


def fit_comparisons(development: Labelled) -> ComparisonCalibrations:
    """Calibrations of `NUMBERS` of clips against each other, as far as the sources have clips enough.

    Raises:
        CalibrationError: there are too few sources or clips to calibrate a clip against a clip.
    """
    return ComparisonCalibrations(development.embeddings.extractor, dict(_fit_comparisons(development)))


def _fit_comparisons(development: Labelled) -> Iterator[tuple[tuple[int, int], Calibration]]:
    yield (1, 1), fit(clip_pairs(development))
    clips = _largest_sources(development)
    for sizes in [pair for pair in combinations_with_replacement(NUMBERS, 2) if pair != (1, 1)]:
        try:
            yield sizes, fit(set_against_set(clips, sizes, Centroid(), "centroid"))
        except CalibrationError:  # too few clips for sets so large
            continue
