"""A checkpoint: its description, its graph and its weights, each with digests that fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import belongings
from fuzz.door import Door
from fuzz.mutators.protobuf import protobuf
from fuzz.mutators.raw import raw
from fuzz.mutators.tensors import safetensors
from fuzz.mutators.text import JSON, structured
from synthprint.extractor.checkpoint import CONFIG, GRAPH, WEIGHTS, Checkpoint
from synthprint.extractor.runtime import Extractor, load_backbone, load_extractor
from synthprint.reading.doors import sha256

GRAPHS = ("sound", "other_input", "other_size", "other_window", "double", "custom", "not_a_number", "large", "external")


def _described(room: Path) -> Checkpoint:
    return belongings.checkpoint(room)


def _load(described: Checkpoint, case: Path) -> object:
    loaded = Checkpoint.load(case.parent)
    extractor = load_extractor(case.parent, threads=1)
    return loaded, loaded.dim, loaded.window_samples, _embedded(extractor)


def _embedded(extractor: Extractor) -> np.ndarray:
    """The embedding [1, D] of noise; whoever asks relies on its size."""
    wave = np.random.default_rng(1).uniform(-1, 1, extractor.window_samples).astype(np.float32)
    vectors: np.ndarray = extractor.embed_windows([wave])
    assert vectors.shape == (1, extractor.dim), f"{vectors.shape} where {extractor.dim} is promised"
    return vectors


def _run(described: Checkpoint, case: Path) -> object:
    """The graph, as a description promises it that has its digest."""
    replace(described, graph_sha256=sha256(case)).write_config()
    return _embedded(load_extractor(case.parent, threads=1))


def _with_torch(room: Path) -> Checkpoint:
    """A tiny Thin-ResNet, which only torch reads."""
    import torch
    from safetensors.torch import save_file

    from synthprint.backbones.thin_resnet import ThinResNet
    from synthprint.extractor.recipe import BackboneChoice

    torch.set_num_threads(1)
    torch.manual_seed(1)
    own: dict[str, Any] = {"widths": [2, 2, 2, 4], "blocks": [1, 1, 1, 1], "stem_stride": [2, 2]}
    described = belongings.checkpoint(room)
    described = replace(
        described, recipe=replace(described.recipe, backbone=BackboneChoice("thin_resnet", belongings.DIM, own))
    )
    save_file(ThinResNet(belongings.DIM, **own).state_dict(), room / WEIGHTS)
    return described


def _weigh(described: Checkpoint, case: Path) -> object:
    replace(described, digest=sha256(case)).write_config()
    load_backbone(Checkpoint.load(case.parent))
    return None


DOORS = (
    Door("checkpoint.config", CONFIG, _load, lambda described: [belongings.config(described.folder)],
         (structured(JSON), structured(JSON), raw), _described, names_folder=True),
    Door("checkpoint.graph", GRAPH, _run, lambda _: belongings.seeds(*(f"{name}.onnx" for name in GRAPHS)),
         (protobuf, protobuf, protobuf, raw), _described, names_folder=True, weight=2.0),
    Door("checkpoint.weights", WEIGHTS, _weigh, lambda described: [described.weights.read_bytes()],
         (safetensors, safetensors, raw), _with_torch, names_folder=True),
)  # fmt: skip
