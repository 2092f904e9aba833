"""What a model has, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthprint.extractor.checkpoint import Checkpoint
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import INDEX
from synthprint.measuring.card import CARD, MEASUREMENTS
from synthprint.measuring.enrolling import GALLERY
from synthprint.model.calibrations import ComparisonCalibrations
from synthprint.model.model import Model
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.wording import counted

# What a model may have -> the command that makes it.
MAKERS = {
    "calibrations": "synthprint model calibrate",
    "limits": "synthprint model limits --install",
    "timeline": "synthprint model tune",
    "clusters": "synthprint model tune",
    "human": "synthprint model human",
    "gallery": "synthprint model build",
    "measurements": "synthprint model build",
    "card": "synthprint model card",
}


def describe_model(model: str | Path | None = None) -> dict[str, Any]:
    """What a model has; nothing is embedded.

    Args:
        model: a model's folder, a training run's, or None or "default" for the one that comes with synthprint.

    Returns:
        For JSON: "folder", "digest", "backbone", "dim", "window_s", "loss", "parity", "recipe", "sources" (those that
        it trained on -> family); "calibrations", "limits", "timeline", "clusters", "human", "gallery", None where it
        has none; "measurements", "card": whether it has them; and "lacks": what it has not -> the command that makes
        it.

    Raises:
        CheckpointError: it is missing or damaged, or something that was measured of it is.
        GalleryError: its gallery is damaged.
    """
    opened = Model.load(model)
    checkpoint = Checkpoint.load(opened.home)
    folder, digest = opened.home, checkpoint.digest
    parts: dict[str, Any] = {
        "calibrations": _calibrations(opened.calibrations),
        "limits": opened.limits.to_dict() if opened.limits else None,
        "timeline": asdict(opened.timeline) if opened.timeline else None,
        "clusters": asdict(opened.clusters) if opened.clusters else None,
        "human": opened.detector.describe() if opened.detector else None,
        "gallery": _gallery(folder / GALLERY, digest),
        "measurements": (folder / MEASUREMENTS).exists(),
        "card": (folder / CARD).exists(),
    }
    return {
        "folder": str(checkpoint.folder),
        "digest": digest,
        "backbone": checkpoint.recipe.backbone.name,
        "dim": checkpoint.dim,
        "window_s": checkpoint.window_samples / SAMPLE_RATE,
        "loss": checkpoint.recipe.loss.name,
        "parity": checkpoint.parity,
        "recipe": checkpoint.recipe.to_dict(),
        "sources": checkpoint.sources,
        **parts,
        "lacks": {name: command for name, command in MAKERS.items() if not parts[name]},
    }


def _calibrations(fitted: ComparisonCalibrations | None) -> dict[str, Any] | None:
    if fitted is None:
        return None
    first = next(iter(fitted.by_clips.values()))
    return {"clips": [list(sizes) for sizes in fitted.by_clips], "population": first.validation}


def _gallery(folder: Path, digest: str) -> dict[str, Any] | None:
    """None where there is none, or it is of another extractor."""
    if not (folder / INDEX).exists():
        return None
    gallery = Gallery.load(folder)
    if gallery.index.extractor != digest:
        return None
    backend = gallery.index.backend
    rule = gallery.setting(backend).rule
    return {
        "sources": len(gallery.names),
        "clips": len(gallery.clips),
        "backend": backend,
        "threshold": rule.threshold if rule else None,
    }


def description_lines(description: Mapping[str, Any]) -> Iterator[str]:
    """A description in lines: what the model is, what was measured of it, and what it lacks."""
    d = description
    yield f"{d['folder']}"
    yield f"extractor: {d['digest'][:12]}, {d['backbone']}, {d['dim']} dimensions, windows of {d['window_s']:g} s"
    yield f"trained with: {d['loss']}, {counted(len(d['sources']), 'source')}"
    if gallery := d["gallery"]:
        threshold = "no threshold" if gallery["threshold"] is None else f"threshold {gallery['threshold']:.3f}"
        sources = counted(gallery["sources"], "source")
        yield f"gallery: {counted(gallery['clips'], 'clip')} of {sources}, {gallery['backend']}, {threshold}"
    if calibrations := d["calibrations"]:
        sizes = ", ".join(f"{a} and {b}" for a, b in calibrations["clips"])
        yield f"calibrations: of {sizes} clips ({calibrations['population']})"
    if limits := d["limits"]:
        yield limits_line(limits)
    if timeline := d["timeline"]:
        threshold, accuracy_s = timeline["threshold"], timeline["accuracy_s"]
        yield f"timeline: a change from strength {threshold:.2f} on, to within {accuracy_s:.2f} s"
    if clusters := d["clusters"]:
        yield f"clusters: joined from a mean cosine of {clusters['threshold']:.2f} on"
    if human := d["human"]:
        what = "a head on the extractor's features" if human["head"] else "of its own features"
        yield f"human or synthetic: detector {human['digest'][:12]}, {what} ({human['population']})"
    for name, command in d["lacks"].items():
        yield f"lacks {name}: {command}"


def limits_line(limits: Mapping[str, Any]) -> str:
    """Limits, as `Limits.to_dict` gives them, in a line."""
    values = [f"{name} {value:g}" for name, value in limits.items() if name not in ("music", "basis")]
    return f"limits: {', '.join(values) or 'none'} ({limits['basis']})"
