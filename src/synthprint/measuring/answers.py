"""The figures of one level: clean clips against degraded ones, and what a gallery's rule makes of these.

*Conventions.* Trials are all pairs of a clean clip and a degraded one, except a clip with itself: enrolment is clean,
the test clip is not. Where there is a gallery, the degraded clips that are not enrolled in it are identified. A *known*
trial is a clip against all sources, its own among them; an *unknown* trial is a clip against all sources but its own;
rates are means over sources, as in `gallery.rules`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint.calibration.left_out import scores_without_own
from synthprint.errors import CalibrationError, GalleryError
from synthprint.extractor.runtime import Extractor
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.publishers import n_publishers
from synthprint.measuring.degraded import EmbeddedLevel, NotMeasurable
from synthprint.measuring.evidence import Folds
from synthprint.model.limits import Limits, beyond
from synthprint.sound.conditions import Conditions
from synthprint.sound.degradations import Level
from synthprint.types import Embeddings, IdentificationTrials, Labelled, Manifest
from synthprint.vectors.directions import cosines

QUANTILES = (0.05, 0.1, 0.5, 0.9, 0.95)
CONDITIONS = ("duration_s", "bandwidth_hz", "snr_db", "peak_db", "clipped_share", "silence_share", "hole_share")


@dataclass(frozen=True)
class Measured:
    """One level of one degradation.

    Attributes:
        degradation, level, unit: which; the clips as they are have no level.
        clips: how many were embedded.
        changed: share of the clips that the degradation changed at all.
        eer: over the pairs of a clean and a degraded clip, in 0 ... 1; with the numbers of `targets` and `nontargets`.
        cllr_bits: of the LRs that calibrations of clean clips give (see `evidence`), None where there are too few
            sources; `calibration_bits` of it are what a map fitted to these very trials would have saved.
        false_rejection, false_acceptance, accuracy: where there is a gallery; see `gallery.rules.Rule`.
        outside: share of the clips beyond one of the extractor's limits, and `beyond` each of them, by name; None
            where it has no limits.
        conditions: of the degraded clips, condition -> its QUANTILES; and "music" -> the share of clips.
        failures: clip -> reason.
    """

    degradation: str
    level: Level | None
    unit: str
    clips: int
    changed: float
    eer: float
    targets: int
    nontargets: int
    cllr_bits: float | None = None
    calibration_bits: float | None = None
    false_rejection: float | None = None
    false_acceptance: float | None = None
    accuracy: float | None = None
    outside: float | None = None
    beyond: Mapping[str, float] | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


class AnswerRates:
    """What a gallery's rule does with clips that are not enrolled in it."""

    def __init__(self, gallery: Gallery, extractor: Extractor, clips: Manifest) -> None:
        gallery.check_extractor(extractor.digest)
        backend = gallery.index.backend
        rule = gallery.setting(backend).rule
        if rule is None:
            raise GalleryError(f"{gallery.folder}: no threshold is set for {backend}; calibrate the gallery first")
        self._threshold, gate = rule.threshold, gallery.setting(backend).gate
        self._gate = gate if gate and gate.serves(len(gallery.names)) else None
        self._row = {name: i for i, name in enumerate(gallery.names)}
        self._gallery, self._backend = gallery, fitted_backend(gallery, backend)
        self._scorer = self._backend.enrol(gallery.vectors, gallery.owners, gallery.publishers)
        paths = {u.id: clips.audio_path(u) for u in clips}
        enrolled = gallery.enrolled_among(paths)
        self._outside = {
            key for key, path in paths.items() if (isinstance(path, str) or path.is_file()) and key not in enrolled
        }

    def rates(self, clips: Labelled) -> dict[str, Any]:
        """False rejection, false acceptance and accuracy."""
        clips = clips[np.array([key in self._outside for key in clips.embeddings.ids], bool)]
        if not len(clips):
            return {}
        vectors, sources = clips.vectors, np.array(clips.sources, dtype=object)
        truth = np.array([self._row.get(self._gallery.identity(source), -1) for source in clips.sources])
        here = truth >= 0
        known = self._read(self._scorer(vectors[here]), truth[here], sources[here]) if here.any() else None
        scores = scores_without_own(self._gallery.vectors, self._gallery.owners, self._backend, vectors, truth)
        unknown = self._read(scores, np.full(len(clips), -1), sources)
        threshold = self._threshold if self._gate is None else 0.0
        return {
            "false_rejection": _rate(known, known.scores < threshold) if known else None,
            "false_acceptance": _rate(unknown, unknown.scores >= threshold),
            "accuracy": _rate(known, known.correct) if known else None,
        }

    def _read(self, scores: np.ndarray, truth: np.ndarray, sources: np.ndarray) -> IdentificationTrials:
        """The trials with what decides in place of the best score: the gate's output, where there is one."""
        trials = IdentificationTrials.from_matrix(scores, truth, sources)
        if self._gate is None:
            return trials
        return replace(trials, scores=self._gate.outputs(scores, n_publishers(self._gallery)))


def _rate(clips: IdentificationTrials, counted: np.ndarray) -> float:
    return float(clips.weights[counted].sum())


class Scorer:
    """Compares degraded clips with the clean ones; `limits` are the extractor's."""

    def __init__(
        self,
        clean: Embeddings,
        source_by_id: Mapping[str, str],
        identification: AnswerRates | None,
        folds: Folds | None,
        limits: Limits | None,
    ) -> None:
        self.clean, self.source_by_id = Labelled.from_ids(clean, source_by_id), source_by_id
        self.identification, self.folds, self.limits = identification, folds, limits

    def measured(self, embedded: EmbeddedLevel, name: str, level: Level | None = None, unit: str = "") -> Measured:
        """The figures of one level.

        Raises:
            NotMeasurable: there is no target or no nontarget trial.
        """
        degraded = Labelled.from_ids(embedded.embeddings, self.source_by_id)
        ids, sources = (
            [np.array(values, dtype=object) for values in sides]
            for sides in (
                (self.clean.embeddings.ids, degraded.embeddings.ids),
                (self.clean.sources, degraded.sources),
            )
        )
        scores = cosines(self.clean.vectors, degraded.vectors)  # [N, M]
        same, itself = (side[0][:, None] == side[1] for side in (sources, ids))
        target, nontarget = scores[same & ~itself], scores[~same]
        if not len(target) or not len(nontarget):
            raise NotMeasurable("no trial: that takes two sources or more, one of them with two clips or more")
        rates = self.identification.rates(degraded) if self.identification else {}
        return Measured(
            degradation=name,
            level=level,
            unit=unit,
            clips=len(degraded),
            changed=embedded.changed,
            eer=metrics.eer(target, nontarget),
            targets=len(target),
            nontargets=len(nontarget),
            conditions=_quantiles(embedded.states),
            failures=embedded.failures,
            **rates,
            **self._evidence(scores, ~itself, sources),
            **_shares_beyond(embedded.states, self.limits),
        )

    def _evidence(self, scores: np.ndarray, counted: np.ndarray, sources: Sequence[np.ndarray]) -> dict[str, Any]:
        if self.folds is None:
            return {}
        try:
            quality = self.folds.quality(scores, counted, *(side.tolist() for side in sources))
        except CalibrationError:  # nothing is left within a fold
            return {}
        return {"cllr_bits": quality.cllr, "calibration_bits": quality.cllr - quality.cllr_min}


def _quantiles(states: Sequence[Conditions]) -> dict[str, Any]:
    values = {name: np.quantile([getattr(state, name) for state in states], QUANTILES).tolist() for name in CONDITIONS}
    return {**values, "music": float(np.mean([state.music for state in states]))}


def _shares_beyond(states: Sequence[Conditions], limits: Limits | None) -> dict[str, Any]:
    if limits is None:
        return {}
    found = [beyond(state, limits) for state in states]
    counts = Counter(name for names in found for name in names)
    return {
        "outside": float(np.mean([bool(names) for names in found])),
        "beyond": {name: count / len(found) for name, count in sorted(counts.items())},
    }
