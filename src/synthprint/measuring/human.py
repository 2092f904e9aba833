"""A detector of human speech made part of a model: calibrated on publishers that it never met, and measured.

Human speech is the target. On either side publishers count alike, then the sources of a publisher, then the clips of a
source. The synthetic side is made of kinds (TTS, conversion, vocoded, coded) in declared shares; each kind is measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from synthprint import files
from synthprint.calibration.fitting import cross_fitted, fit
from synthprint.errors import ManifestError
from synthprint.extractor.checkpoint import CONFIG, GRAPH, WEIGHTS, Checkpoint, FeatureSet
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import Extractor, FeaturedExtractor, load_extractor
from synthprint.measuring.card import MEASUREMENTS, write_card
from synthprint.measuring.human_figures import JudgedClips, figures
from synthprint.model.detector import HUMAN_FOLDER, LEAST_LOG10_LR, DetectorCalibration, load_detecting
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import HUMAN, Manifest, ScoredTrials, Utterance
from synthprint.wording import printable

TTS = "tts"  # the kind of a synthetic clip that names none
KINDS: Mapping[str, float] = MappingProxyType({TTS: 0.5, "vc": 0.2, "copysyn": 0.15, "codec": 0.15})
COMPARED = "human speech against synthetic speech, a clip each"
SAME = 1e-3  # features that differ by less, in decibels and the like, are the same


@dataclass(frozen=True)
class DetectorPlan:
    """How a detector is calibrated.

    Attributes:
        kinds: kind of synthetic speech -> its share of that side; they need not add up to 1. Others are measured alone.
        least_log10_lr: from which an answer is given, in either direction.
        calibrated, tested: the splits that it is calibrated and tested on. The second need not be there.
        threads: that embed; None: all cores.
    """

    kinds: Mapping[str, float] = field(default_factory=lambda: KINDS)
    least_log10_lr: float = LEAST_LOG10_LR
    calibrated: str = "dev"
    tested: str = "test"
    threads: int | None = None


def store_detector(
    model: Path, manifest: Manifest, detector: str | Path | None = None, plan: DetectorPlan | None = None
) -> tuple[DetectorCalibration, dict[str, str]]:
    """Calibrate and measure a detector, and store it in a model's folder, as `human/`.

    Where it is made of the same features as the model's extractor, it is stored as a head on those. Without torch it
    stays as it is.

    Args:
        model: the model's folder.
        manifest: with publishers, and the splits of the plan. Clips of publishers that trained the detector are left
            out.
        detector: a checkpoint or training run; None: the one that lies in the model's folder.

    Returns:
        The calibration, with its figures, and id -> reason of each clip that could not be scored.

    Raises:
        CheckpointError: the detector is missing, damaged, no detector, or a head on the features of another extractor
            than the model's; or the model's extractor is damaged.
        ManifestError: no clip has a publisher, or none is left of publishers that the detector never met.
        CalibrationError: there are too few publishers, or no human or no synthetic clips.
        OutputError: the folder cannot be written.
    """
    plan, home = plan or DetectorPlan(), Path(model) / HUMAN_FOLDER
    trained = Checkpoint.load(home if detector is None else detector)
    base = load_extractor(model, threads=plan.threads) if (Path(model) / CONFIG).exists() else None
    extractor = load_detecting(trained.folder, threads=plan.threads, base=base)
    manifest = _never_met(manifest, trained, plan)
    embeddings, failures = embed_manifest(extractor, manifest)
    scores = dict(zip(embeddings.ids, embeddings.vectors[:, 0].tolist(), strict=True))
    data = printable(manifest.name.removeprefix(f"{manifest.root}/"))
    fitted = _calibrated(extractor, [u for u in manifest if u.id in scores], scores, data, plan)
    digest = _store(trained, shared_features(base, extractor), home)
    population = replace(fitted.calibration.population, extractor=digest)
    fitted = replace(fitted, extractor=digest, calibration=replace(fitted.calibration, population=population))
    fitted.save(home)
    if (Path(model) / MEASUREMENTS).exists():  # else the card is written when the model is built
        write_card(model)
    return fitted, failures


def _never_met(manifest: Manifest, trained: Checkpoint, plan: DetectorPlan) -> Manifest:
    """The clips of the plan's splits whose publishers did not train the detector."""
    met = set(trained.results.get("publishers") or ())
    wanted = manifest.filter(lambda u: u.split in (plan.calibrated, plan.tested))
    if not any(u.publisher for u in wanted):
        raise ManifestError(
            f"{manifest.name}: no clip of the splits {plan.calibrated} and {plan.tested} has a publisher; a detector "
            "is calibrated on publishers that it never met: fill the column publisher"
        )
    if all(u.publisher in met for u in wanted if u.publisher):
        raise ManifestError(
            f"{manifest.name}: every publisher of the splits {plan.calibrated} and {plan.tested} trained the detector; "
            "hold publishers out of its training"
        )
    return wanted.filter(lambda u: bool(u.publisher) and u.publisher not in met)


def _calibrated(
    extractor: Extractor, clips: Sequence[Utterance], scores: Mapping[str, float], data: str, plan: DetectorPlan
) -> DetectorCalibration:
    fitting = [u for u in clips if u.split == plan.calibrated]
    weighing = [u for u in fitting if u.human or plan.kinds.get(kind_of(u), 0) > 0]
    trials = human_trials(weighing, scores, plan.kinds, data, extractor.digest)
    calibration = fit(trials)
    crossed = cross_fitted(trials)
    # Clips that were fitted on get the LR of a map that did not see their publisher; others that of the whole fit.
    log10_lr = {u.id: float(calibration.apply(scores[u.id])) for u in clips}
    log10_lr |= {weighing[i].id: float(lr) for i, lr in zip(crossed.index.tolist(), crossed.log10_lr, strict=True)}
    measured = {}
    for split in (plan.calibrated, plan.tested):
        some = [u for u in clips if u.split == split]
        if any(u.human for u in some) and not all(u.human for u in some):
            judged = JudgedClips(
                np.array([u.human for u in some]),
                np.array([u.publisher for u in some]),
                np.array([kind_of(u) for u in some]),
                np.array([scores[u.id] for u in some]),
                np.array([log10_lr[u.id] for u in some]),
                clip_shares(some, plan.kinds),
            )
            measured[split] = figures(judged, plan.least_log10_lr)
    there = {kind: plan.kinds[kind] for kind in sorted({kind_of(u) for u in weighing if not u.human})}
    shares = {kind: share / sum(there.values()) for kind, share in there.items()}
    human_publishers = len({u.publisher for u in weighing if u.human})
    return DetectorCalibration(extractor.digest, calibration, human_publishers, shares, plan.least_log10_lr, measured)


def kind_of(utterance: Utterance) -> str:
    """What made a clip: "human", or the kind of its system, "tts" where the manifest names none."""
    return HUMAN if utterance.human else utterance.extra.get("kind") or TTS


def human_trials(
    clips: Sequence[Utterance], scores: Mapping[str, float], kinds: Mapping[str, float], data: str, extractor: str
) -> ScoredTrials:
    """A trial of each clip, a target where a person spoke; its publisher stands in the place of a source."""
    publishers = tuple(sorted({u.publisher or "" for u in clips}))
    place = {publisher: i for i, publisher in enumerate(publishers)}
    owners = np.array([place[u.publisher or ""] for u in clips], np.int64)
    return ScoredTrials(
        np.array([scores[u.id] for u in clips], np.float64), np.array([u.human for u in clips], bool), owners, owners,
        publishers, COMPARED, "detector", len(clips), data, extractor, shares=clip_shares(clips, kinds),
    )  # fmt: skip


def clip_shares(clips: Sequence[Utterance], kinds: Mapping[str, float]) -> np.ndarray:
    """What each clip weighs, [N], adding up to 1 over the human and over the synthetic ones.

    A kind has its share of the synthetic side; within a kind publishers count alike, within a publisher its sources,
    within a source its clips. A kind without a share weighs nothing.
    """
    levels = [(kind_of(u), u.publisher or "", u.source) for u in clips]
    shares = np.array([1.0 if kind == HUMAN else kinds.get(kind, 0.0) for kind, _, _ in levels])
    for depth in (1, 2):
        inner: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for level in levels:
            inner.setdefault(level[:depth], set()).add(level[: depth + 1])
        shares /= [len(inner[level[:depth]]) for level in levels]
    counts: dict[tuple[str, ...], int] = {}
    for level in levels:
        counts[level] = counts.get(level, 0) + 1
    shares /= [counts[level] for level in levels]
    human = np.array([u.human for u in clips], bool)
    for side in (human, ~human):
        if shares[side].sum() > 0:
            shares[side] /= shares[side].sum()
    return shares


def shared_features(base: Extractor | None, detecting: Extractor) -> FeatureSet | None:
    """The features of `base`, where those of a detector are the same; None where they are not, or where it is a head.

    Two backbones have the same where they give the same numbers, up to rounding, for noise in bursts.
    """
    if not isinstance(base, FeaturedExtractor) or not isinstance(detecting, FeaturedExtractor):
        return None
    if not base.features or not detecting.features or base.window_samples != detecting.window_samples:
        return None
    rng, time_s = np.random.default_rng(0), np.arange(base.window_samples) / SAMPLE_RATE
    bursts = np.sin(2 * np.pi * 2.5 * time_s) > -0.5
    noise = (0.1 * rng.standard_normal(base.window_samples) * bursts).astype(np.float32)
    own, other = (extractor.embed_with_features([noise])[1] for extractor in (base, detecting))
    same = own.shape == other.shape and np.allclose(own, other, rtol=SAME, atol=SAME)
    return base.features if same else None


def _store(checkpoint: Checkpoint, shared: FeatureSet | None, home: Path) -> str:
    """Put a detector into a model, as a head where it shares features: the digest of the weights that are stored."""
    if shared and not checkpoint.head:
        try:
            from synthprint.training.export import write_head
        except ImportError:  # without torch it stays a whole graph
            pass
        else:
            return write_head(checkpoint, shared, home).digest
    with files.writing(home):
        home.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, GRAPH, CONFIG):
            if not (home / name).exists() or not (home / name).samefile(checkpoint.folder / name):
                shutil.copyfile(checkpoint.folder / name, home / name)
    return checkpoint.digest
