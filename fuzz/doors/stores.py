"""Embeddings, and what synthprint keeps for itself and reads again: the pack's index, the embedding cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np

from fuzz import belongings
from fuzz.door import HERE, Door
from fuzz.mutators.raw import raw
from fuzz.mutators.tensors import safetensors
from fuzz.mutators.text import JSON, structured
from synthprint.extractor.cache import EmbeddingCache
from synthprint.manifests.packing import pack
from synthprint.types import Embeddings, Manifest, Utterance, Windows

DIM, WINDOW_SAMPLES = belongings.DIM, belongings.WINDOW_SAMPLES
EMBEDDINGS = "embeddings.safetensors"
PACK, CACHE = "pack/index.jsonl", f"embeddings-{WINDOW_SAMPLES}.bin"
CHANGED_NS = 1_700_000_000_000_000_000  # the index of a pack names the time of the last change
CONTENTS = [hashlib.sha256(bytes([number])).digest() for number in range(4)]


def _embeddings_room(room: Path) -> list[bytes]:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((3, DIM)).astype(np.float32)
    windows = Windows(vectors[[0, 0, 2]], np.array([0, 0, 2]), np.array([0.0, 1.0, 0.0]))
    written = []
    for beside in (windows, None):
        Embeddings(("a/1.wav", "ä", "c"), vectors, "e" * 64, beside).save(room / EMBEDDINGS)
        written.append(belongings.in_order((room / EMBEDDINGS).read_bytes()))
    return written


def _embeddings(_: object, case: Path) -> object:
    loaded = Embeddings.load(case)
    return loaded.vectors, loaded.ids, loaded.windows, loaded.dim, loaded.select(loaded.ids[:1]).vectors


def _pack_room(room: Path) -> Path:
    for name in ("1.wav", "2.wav"):
        (room / name).write_bytes(belongings.seeds("pcm16.wav" if name == "1.wav" else "stereo.wav")[0])
        os.utime(room / name, ns=(CHANGED_NS, CHANGED_NS))
    pack(_packed(room), room / "pack")
    shutil.copyfile(room / "pack" / "audio.i16", room / "audio.i16")
    return room


def _packed(room: Path) -> Manifest:
    return Manifest(tuple(Utterance(name, name, "a") for name in ("1.wav", "2.wav")), room)


def _pack_seeds(room: Path) -> list[bytes]:
    return [(room / PACK).read_bytes().replace(os.fsencode(room), HERE)]


def _pack(room: Path, case: Path) -> object:
    """The index, beside the samples that it was made with."""
    shutil.copyfile(room / "audio.i16", case.parent / "audio.i16")
    opened = pack(_packed(room), case.parent)
    waves = [opened.wave(place) for place in range(len(opened))]
    assert len(waves) == 2, "a clip is lost"
    return waves, opened.lengths, opened.crop(0, 100, np.random.default_rng(1))


def _cache_room(room: Path) -> Path:
    _opened(room).add(CONTENTS[:3], np.eye(3, DIM, dtype=np.float32))
    return room


def _opened(room: Path) -> EmbeddingCache:
    return EmbeddingCache(room, "e" * 64, WINDOW_SAMPLES, DIM)


def _cache(room: Path, case: Path) -> object:
    """What it still has is what was put in; what is added is there afterwards."""
    opened = _opened(room)
    for place, content in enumerate(CONTENTS[:3]):
        vector = opened.get(content)
        assert vector is None or (vector == np.eye(3, DIM)[place]).all(), "another vector than was put in"
    opened.add(CONTENTS[3:], np.ones((1, DIM), np.float32))
    assert _opened(room).get(CONTENTS[3]) is not None, "what was added is not there"
    return len(opened)


DOORS = (
    Door("embeddings", EMBEDDINGS, _embeddings, lambda written: written, (safetensors, safetensors, raw),
         _embeddings_room),
    Door("pack.index", PACK, _pack, _pack_seeds, (structured(JSON), structured(JSON), raw), _pack_room,
         names_folder=True),
    Door("embedding_cache", CACHE, _cache, lambda room: [(room / CACHE).read_bytes()], (raw,), _cache_room,
         names_folder=True),
)  # fmt: skip
