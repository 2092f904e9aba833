"""The gate of a gallery's backend: fitted on development clips, and what it does with clips of new publishers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthprint.calibration.left_out import scores_left_out
from synthprint.errors import CalibrationError, GalleryError
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.gate import Gate, gate_features
from synthprint.gallery.publishers import n_publishers
from synthprint.measuring.gate_fitting import FittedGate, GateTrials, fit_gate, joined_trials, rejection_figures
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.types import IdentificationTrials, Utterance


@dataclass(frozen=True, eq=False)
class Gated:
    """A gate with the trials that it was fitted on."""

    fitted: FittedGate
    known_trials: GateTrials
    unknown_trials: GateTrials

    @property
    def gate(self) -> Gate:
        """What travels with the gallery."""
        return self.fitted.gate


def fit_gallery_gate(gallery: Gallery, backend: str, clips: HeldOutClips) -> Gated | None:
    """The gate of a backend, from dev clips; None without publishers, or where sources or clips are too few."""
    if not clips.by_publisher:
        return None
    with suppress(GalleryError, CalibrationError):
        known, unknown = gate_trials(gallery, backend, clips, clips.asked(gallery, "dev"))
        return Gated(fit_gate(known, unknown, backend, gallery.index.extractor), known, unknown)
    return None


def gate_figures(gallery: Gallery, backend: str, clips: HeldOutClips, gated: Gated, threshold: float) -> dict[str, Any]:
    """How well known and unknown clips are told apart, by the gate and by the best score alone.

    On dev the gate is one that saw neither the source nor the publisher of a clip; the threshold was set there.

    Args:
        threshold: of the best score.

    Returns:
        Split -> "gate" and "best score" -> `gate_fitting.rejection_figures`.
    """
    figures: dict[str, Any] = {}
    for split in clips.splits:
        known, unknown = gated.known_trials, gated.unknown_trials
        outputs = gated.fitted.known_outputs, gated.fitted.unknown_outputs
        if split != "dev":
            known, unknown = gate_trials(gallery, backend, clips, clips.asked(gallery, split))
            outputs = gated.gate.read(known.features), gated.gate.read(unknown.features)
        best = known.answers.scores, unknown.answers.scores
        figures[split] = {
            "gate": rejection_figures(known, unknown, outputs, 0.0),
            "best score": rejection_figures(known, unknown, best, threshold),
        }
    return figures


def gate_trials(
    gallery: Gallery, backend: str, clips: HeldOutClips, asked: Sequence[Utterance]
) -> tuple[GateTrials, GateTrials]:
    """Known and unknown trials of clips against the gallery; see `gate_fitting`.

    Raises:
        GalleryError: too few sources are enrolled for a gate.
    """
    fitted, counts, enrolled = fitted_backend(gallery, backend), n_publishers(gallery), _Enrolled(gallery, clips)
    vectors = clips.embeddings.select([u.id for u in asked]).vectors
    sources = np.array([u.source for u in asked], object)
    publishers = np.array([u.publisher or "" for u in asked], object)
    rows, alone, siblings = enrolled.rows(asked), enrolled.of_publisher_alone(asked), enrolled.of_family(asked)
    own = np.arange(len(gallery.names))[:, None] == rows
    elsewhere = (rows >= 0) & ~(own & alone).any(axis=0)  # enrolled from other publishers too

    def side(left_out: np.ndarray, truth: np.ndarray, part: np.ndarray, new: bool) -> GateTrials:
        """The trials of some clips, with sources [S, T] left out."""
        scores = scores_left_out(gallery.vectors, gallery.owners, fitted, vectors[part], left_out[:, part])
        answers = IdentificationTrials.from_matrix(scores, truth[part], sources[part], "held-out clips")
        family = (siblings & ~left_out & ~own).any(axis=0)[part]
        return GateTrials(gate_features(scores, counts), answers, publishers[part], np.full(len(family), new), family)

    nobody, page = np.full(len(rows), -1), (alone & ~own).any(axis=0)
    known = [
        side(alone, rows, elsewhere, new=True),
        side(np.zeros_like(own), rows, (rows >= 0) & ~elsewhere, new=False),
    ]
    unknown = [side(alone | own, nobody, rows >= -1, new=True), side(own, nobody, page, new=False)]
    return joined_trials(known), joined_trials(unknown)


class _Enrolled:
    """From whom the sources of a gallery are, and of which family."""

    def __init__(self, gallery: Gallery, clips: HeldOutClips) -> None:
        self._gallery = gallery
        enrolled = {clip.id for clip in gallery.clips}
        self._publishers: dict[str, set[str | None]] = {}
        self._families: dict[str, str | None] = {}
        for u in clips.manifest:
            if u.id in enrolled:
                self._publishers.setdefault(gallery.identity(u.source), set()).add(u.publisher)
                self._families[gallery.identity(u.source)] = u.family

    def rows(self, asked: Sequence[Utterance]) -> np.ndarray:
        """[T] the source of each clip, as an index into the gallery's; -1 of one that is not enrolled."""
        row = {name: i for i, name in enumerate(self._gallery.names)}
        return np.array([row.get(self._gallery.identity(u.source), -1) for u in asked], np.int64)

    def of_publisher_alone(self, asked: Sequence[Utterance]) -> np.ndarray:
        """[S, T] whether a source is enrolled from the clip's publisher and from no other."""
        single = [next(iter(of)) if len(of := self._publishers[name]) == 1 else None for name in self._gallery.names]
        return np.array([[name is not None and name == u.publisher for u in asked] for name in single], bool)

    def of_family(self, asked: Sequence[Utterance]) -> np.ndarray:
        """[S, T] whether a source is of the clip's family."""
        families = [self._families[name] for name in self._gallery.names]
        return np.array([[family is not None and family == u.family for u in asked] for family in families], bool)
