"""From a trained checkpoint and a manifest to a model: gallery, rules, calibrations, and what is measured of them.

OUT/model.safetensors, model.onnx, config.json   the checkpoint
OUT/gallery/                                     enrolled sources, with rules and calibrations of each backend
OUT/calibrations.json                            likelihood ratios of comparisons
OUT/measurements.json                            what the card says
OUT/README.md                                    the card

Nothing here is random. What is tuned is tuned on the dev split; the test split is only measured.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.errors import ManifestError
from synthprint.extractor.checkpoint import CONFIG, GRAPH, WEIGHTS, Checkpoint
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.gallery import history
from synthprint.gallery.backend import fitted_backend
from synthprint.gallery.gallery import Gallery
from synthprint.manifests.corpora import Corpora, corpus_name, list_corpora
from synthprint.measuring.alternatives import alternative_figures
from synthprint.measuring.card import MEASUREMENTS, write_card
from synthprint.measuring.crossing import crossed_measurements
from synthprint.measuring.disjointness import disjointness
from synthprint.measuring.enrolling import GALLERY, EnrolmentPlan
from synthprint.measuring.equal_errors import equal_errors, through_channels
from synthprint.measuring.gallery_rules import set_rules
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.measuring.held_out_trials import evidence_figures
from synthprint.measuring.trivial_features import against_trivial_features
from synthprint.model.calibrations import ComparisonCalibrations, SourceCalibrations, fit_comparisons
from synthprint.model.model import Model
from synthprint.types import HELD_OUT_SPLITS, Embeddings, Manifest


@dataclass(frozen=True)
class Building:
    """How a model is built.

    Attributes:
        plan: which clips are enrolled.
        backend: the one that answers by default.
        main: the name of the corpus that choices are made on; None: the manifest's first.
        threads: that embed; None: all cores.
    """

    plan: EnrolmentPlan = field(default_factory=EnrolmentPlan)
    backend: str = "mahalanobis"
    main: str | None = None
    threads: int | None = None


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A model that was built.

    Attributes:
        model: its extractor, with the calibrations that were fitted.
        gallery: its own.
        embeddings: of all clips of the manifest.
        failures: id -> reason, of the clips that could not be embedded.
        measurements: what measurements.json says.
    """

    model: Model
    gallery: Gallery
    embeddings: Embeddings
    failures: dict[str, str]
    measurements: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the model lies."""
        return self.model.home


def build(checkpoint: str | Path, manifest: Manifest, out: str | Path, building: Building | None = None) -> BuiltModel:
    """Make a model folder of a trained checkpoint.

    Args:
        checkpoint: a checkpoint's folder, or a training run's (its best checkpoint).
        manifest: with train and dev splits; without a test split nothing is measured on one. The dev split holds two
            sources or more that training never met. The column `corpus`, where there is one, names the corpora that
            figures are given for.
        out: the model's folder. What is built replaces what lies there under the same names.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ManifestError: a split or a source that is needed is missing.
        EmbeddingsError: no clip can be embedded.
        CalibrationError, GalleryError: the development clips are too few to set a rule or to calibrate.
        OutputError: the folder cannot be written.
    """
    building, out = building or Building(), Path(out)
    trained = Checkpoint.load(checkpoint)
    corpora = list_corpora(manifest, building.main)
    check_splits(manifest)
    _copy(trained, out)
    model = Model.load(out, threads=building.threads, measured=False)
    embeddings, failures = embed_manifest(model.extractor, manifest)
    clips = HeldOutClips(manifest, embeddings, building.plan.never_enrolled)
    gallery = building.plan.enrol(out / GALLERY, manifest, embeddings)
    model = replace(model, calibrations=(comparisons := fit_comparisons(clips.new_publishers("dev"))))
    comparisons.save(out)
    subsets = corpora.subsets()
    measurements = {
        "extractor": trained.digest,
        "main_corpus": corpora.main,
        "held_out": held_out_sources(manifest, corpora),
        "not_embedded": failures,
        "eer": {split: equal_errors(embeddings, manifest, split, subsets) for split in clips.splits},
        "eer_changed": {
            split: equal_errors(through_channels(model.extractor, manifest.split(split)), manifest, split, subsets)
            for split in clips.splits
        },
        "identification": set_rules(gallery, clips, building.backend),
        "evidence": _evidence(gallery, building.backend, comparisons, clips),
        "alternatives": alternative_figures(gallery, building.backend, comparisons, clips),
        "crossed": crossed_measurements(clips),
        "disjointness": disjointness(manifest),
        "shortcuts": _shortcuts(clips, corpora),
        "gallery": {
            "sources": len(gallery.names),
            "clips": len(gallery.clips),
            "human_clips": gallery.clip_counts().get("human", 0),
        },
    }
    files.write_json(out / MEASUREMENTS, measurements)
    (out / GALLERY / ".lock").unlink(missing_ok=True)
    history.forget(out / GALLERY)  # nobody undoes a part of a model
    write_card(out)
    return BuiltModel(model, gallery, embeddings, failures, measurements)


def check_splits(manifest: Manifest) -> None:
    """Refuse a manifest that no model can be measured on.

    Raises:
        ManifestError: it has no train or no dev split, or fewer than two dev sources that training never met.
    """
    manifest.split("train")
    new = {u.source for u in manifest.split("dev") if not u.source_seen}
    if len(new) < 2:
        raise ManifestError(
            f"{manifest.name}: the dev split has {len(new)} of the two sources or more that training never met: rules "
            "and calibrations are set on these; hold sources out of the train split",
            command="corpus split",
        )


def held_out_sources(manifest: Manifest, corpora: Corpora) -> dict[str, dict[str, list[str]]]:
    """Corpus -> split -> the sources of it that training never met."""
    return {
        name: {
            split: sorted(
                {u.source for u in manifest if corpus_name(u) == name and u.split == split and not u.source_seen}
            )
            for split in HELD_OUT_SPLITS
        }
        for name in corpora.names
    }


def _copy(checkpoint: Checkpoint, out: Path) -> None:
    with files.writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, GRAPH, CONFIG):
            if not (out / name).exists() or not (out / name).samefile(checkpoint.folder / name):
                shutil.copyfile(checkpoint.folder / name, out / name)


def _evidence(
    gallery: Gallery, backend: str, comparisons: ComparisonCalibrations, clips: HeldOutClips
) -> dict[str, Any]:
    """How good LRs are on test clips of sources that training never met; nothing where there are none.

    Nor is there anything where publishers are at hand: `alternatives` says more there.
    """
    if clips.by_publisher or not any(u.split == "test" and not u.source_seen for u in clips.manifest):
        return {}
    calibrations = gallery.setting(backend).calibrations or SourceCalibrations()
    return evidence_figures(comparisons, calibrations, fitted_backend(gallery, backend), clips.never_met("test"))


def _shortcuts(clips: HeldOutClips, corpora: Corpora) -> dict[str, Any]:
    """Of the clips of the main corpus whose sources training never met, for each split that has some."""
    figures = {}
    for split in clips.splits:
        new = [u for u in clips.manifest if u.split == split and corpora.is_main(u) and not u.source_seen]
        if new:
            figures[split] = against_trivial_features(clips.manifest, new, clips.embeddings)
    return figures
