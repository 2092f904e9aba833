"""A checkpoint: its description, its graph and its weights, each with digests that fit."""

from __future__ import annotations

from collections.abc import Sequence
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
from synthprint.extractor.checkpoint import CONFIG, GRAPH, WEIGHTS, Checkpoint, FeatureSet
from synthprint.extractor.runtime import Extractor, FeaturedExtractor, HeadExtractor, load_backbone, load_extractor
from synthprint.reading.doors import sha256

GRAPHS = ("sound", "other_input", "other_size", "other_window", "double", "custom", "not_a_number", "large", "external")
FEATURES = {"features": belongings.DIM, "head": belongings.WINDOW_SAMPLES}  # seed -> how many it gives, or takes


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


def _featured(room: Path) -> Checkpoint:
    """As above, and its graph gives features too."""
    return replace(belongings.checkpoint(room), features=FeatureSet(FEATURES["features"], "f" * 64))


def _run_featured(described: Checkpoint, case: Path) -> object:
    """The graph of such a checkpoint: features have the promised size too."""
    replace(described, graph_sha256=sha256(case)).write_config()
    extractor = load_extractor(case.parent, threads=1)
    assert isinstance(extractor, FeaturedExtractor)
    wave = np.random.default_rng(1).uniform(-1, 1, extractor.window_samples).astype(np.float32)
    vectors, features = extractor.embed_with_features([wave])
    assert (vectors.shape, features.shape) == ((1, extractor.dim), (1, FEATURES["features"]))
    return vectors


class _Base(belongings.Embedder):
    """What a head stands on: it gives features."""

    def __init__(self, features: FeatureSet) -> None:
        super().__init__("b" * 64)
        self.features = features

    def embed_with_features(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The windows themselves."""
        return self.embed_windows(windows), np.stack(windows)


def _head(room: Path) -> Checkpoint:
    described = belongings.checkpoint(room, belongings.seeds("head.onnx")[0])
    return replace(described, features=FeatureSet(FEATURES["head"], "f" * 64), head=True)


def _run_head(described: Checkpoint, case: Path) -> object:
    """The graph of a head, on the features of an extractor."""
    replace(described, graph_sha256=sha256(case)).write_config()
    loaded = Checkpoint.load(case.parent)
    assert loaded.features
    return _embedded(HeadExtractor(loaded, _Base(loaded.features), 1))


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
    Door("checkpoint.features", GRAPH, _run_featured, lambda _: belongings.seeds("features.onnx", "sound.onnx"),
         (protobuf, protobuf, protobuf, raw), _featured, names_folder=True),
    Door("checkpoint.head", GRAPH, _run_head, lambda _: belongings.seeds("head.onnx", "sound.onnx"),
         (protobuf, protobuf, protobuf, raw), _head, names_folder=True),
    Door("checkpoint.weights", WEIGHTS, _weigh, lambda described: [described.weights.read_bytes()],
         (safetensors, safetensors, raw), _with_torch, names_folder=True),
)  # fmt: skip
