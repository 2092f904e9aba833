"""How good LRs are against either alternative, on publishers that neither training nor calibration met."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from synthprint.backends.centroid import Centroid
from synthprint.calibration.calibration import Calibration
from synthprint.calibration.trials import clip_against_source, clip_pairs, set_against_set
from synthprint.errors import CalibrationError
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.measuring.held_out_trials import ENROLLED
from synthprint.measuring.publisher_halves import (
    DEV_PUBLISHERS,
    OTHER_HALF,
    by_alternative,
    crossed_figures,
    tested_figures,
)
from synthprint.model.calibrations import ComparisonCalibrations, SourceCalibrations, largest_sources, most_trials
from synthprint.types import ScoredTrials

Fitted = tuple[Calibration | None, Calibration | None]  # against any other system, and one of the same publisher


def alternative_figures(
    gallery: Gallery, backend: str, comparisons: ComparisonCalibrations, clips: HeldOutClips
) -> dict[str, Any]:
    """The figures of LRs, by alternative and by what was compared.

    Returns:
        "split", "fitted_on", and for each alternative (see `publisher_halves`) what was compared -> its figures;
        nothing where publishers are not at hand. What has too few publishers or clips is left out.
    """
    if not clips.by_publisher:
        return {}
    split = clips.splits[-1]
    population, calibrations = clips.new_publishers(split), gallery.setting(backend).calibrations
    fitted, references = fitted_backend(gallery, backend), clips.references(gallery)
    few, sources, most = largest_sources(population), calibrations or SourceCalibrations(), most_trials(population)
    compared: dict[str, tuple[Callable[[], ScoredTrials], Fitted]] = {
        "clip against clip": (
            lambda: clip_pairs(population, most=most),
            (comparisons.for_sets(1, 1), comparisons.same_publisher_for_sets(1, 1)),
        ),
        "3 clips against 3": (
            lambda: set_against_set(few, (3, 3), Centroid(), "centroid", most),
            (comparisons.for_sets(3, 3), comparisons.same_publisher_for_sets(3, 3)),
        ),
    }
    for n in ENROLLED:
        compared[f"clip against a source enrolled with {n}"] = (
            partial(clip_against_source, few, n, fitted, backend, most, references),
            (sources.for_clips(n), sources.same_publisher_for_clips(n)),
        )
    figures = {}
    for name, (trials, by_fit) in compared.items():
        try:
            figures[name] = tested_figures(trials(), *by_fit) if split == "test" else crossed_figures(trials())
        except CalibrationError:  # too few clips for sets so large
            continue
    fitted_on = DEV_PUBLISHERS if split == "test" else OTHER_HALF
    return {"split": split, "fitted_on": fitted_on, **by_alternative(figures)}
