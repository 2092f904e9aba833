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
from synthprint.calibration.fitting import fit_alternatives
from synthprint.calibration.relations import Relations, without_people
from synthprint.calibration.trials import MOST, clip_against_source, clip_pairs, set_against_set
from synthprint.errors import CalibrationError, CheckpointError
from synthprint.extractor.checkpoint import measured_for
from synthprint.reading.schemas import Count, ExtractorName, Refused, Text, checked, short, within
from synthprint.shelves import Backend
from synthprint.types import Labelled

NUMBERS = (1, 2, 3, 5, 10)  # of clips, for which there is a calibration
MOST_SOURCES, MOST_CLIPS = 200, 24  # that are fitted on: all against all of them is a matrix
MOST_OF_PUBLISHERS = 60_000  # trials of each kind, where publishers are at hand
COMPARISONS = "calibrations.json"  # in a checkpoint's folder
FORMAT = "synthprint-comparisons-1"
_COMPARISON: Any = msgspec.defstruct("Comparison", [("clips", tuple[Count, Count])], bases=(CALIBRATION,), kw_only=True)


@dataclass(frozen=True)
class SourceCalibrations:
    """What the scores of a gallery's backend mean.

    Attributes:
        by_clips: number of enrolled clips -> this source made the clip, against any other source.
        enrolled: the best score -> one of the enrolled sources made the clip, against none of them; "known" in JSON.
        same_publisher: as `by_clips`, against another source of the same publisher and format.
    """

    by_clips: Mapping[int, Calibration] = field(default_factory=dict)
    enrolled: Calibration | None = None
    same_publisher: Mapping[int, Calibration] = field(default_factory=dict)

    def for_clips(self, clips: int) -> Calibration | None:
        """For a source enrolled with so many clips, against any other; None where nothing was fitted."""
        return self.by_clips.get(max((n for n in self.by_clips if n <= clips), default=0))

    def same_publisher_for_clips(self, clips: int) -> Calibration | None:
        """The same, against another source of the same publisher and format."""
        return self.same_publisher.get(max((n for n in self.same_publisher if n <= clips), default=0))

    @property
    def population(self) -> str | None:
        """What was fitted on, in words; None where nothing was."""
        first = next(iter(self.by_clips.values()), self.enrolled)
        return first.validation if first else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        by_clips, same_publisher = (
            {str(n): calibration.to_dict() for n, calibration in fitted.items()}
            for fitted in (self.by_clips, self.same_publisher)
        )
        table = {"by_clips": by_clips, "known": self.enrolled.to_dict() if self.enrolled else None}
        return table | ({"same_publisher": same_publisher} if same_publisher else {})

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


_CLIPS: Any = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,8}\Z")]


class _Sources(msgspec.Struct, forbid_unknown_fields=True):
    by_clips: dict[_CLIPS, CALIBRATION]  # type: ignore[valid-type]
    known: CALIBRATION | None  # type: ignore[valid-type]
    same_publisher: dict[_CLIPS, CALIBRATION] = {}  # type: ignore[valid-type]


SOURCES = _Sources  # the schema of what `SourceCalibrations.to_dict` gives


def build_source_calibrations(table: _Sources) -> SourceCalibrations:
    """The calibrations of a table that fits SOURCES.

    Raises:
        Refused: a value is out of range.
    """
    tables: dict[str, dict[int, Calibration]] = {"by_clips": {}, "same_publisher": {}}
    for name, by_clips in tables.items():
        for n, one in getattr(table, name).items():
            with within(name, n):
                by_clips[int(n)] = build_calibration(one)
    with within("known"):
        enrolled = build_calibration(table.known) if table.known else None
    return SourceCalibrations(tables["by_clips"], enrolled, tables["same_publisher"])


def fit_by_clips(
    development: Labelled, backend: Backend, name: str, references: Labelled | None = None
) -> tuple[dict[int, Calibration], dict[int, Calibration]]:
    """Number of enrolled clips -> calibration of a clip against a source, as far as the sources have clips enough.

    Args:
        development: clips to fit on.
        backend: fitted; `name` is its own on the shelf.
        references: clips of other publishers that sources are enrolled with too.

    Returns:
        Against any other source, and against another of the same publisher and format; see `fitting.fit_alternatives`.

    Raises:
        CalibrationError: there are too few sources or clips for a single one.
    """
    clips = largest_sources(without_people(development))
    references = references and without_people(references)
    fitted: dict[int, Calibration] = {}
    same_publisher: dict[int, Calibration] = {}
    for n in NUMBERS:
        try:
            trials = clip_against_source(clips, n, backend, name, most_trials(clips), references)
            fitted[n], own = fit_alternatives(trials)
        except CalibrationError:
            if not fitted:
                raise
            break
        same_publisher |= {n: own} if own else {}
    return fitted, same_publisher


def most_trials(clips: Labelled) -> int:
    """Of each kind, that are fitted on: fewer where publishers count, of which there are fewer still."""
    return MOST if Relations.of(clips).publishers is None else MOST_OF_PUBLISHERS


def largest_sources(clips: Labelled) -> Labelled:
    """At most MOST_CLIPS clips of each of at most MOST_SOURCES sources, those with the most clips.

    Of each source from each publisher, where publishers are at hand.
    """
    relations = Relations.of(clips)
    cells = sorted(relations.members, key=len, reverse=True)[:MOST_SOURCES]
    places = [cell[:MOST_CLIPS] for cell in cells]
    return clips[np.sort(np.concatenate([*places, np.zeros(0, np.int64)])).astype(np.int64)]


@dataclass(frozen=True)
class ComparisonCalibrations:
    """What the cosine of two sets of clips means, each set as its mean direction.

    Attributes:
        extractor: digest of what embedded the clips.
        by_clips: (fewer, more) clips in the two sets -> the same source made both, against any two different ones.
        same_publisher: the same, against two different ones of the same publisher and format.
    """

    extractor: str
    by_clips: Mapping[tuple[int, int], Calibration]
    same_publisher: Mapping[tuple[int, int], Calibration] = field(default_factory=dict)

    def for_sets(self, a: int, b: int) -> Calibration | None:
        """For sets of `a` and `b` clips, against any two sources; None where nothing was fitted."""
        return _for_sets(self.by_clips, a, b)

    def same_publisher_for_sets(self, a: int, b: int) -> Calibration | None:
        """The same, against two sources of the same publisher and format."""
        return _for_sets(self.same_publisher, a, b)

    def save(self, folder: Path) -> None:
        """Write `calibrations.json` into a checkpoint's folder."""
        fitted, same_publisher = (
            [{"clips": list(sizes), **one.to_dict()} for sizes, one in by_clips.items()]
            for by_clips in (self.by_clips, self.same_publisher)
        )
        table = {"format": FORMAT, "extractor": self.extractor, "calibrations": fitted}
        files.write_json(folder / COMPARISONS, table | ({"same_publisher": same_publisher} if same_publisher else {}))

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
        tables: dict[str, dict[tuple[int, int], Calibration]] = {"calibrations": {}, "same_publisher": {}}
        for name, by_clips in tables.items():
            for place, one in enumerate(getattr(table, name)):
                with within(name, place):
                    by_clips[one.clips] = build_calibration(one)
        return cls(table.extractor, *tables.values())


class _Comparisons(msgspec.Struct, forbid_unknown_fields=True):
    format: Text
    extractor: ExtractorName
    calibrations: list[_COMPARISON]
    same_publisher: list[_COMPARISON] = []


def _for_sets(by_clips: Mapping[tuple[int, int], Calibration], a: int, b: int) -> Calibration | None:
    fewer, more = sorted((a, b))
    fits = [sizes for sizes in by_clips if sizes[0] <= fewer and sizes[1] <= more]
    return by_clips[max(fits)] if fits else None


def fit_comparisons(development: Labelled) -> ComparisonCalibrations:
    """Calibrations of `NUMBERS` of clips against each other, as far as the sources have clips enough.

    Raises:
        CalibrationError: there are too few sources or clips to calibrate a clip against a clip.
    """
    clips = without_people(development)
    fitted = dict(_fit_comparisons(clips))
    by_clips = {sizes: any_other for sizes, (any_other, _) in fitted.items()}
    same_publisher = {sizes: own for sizes, (_, own) in fitted.items() if own}
    return ComparisonCalibrations(clips.embeddings.extractor, by_clips, same_publisher)


def _fit_comparisons(
    development: Labelled,
) -> Iterator[tuple[tuple[int, int], tuple[Calibration, Calibration | None]]]:
    yield (1, 1), fit_alternatives(clip_pairs(development, most=most_trials(development)))
    clips = largest_sources(development)
    for sizes in [pair for pair in combinations_with_replacement(NUMBERS, 2) if pair != (1, 1)]:
        try:
            yield sizes, fit_alternatives(set_against_set(clips, sizes, Centroid(), "centroid", most_trials(clips)))
        except CalibrationError:  # too few clips for sets so large
            continue
