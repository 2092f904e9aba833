"""A gallery: its index, its segments of either format; opened, and asked for an answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fuzz import belongings
from fuzz.door import Door
from fuzz.mutators.raw import raw
from fuzz.mutators.tensors import safetensors
from fuzz.mutators.text import JSON, structured
from synthprint.gallery.gallery import Gallery
from synthprint.model.model import Model
from synthprint.tracing.tracer import Tracer

DIGEST = "e" * 64
FOLDER = belongings.GALLERY
INDEX, SEGMENT, LINES = (
    f"{FOLDER}/gallery.json",
    f"{FOLDER}/segments/00001.safetensors",
    f"{FOLDER}/segments/00001.jsonl",
)


def _gallery(room: Path) -> Path:
    return belongings.gallery(room / FOLDER, DIGEST).folder


def _old_gallery(room: Path) -> Path:
    """The same in format 1: a line for each clip beside the vectors."""
    opened = belongings.gallery(room / FOLDER, DIGEST)
    lines = [
        json.dumps({"id": clip.id, "source": clip.source, "sha256": clip.sha256, "duration_s": clip.duration_s})
        for clip in opened.clips
    ]
    (room / LINES).write_text("\n".join(lines) + "\n", encoding="utf-8")
    opened.embeddings.save(room / SEGMENT)
    (room / SEGMENT).write_bytes(belongings.in_order((room / SEGMENT).read_bytes()))
    belongings.digested(opened.folder, clips=room / LINES)
    return opened.folder


def _ask(folder: Path, case: Path) -> object:
    opened = Gallery.load(folder)
    tracer = Tracer(Model(belongings.Embedder(DIGEST)), opened)
    traced = tracer.answer(np.full(belongings.DIM, belongings.DIM**-0.5, np.float32), "clip.wav")
    json.dumps(traced.to_dict(), allow_nan=False)  # as it is printed
    return traced, traced.verdict(), opened.vectors, opened.clip_counts(), tracer.rule


def _ask_segment(folder: Path, case: Path) -> object:
    belongings.digested(folder)
    return _ask(folder, case)


def _ask_lines(folder: Path, case: Path) -> object:
    belongings.digested(folder, clips=case)
    return _ask(folder, case)


DOORS = (
    Door("gallery.index", INDEX, _ask, lambda folder: [(folder / "gallery.json").read_bytes()],
         (structured(JSON), structured(JSON), structured(JSON), raw), _gallery, names_folder=True, weight=2.0),
    Door("gallery.segment", SEGMENT, _ask_segment, lambda folder: [(folder.parent / SEGMENT).read_bytes()],
         (safetensors, safetensors, raw), _gallery, names_folder=True),
    Door("gallery.lines", LINES, _ask_lines, lambda folder: [(folder.parent / LINES).read_bytes()],
         (structured(JSON), structured(JSON), raw), _old_gallery, names_folder=True),
)  # fmt: skip
