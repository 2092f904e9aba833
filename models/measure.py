"""What the model card says of an extractor and its gallery: each figure is computed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from synthprint import audio
from synthprint.augmentation import Augmentation
from synthprint.backends.centroid import Centroid
from synthprint.calibration.calibration import Calibration
from synthprint.calibration.fitting import CrossFitted
from synthprint.calibration.left_out import scores_without_own
from synthprint.calibration.trials import SourceTrials, clip_against_source, clip_pairs, set_against_set
from synthprint.errors import AudioError
from synthprint.extraction import embed
from synthprint.extractors import Extractor
from synthprint.linting.inspection import inspect_all
from synthprint.linting.shortcuts import guess, measure_shortcuts
from synthprint.scoring import all_pairs_eer
from synthprint.shelves import Backend
from synthprint.tracing.calibrations import ComparisonCalibrations, SourceCalibrations
from synthprint.tracing.enrolment import backend_of
from synthprint.tracing.gallery import Gallery
from synthprint.tracing.identification import Identified, evidence_trials, identified
from synthprint.tracing.openset import EQUAL_ERROR, rule
from synthprint.types import Embeddings, Manifest, Utterance

# A channel that differs from clip to clip, harsher than in training.
CHANGED = Augmentation(equalise=0.7, band_limit=0.4, noise=0.4, codec=0.6, silence=0.5, gain_db=20.0)
Keep = Callable[[Utterance], bool]


def neural(u: Utterance) -> bool:
    """Whether an utterance is of the neural corpus."""
    return u.id.startswith("neural/")


SUBSETS: dict[str, Keep] = {
    "neural, sources never met": lambda u: neural(u) and not u.source_seen,
    "neural, sources met in training": lambda u: neural(u) and bool(u.source_seen),
    "neural, all": neural,
    "open, sources never met": lambda u: not neural(u) and not u.source_seen,
    "open, sources met in training": lambda u: not neural(u) and bool(u.source_seen),
    "everything": lambda _: True,
}


def changed(extractor: Extractor, manifest: Manifest) -> Embeddings:
    """Embeddings of the clips, each sent through a channel of its own."""

    def waves() -> Iterator[tuple[str, np.ndarray | AudioError]]:
        decoded = audio.decoded([manifest.audio_path(u) for u in manifest])
        for place, (u, sound) in enumerate(zip(manifest, decoded, strict=True)):
            if isinstance(sound, AudioError):
                yield u.id, sound
            else:
                yield u.id, CHANGED(np.asarray(sound.wave[:]), np.random.default_rng([7, place]))

    embeddings, _ = embed(extractor, waves())
    assert embeddings is not None
    return embeddings


def equal_errors(embeddings: Embeddings, utterances: dict[str, Utterance], split: str) -> dict[str, Any]:
    """EER over all pairs of one split, subset by subset."""
    found = {}
    for name, keep in SUBSETS.items():
        ids = [key for key in embeddings.ids if utterances[key].split == split and keep(utterances[key])]
        sources = [utterances[key].source for key in ids]
        if len(set(sources)) > 1:
            scored = all_pairs_eer(embeddings.select(ids), sources)
            found[name] = {
                "eer": scored.eer, "clips": len(ids), "sources": len(set(sources)),
                "targets": scored.targets, "nontargets": scored.nontargets,
            }  # fmt: skip
    return found


def trials(
    gallery: Gallery, backend: str, embeddings: Embeddings, utterances: Sequence[Utterance], unknown: bool
) -> Identified:
    """Clips against the gallery; as unknowns, each against the gallery without its own source."""
    fitted, vectors = backend_of(gallery, backend), embeddings.select([u.id for u in utterances]).vectors
    row = {name: i for i, name in enumerate(gallery.names)}
    truth = np.array([row.get(gallery.identity(u.source), -1) for u in utterances])
    if unknown:
        scores = scores_without_own(gallery.vectors, gallery.owners, fitted, vectors, truth)
        truth = np.full(len(truth), -1)
    else:
        scores = fitted.enrol(gallery.vectors, gallery.owners)(vectors)
    return identified(scores, truth, [u.source for u in utterances], "held-out clips")


def rates(known: Identified, unknown: Identified, threshold: float) -> dict[str, Any]:
    """Error rates at a threshold, means over sources."""
    return {
        "accuracy": float(known.weights[known.right].sum()),
        "false_rejection": float(known.weights[known.best < threshold].sum()),
        "false_acceptance": float(unknown.weights[unknown.best >= threshold].sum()),
        "equal_error": rule(known, unknown, EQUAL_ERROR, 0).false_rejection,
        "known_clips": len(known.best), "known_sources": known.count.sources,
        "unknown_clips": len(unknown.best), "unknown_sources": unknown.count.sources,
    }  # fmt: skip


def evidence(
    fitted: ComparisonCalibrations, sources: SourceCalibrations, backend: Backend, clips: Embeddings, owners: list[str]
) -> dict[str, Any]:
    """How good LRs are on clips of sources that they were not fitted on, every source counting alike.

    Args:
        fitted, sources: calibrations of comparisons, and of a gallery's backend.
        clips: their sources are `owners`.
    """
    vectors = clips.vectors
    tested: dict[str, tuple[SourceTrials, Calibration | None]] = {
        "clip against clip": (clip_pairs(vectors, owners), fitted.of(1, 1)),
        "3 clips against 3": (set_against_set(vectors, owners, (3, 3), Centroid(), "centroid"), fitted.of(3, 3)),
    }
    for n in (1, 3, 5):
        tested[f"clip against a source enrolled with {n}"] = (
            clip_against_source(vectors, owners, n, backend, ""), sources.of(n)
        )  # fmt: skip
    return {name: _evidence(made, calibration) for name, (made, calibration) in tested.items() if calibration}


def _evidence(made: SourceTrials, calibration: Calibration) -> dict[str, Any]:
    log10_lr, weights = calibration.apply(made.scores), made.weights("sources").each
    quality = CrossFitted(made, np.arange(len(made)), log10_lr, calibration.clipped(made.scores), 0).quality("sources")
    return {
        "cllr": quality.cllr, "cllr_min": quality.cllr_min, "eer": quality.eer, "sources": made.n_sources,
        "lower": calibration.lower, "upper": calibration.upper, "fitted_on_sources": calibration.population.sources,
        "misleading_targets": float(weights[made.target & (log10_lr < 0)].sum()),
        "misleading_nontargets": float(weights[~made.target & (log10_lr > 0)].sum()),
        "nontargets_above_10": float(weights[~made.target & (log10_lr > 1)].sum()),
    }  # fmt: skip


def known_evidence(calibration: Calibration, known: Identified, unknown: Identified) -> dict[str, Any]:
    """The same of the best score: is the clip's source among the enrolled?"""
    return _evidence(evidence_trials(known, unknown, "", ""), calibration)


def shortcuts_baseline(manifest: Manifest, embeddings: Embeddings) -> dict[str, Any]:
    """Balanced accuracy of naming the source: from format, level, silence and bandwidth, and from embeddings."""
    chosen = [u for u in manifest if neural(u) and not u.source_seen]
    inspections = inspect_all([manifest.audio_path(u) for u in chosen], [True] * len(chosen))
    sources = [u.source for u in chosen]
    trivial = measure_shortcuts(sources, inspections)
    _, labels = np.unique(sources, return_inverse=True)
    named = guess(embeddings.select([u.id for u in chosen]).vectors, labels)
    per_source = [float((named[labels == k] == k).mean()) for k in range(labels.max() + 1)]
    return {
        "trivial": asdict(trivial) if trivial else None,
        "embeddings_same_classifier": float(np.mean(per_source)),
        "clips": len(chosen), "sources": len(set(sources)),
    }  # fmt: skip
