"""Held-out clips against a gallery: error rates at a threshold, and how good the likelihood ratios are.

*Conventions.* A known trial is a clip against all sources, its own among them; an unknown trial is a clip against all
sources but its own, the backend enrolled anew. Every source weighs alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthprint.backends.centroid import Centroid
from synthprint.calibration.calibration import Calibration
from synthprint.calibration.fitting import CrossFitted
from synthprint.calibration.left_out import scores_without_own
from synthprint.calibration.trials import clip_against_source, clip_pairs, set_against_set
from synthprint.errors import CalibrationError
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.rules import EQUAL_ERROR, rule
from synthprint.gallery.trials import evidence_trials
from synthprint.model.calibrations import ComparisonCalibrations, SourceCalibrations
from synthprint.shelves import Backend
from synthprint.types import Embeddings, IdentificationTrials, Labelled, ScoredTrials, Utterance

WEIGHTING = "sources"
ENROLLED = (1, 3, 5)  # clips of a source, that likelihood ratios are tested with


def known_trials(
    gallery: Gallery, backend: str, embeddings: Embeddings, clips: Sequence[Utterance]
) -> IdentificationTrials:
    """Clips of enrolled sources against the gallery."""
    fitted, vectors = fitted_backend(gallery, backend), embeddings.select([u.id for u in clips]).vectors
    scores = fitted.enrol(gallery.vectors, gallery.owners, gallery.publishers)(vectors)
    return IdentificationTrials.from_matrix(scores, _rows(gallery, clips), [u.source for u in clips], "held-out clips")


def unknown_trials(
    gallery: Gallery, backend: str, embeddings: Embeddings, clips: Sequence[Utterance]
) -> IdentificationTrials:
    """Clips, each against the gallery without its source."""
    fitted, vectors = fitted_backend(gallery, backend), embeddings.select([u.id for u in clips]).vectors
    rows = _rows(gallery, clips)
    scores = scores_without_own(gallery.vectors, gallery.owners, fitted, vectors, rows, gallery.publishers)
    return IdentificationTrials.from_matrix(scores, np.full(len(rows), -1), [u.source for u in clips], "held-out clips")


def _rows(gallery: Gallery, clips: Sequence[Utterance]) -> np.ndarray:
    """[T], the row of each clip's source in the gallery, or -1."""
    row = {name: i for i, name in enumerate(gallery.names)}
    return np.array([row.get(gallery.identity(u.source), -1) for u in clips])


def rates(known_trials: IdentificationTrials, unknown_trials: IdentificationTrials, threshold: float) -> dict[str, Any]:
    """Error rates at a threshold, means over sources in 0 ... 1."""
    return {
        "accuracy": float(known_trials.weights[known_trials.correct].sum()),
        "false_rejection": float(known_trials.weights[known_trials.scores < threshold].sum()),
        "false_acceptance": float(unknown_trials.weights[unknown_trials.scores >= threshold].sum()),
        "equal_error": rule(known_trials, unknown_trials, EQUAL_ERROR, 0).false_rejection,
        "known_clips": len(known_trials.scores), "known_sources": known_trials.count.sources,
        "unknown_clips": len(unknown_trials.scores), "unknown_sources": unknown_trials.count.sources,
    }  # fmt: skip


def evidence_figures(
    comparisons: ComparisonCalibrations,
    sources: SourceCalibrations,
    backend: Backend,
    clips: Labelled,
) -> dict[str, Any]:
    """How good LRs are on clips of sources that they were not fitted on.

    Args:
        comparisons, sources: calibrations of comparisons, and of the gallery's backend.
        backend: fitted.
        clips: the clips to test on.

    Returns:
        What was compared -> its figures; what has no calibration, or no trials, is left out.
    """
    figures = {}

    def test(name: str, calibration: Calibration | None, trials: Any) -> None:
        if calibration is not None:
            try:
                figures[name] = quality_figures(trials(), calibration)
            except CalibrationError:  # too few clips for sets so large
                return

    test("clip against clip", comparisons.for_sets(1, 1), lambda: clip_pairs(clips))
    test(
        "3 clips against 3",
        comparisons.for_sets(3, 3),
        lambda: set_against_set(clips, (3, 3), Centroid(), "centroid"),
    )
    for n in ENROLLED:
        test(
            f"clip against a source enrolled with {n}",
            sources.for_clips(n),
            lambda n=n: clip_against_source(clips, n, backend, ""),
        )
    return figures


def best_score_figures(
    calibration: Calibration, known_trials: IdentificationTrials, unknown_trials: IdentificationTrials
) -> dict[str, Any]:
    """The same of the best score: is the clip's source among the enrolled?"""
    return quality_figures(evidence_trials(known_trials, unknown_trials, "", ""), calibration)


def quality_figures(trials: ScoredTrials, calibration: Calibration) -> dict[str, Any]:
    """Cllr and Cllr_min in bits, the bounds as log10 LR, and how often the LR misleads, in 0 ... 1."""
    log10_lr, weights = calibration.apply(trials.scores), trials.weights(WEIGHTING).each
    clipped = calibration.clipped(trials.scores)
    quality = CrossFitted(trials, np.arange(len(trials)), log10_lr, clipped, 0).quality(WEIGHTING)
    return {
        "cllr": quality.cllr, "cllr_min": quality.cllr_min, "eer": quality.eer, "sources": trials.n_sources,
        "lower": calibration.lower, "upper": calibration.upper, "fitted_on_sources": calibration.population.sources,
        "misleading_targets": float(weights[trials.target & (log10_lr < 0)].sum()),
        "misleading_nontargets": float(weights[~trials.target & (log10_lr > 0)].sum()),
        "nontargets_above_10": float(weights[~trials.target & (log10_lr > 1)].sum()),
    }  # fmt: skip
