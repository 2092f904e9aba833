"""Measurements of a model that are stored in its folder: calibrations of comparisons, timeline, clusters, limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.building import Building, BuiltModel
from synthprint.measuring.cluster_tuning import tune_clusters
from synthprint.measuring.degraded_files import FIGURES
from synthprint.measuring.limits import measure_limits
from synthprint.measuring.open_set import measure_open_set
from synthprint.measuring.timeline_tuning import EACH, tune_timeline
from synthprint.model.calibrations import ComparisonCalibrations, fit_comparisons
from synthprint.model.model import Model
from synthprint.model.tunings import SPLICES
from synthprint.types import Embeddings, Labelled, Manifest
from synthprint.wording import printable

RECORDS = {"limits": FIGURES, "clusters": "clusters.json", "open_set": "open_set.json"}  # in a folder of figures


def store_calibrations(model: Model, manifest: Manifest) -> tuple[ComparisonCalibrations, dict[str, str]]:
    """Fit likelihood ratios of comparisons on development clips, and store them in a model's folder.

    Returns:
        The calibrations, and id -> reason of each clip that could not be embedded.

    Raises:
        CalibrationError: there are too few sources or clips.
        EmbeddingsError: no clip can be embedded.
        OutputError: they cannot be written.
    """
    embeddings, failures = embed_manifest(model.extractor, manifest)
    data = printable(manifest.name.removeprefix(f"{manifest.root}/"))
    by_id = {u.id: u for u in manifest}
    utterances = tuple(by_id[key] for key in embeddings.ids)
    fitted = fit_comparisons(Labelled(embeddings, tuple(u.source for u in utterances), data, utterances))
    fitted.save(model.home)
    return fitted, failures


def store_timeline(model: Model, manifest: Manifest, each: int = EACH, main: str | None = None) -> dict[str, Any]:
    """Tune the timeline (see `timeline_tuning.tune_timeline`), and store splices.json in a model's folder."""
    report = tune_timeline(model.extractor, manifest, each, main)
    files.write_json(model.home / SPLICES, report)
    return report


def store_clusters(
    model: Model,
    manifest: Manifest,
    embeddings: Embeddings | None = None,
    main: str | None = None,
) -> dict[str, Any]:
    """Tune clustering (see `cluster_tuning.tune_clusters`), and store clusters.json in a model's folder.

    Returns:
        "extractor", "threshold", and "draws": split -> corpus -> figures.
    """
    tuning, draws = tune_clusters(model.extractor, manifest, embeddings, main)
    tuning.save(model.home)
    return {"extractor": model.digest, "threshold": tuning.threshold, "draws": draws}


def store_limits(
    model: Model, gallery: Gallery, manifest: Manifest, work: Path, threads: int | None = None
) -> dict[str, Any]:
    """Derive limits (see `limits.measure_limits`), and store limits.json in a model's folder."""
    limits, report = measure_limits(model, gallery, manifest, work, threads=threads)
    limits.save(model.home, model.digest)
    return report


@dataclass(frozen=True)
class FurtherMeasurements:
    """What is measured of a model that was built, beside what its card says.

    Attributes:
        tunings: of the timeline and of clustering; stored in the model's folder.
        each: spliced waves of every kind and length.
        limits: the folder for what the degraded clips gave; None: no limits are derived. They take hours.
        figures: a folder for what documents have tables of, also of backends compared, which takes a test split; None:
            none are written.
    """

    tunings: bool = False
    each: int = EACH
    limits: Path | None = None
    figures: Path | None = None


def measure_further(
    built: BuiltModel, manifest: Manifest, building: Building, further: FurtherMeasurements
) -> dict[str, Any]:
    """Measure more of a model that was built of `manifest`.

    Returns:
        "timeline", "clusters", "limits", "open_set" -> its report, of what was asked for.

    Raises:
        ManifestError: the manifest lacks what one of them needs.
        OutputError: a file cannot be written.
    """
    reports: dict[str, Any] = {}
    if further.tunings:
        reports["timeline"] = store_timeline(built.model, manifest, further.each, building.main)
        reports["clusters"] = store_clusters(built.model, manifest, built.embeddings, building.main)
    if further.limits:
        reports["limits"] = store_limits(built.model, built.gallery, manifest, further.limits, building.threads)
    if further.figures:
        if any(u.split == "test" for u in manifest):
            reports["open_set"] = measure_open_set(manifest, built.embeddings, building.plan, building.main)
        for name, file in RECORDS.items():
            if name in reports:
                files.write_json(further.figures / file, reports[name])
    return reports
