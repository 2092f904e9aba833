"""The figures of one level: clean clips against degraded ones, and what a gallery's rule makes of these.

*Conventions.* Trials are all pairs of a clean clip and a degraded one, except a clip with itself: enrolment is clean,
the test clip is not. Where there is a gallery, the degraded clips that are not enrolled in it are identified. A *known*
trial is a clip against all sources, its own among them; an *unknown* trial is a clip against all sources but its own;
rates are means over sources, as in `tracing.openset`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint.calibration.left_out import scores_without_own
from synthprint.conditions import Conditions, Limits, beyond
from synthprint.degradations import Level
from synthprint.errors import CalibrationError, GalleryError
from synthprint.extractors import Extractor
from synthprint.stressing.evidence import Folds
from synthprint.stressing.making import Made, NotMeasurable
from synthprint.tracing.enrolment import backend_of
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.identification import Identified, identified
from synthprint.types import Embeddings, Manifest
from synthprint.vectors import cosines

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
        false_rejection, false_acceptance, accuracy: where there is a gallery; see `tracing.openset.Rule`.
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


class Identification:
    """What a gallery's rule does with clips that are not enrolled in it."""

    def __init__(self, gallery: Gallery, extractor: Extractor, clips: Manifest) -> None:
        gallery.check_extractor(extractor.digest)
        backend = gallery.index.backend
        rule = gallery.setting(backend).rule
        if rule is None:
            raise GalleryError(
                f"{gallery.folder}: no threshold is set for {backend}; see 'synthprint gallery threshold'"
            )
        self._threshold = rule.threshold
        self._row = {name: i for i, name in enumerate(gallery.names)}
        self._gallery, self._backend = gallery, backend_of(gallery, backend)
        self._scorer = self._backend.enrol(gallery.vectors, gallery.owners)
        paths = {u.id: clips.audio_path(u) for u in clips}
        enrolled = gallery.enrolled_among(paths)
        self._outside = {key for key, path in paths.items() if path.is_file() and key not in enrolled}

    def rates(self, embeddings: Embeddings, source_of: Mapping[str, str]) -> dict[str, Any]:
        """False rejection, false acceptance and accuracy."""
        kept = [key for key in embeddings.ids if key in self._outside]
        if not kept:
            return {}
        sources = np.array([source_of[key] for key in kept], dtype=object)
        truth = np.array([self._row.get(self._gallery.identity(source), -1) for source in sources])
        vectors, here = embeddings.select(kept).vectors, truth >= 0
        known = identified(self._scorer(vectors[here]), truth[here], sources[here], "") if here.any() else None
        scores = scores_without_own(self._gallery.vectors, self._gallery.owners, self._backend, vectors, truth)
        unknown = identified(scores, np.full(len(kept), -1), sources, "")
        return {
            "false_rejection": _rate(known, known.best < self._threshold) if known else None,
            "false_acceptance": _rate(unknown, unknown.best >= self._threshold),
            "accuracy": _rate(known, known.right) if known else None,
        }


def _rate(clips: Identified, counted: np.ndarray) -> float:
    return float(clips.weights[counted].sum())


class Scorer:
    """Compares degraded clips with the clean ones; `limits` are the extractor's."""

    def __init__(
        self,
        clean: Embeddings,
        source_of: Mapping[str, str],
        identification: Identification | None,
        folds: Folds | None,
        limits: Limits | None,
    ) -> None:
        self.clean, self.source_of = clean, source_of
        self.identification, self.folds, self.limits = identification, folds, limits

    def measured(self, made: Made, name: str, level: Level | None = None, unit: str = "") -> Measured:
        """The figures of one level.

        Raises:
            NotMeasurable: there is no target or no nontarget trial.
        """
        degraded = made.embeddings
        ids = [np.array(e.ids, dtype=object) for e in (self.clean, degraded)]
        sources = [np.array([self.source_of[key] for key in keys], dtype=object) for keys in ids]
        scores = cosines(self.clean.vectors, degraded.vectors)  # [N, M]
        same, itself = (side[0][:, None] == side[1] for side in (sources, ids))
        target, nontarget = scores[same & ~itself], scores[~same]
        if not len(target) or not len(nontarget):
            raise NotMeasurable("no trial: that takes two sources or more, one of them with two clips or more")
        rates = self.identification.rates(degraded, self.source_of) if self.identification else {}
        return Measured(
            degradation=name,
            level=level,
            unit=unit,
            clips=len(degraded),
            changed=made.changed,
            eer=metrics.eer(target, nontarget),
            targets=len(target),
            nontargets=len(nontarget),
            conditions=_quantiles(made.states),
            failures=made.failures,
            **rates,
            **self._evidence(scores, ~itself, sources),
            **_shares_beyond(made.states, self.limits),
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
