"""What lies around a case: a tiny checkpoint, a gallery of its embeddings, a tracer with both, the committed seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fuzz.mutators.tensors import file_of
from synthprint.extractor.checkpoint import CONFIG, GRAPH, WEIGHTS, Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Crop, Recipe
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import (
    FORMAT,
    INDEX,
    READABLE,
    SEGMENTS,
    BackendSetting,
    EnrolledClip,
    EnrolledSource,
    Index,
    SegmentEntry,
)
from synthprint.gallery.segments import segment_paths
from synthprint.gallery.shipped import gallery_folder
from synthprint.model.limits import LIMITS, Limits
from synthprint.model.shipped import model_folder
from synthprint.reading.doors import sha256
from synthprint.tracing.tracer import Tracer
from synthprint.types import Embeddings

SEEDS = Path(__file__).resolve().parents[1] / "tests" / "fuzz_seeds"
DIM, WINDOW_SAMPLES = 8, 1600  # of the sound graph among the seeds
GALLERY = "gallery"
SOURCES = ("a", "b", "c")
CLIPS_EACH = 4
WITHIN = Limits(3.0, 5380.0, 25.2, -37.5, 0.00934, 0.813, 0.0321, basis="what a case says")
NUMBERS_FITTED = ("1", "3")  # of clips, for which the gallery here has calibrations: few, so that the file is small


def seeds(*names: str) -> list[bytes]:
    """Committed seeds by name."""
    return [(SEEDS / name).read_bytes() for name in names]


def checkpoint(folder: Path, graph: bytes | None = None) -> Checkpoint:
    """Lay a checkpoint into `folder`: a graph without weights of its own, and weights that nothing reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(seeds("sound.onnx")[0] if graph is None else graph)
    (folder / WEIGHTS).write_bytes(b"\2\0\0\0\0\0\0\0{}")
    recipe = Recipe(backbone=BackboneChoice("thin_resnet", DIM), crop=Crop(WINDOW_SAMPLES))
    digest, graph_sha256 = sha256(folder / WEIGHTS), sha256(folder / GRAPH)
    described = Checkpoint(folder, recipe, {"a": "x", "b": ""}, digest, graph_sha256, 1e-7, {"dev_eer": 0.1}, "0.1.0")
    described.write_config()
    return described


def config(folder: Path) -> bytes:
    """What describes the checkpoint there."""
    return (folder / CONFIG).read_bytes()


def gallery(folder: Path, extractor: str) -> Gallery:
    """Lay a gallery into `folder`: a few sources, and the rules and calibrations of the shipped one."""
    names = [source for source in SOURCES for _ in range(CLIPS_EACH)]
    ids = tuple(f"{number}.wav" for number in range(len(names)))
    vectors = np.random.default_rng(1).standard_normal((len(names), DIM)).astype(np.float32)
    clips = [
        EnrolledClip(id, name, f"{number:064x}", 1.5) for number, (id, name) in enumerate(zip(ids, names, strict=True))
    ]
    families = {name: EnrolledSource("a family", "tts", "vocoder") for name in SOURCES}
    opened = Gallery.create(folder, extractor)
    opened.enrol(Embeddings(ids, vectors, extractor), clips, families)
    opened.set_backends({"mahalanobis": _setting()}, default="mahalanobis")
    opened.declare_aliases(SOURCES[0], [SOURCES[1]])
    (segment,) = (folder / SEGMENTS).glob("*.safetensors")
    segment.write_bytes(in_order(segment.read_bytes()))
    digested(folder)
    return Gallery.load(folder)


def digested(folder: Path, clips: Path | None = None) -> None:
    """Have the index of a gallery name its segment as it is now; one of format 1 where `clips` holds the lines."""
    index = folder / INDEX
    tables = json.loads(index.read_text(encoding="utf-8"))
    tables["format"] = READABLE[0] if clips else FORMAT
    tables["segments"][0]["vectors_sha256"] = sha256(segment_paths(folder, SegmentEntry(1, 1, ""))[0])
    tables["segments"][0]["clips_sha256"] = sha256(clips) if clips else ""
    index.write_text(json.dumps(tables, indent=1), encoding="utf-8")


def in_order(tensors: bytes) -> bytes:
    """A safetensors file with its metadata sorted: the same in each worker, whatever wrote it."""
    size = int.from_bytes(tensors[:8], "little")
    tables = json.loads(tensors[8 : 8 + size])
    tables["__metadata__"] = dict(sorted(tables.get("__metadata__", {}).items()))
    return file_of(tables, tensors[8 + size :])


def _setting() -> BackendSetting:
    shipped = Index.read(gallery_folder()).backends["mahalanobis"]
    assert shipped.calibrations is not None
    few = {number: fitted for number, fitted in shipped.calibrations.by_clips.items() if str(number) in NUMBERS_FITTED}
    return replace(shipped, calibrations=replace(shipped.calibrations, by_clips=few))


def measured(name: str, extractor: str) -> bytes:
    """A measured file of the shipped model, short, and as if it were of this extractor; limits are our own."""
    if name == LIMITS:  # a shipped model need not have any
        return json.dumps({"extractor": extractor, "limits": WITHIN.to_dict()}, indent=1).encode()
    tables = json.loads((model_folder() / name).read_text(encoding="utf-8"))
    if "tuning" in tables:
        tables = {"tuning": tables["tuning"] | {"extractor": extractor}}
    if "calibrations" in tables:
        tables["calibrations"] = tables["calibrations"][:2]
    if "extractor" in tables:
        tables["extractor"] = extractor
    return json.dumps(tables, indent=1).encode()


def tracer(room: Path) -> Tracer:
    """A tracer with the tiny checkpoint and gallery, limits and calibrations beside them, one thread."""
    described = checkpoint(room / "model")
    gallery(room / GALLERY, described.digest)
    for name in (LIMITS, "calibrations.json"):
        (room / "model" / name).write_bytes(measured(name, described.digest))
    return Tracer.load(room / GALLERY, room / "model", threads=1)


class Embedder:
    """As far as a tracer asks for it, an extractor: it has a digest and sizes, and embeds nothing."""

    def __init__(self, digest: str) -> None:
        self.digest, self.window_samples, self.dim = digest, WINDOW_SAMPLES, DIM

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """The same direction for each window."""
        return np.full((len(windows), DIM), DIM**-0.5, np.float32)
