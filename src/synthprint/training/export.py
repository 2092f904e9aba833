"""A torch backbone -> the files of a checkpoint: weights, ONNX graph, description.

The graph takes waveforms [B, window] and gives embeddings [B, D], the front-end included, so that nothing
right of it needs torch. That of a backbone in two halves also gives the features [B, S] between them, for other heads
than its own. When it is written it is run against the torch module on the same waveforms; the largest difference is
recorded as the checkpoint's parity.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthprint import __version__, files
from synthprint.errors import CheckpointError, MissingDependency
from synthprint.extractor.checkpoint import GRAPH, MOST_FEATURES, WEIGHTS, Checkpoint, FeatureSet
from synthprint.extractor.graphs import INPUT, OUTPUT
from synthprint.extractor.recipe import Recipe
from synthprint.extractor.runtime import load_backbone
from synthprint.reading import doors
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.training.modules import NETWORK
from synthprint.training.twins import Featured, featured

OPSET = 18
PARITY_TOLERANCE = 1e-4  # on L2-normalised embeddings and features; seen: 1e-6 or less
PARITY_BATCH = 4
LARGE = 4096  # numbers in a tensor: what half precision is worth the trouble for
MOST_SCORE = 10.0  # log odds of 22,000 to 1


def write_checkpoint(
    backbone: nn.Module, recipe: Recipe, sources: dict[str, str], folder: Path, results: dict[str, Any] | None = None
) -> Checkpoint:
    """Write the checkpoint of a trained backbone into `folder`.

    A new checkpoint appears whole. In a folder that exists the description is put last: until then it is not taken for
    a checkpoint of these weights.

    Args:
        backbone: waveform [B, T] -> embedding [B, D]; it is moved to the CPU and put into evaluation mode.
        recipe: the resolved recipe it was trained by; it is stored with the backbone's own `rebuild`, if it has one.
        sources: training source -> family.
        results: development results to record.

    Raises:
        CheckpointError: what the graph gives differs from what the module gives by more than PARITY_TOLERANCE.
        OutputError: the folder cannot be written.
    """
    recipe = self_contained(backbone, recipe)
    backbone = backbone.to("cpu").eval()
    state = stored_state(backbone, recipe)
    backbone.load_state_dict(state)
    waveforms = _waveforms(PARITY_BATCH, recipe.crop.samples)
    features = feature_set(backbone, waveforms)
    with files.together(folder) as place:
        files.write_tensors(place / WEIGHTS, state)
        described = Checkpoint(folder, recipe, sources, "", "", 0.0, results or {}, __version__, features)
        return _with_graph(described, place, _Halves(featured(backbone)) if features else backbone, waveforms)


def write_head(trained: Checkpoint, features: FeatureSet, folder: Path) -> Checkpoint:
    """Write the head of a trained backbone as a checkpoint that takes the features of another extractor.

    Args:
        trained: the checkpoint of a backbone in two halves. Its weights are copied, but for those of a trained network:
            what that gives is among the features.
        features: those of the extractor; they are the backbone's own.
        folder: that of `trained`, or another.

    Raises:
        MissingDependency: torch is not installed.
        CheckpointError: the weights of `trained` are damaged, or the graph is not what the module is.
        OutputError: the folder cannot be written.
    """
    halves = featured(load_backbone(trained).eval(), "features")
    with torch.inference_mode():
        rows = halves.features(_waveforms(PARITY_BATCH, trained.window_samples))
    with files.together(folder) as place:
        own = {name: value for name, value in load_file(trained.weights).items() if not name.startswith(f"{NETWORK}.")}
        files.write_tensors(place / WEIGHTS, own)
        described = replace(trained, folder=folder, features=features, head=True)
        return _with_graph(described, place, _Head(halves), rows.clone())


def _with_graph(described: Checkpoint, place: Path, module: nn.Module, example: torch.Tensor) -> Checkpoint:
    """Write a module's graph into `place`, where the weights lie already, and the description, with digests and parity.

    Args:
        example: rows that the module takes.
    """
    with files.atomic(place / GRAPH) as temporary:
        half = described.recipe.weights.precision == "half"
        write_graph(module, example, temporary, list(described.inputs), list(described.outputs), half)
        parity = measure_parity(module, temporary, example)
    if not parity <= PARITY_TOLERANCE:
        why = f"the ONNX graph differs from the torch module by {parity:.1e}; not usable"
        raise CheckpointError(f"{described.folder}: {why}")
    digest, graph_sha256 = doors.sha256(place / WEIGHTS), doors.sha256(place / GRAPH)
    checkpoint = replace(described, digest=digest, graph_sha256=graph_sha256, parity=parity)
    replace(checkpoint, folder=place).write_config()
    return checkpoint


def feature_set(backbone: nn.Module, waveforms: torch.Tensor) -> FeatureSet | None:
    """Which features stand between the halves of a backbone; None where it has no halves, or a graph cannot give them.

    Args:
        waveforms: [B, window]; what they give tells the features from others.
    """
    if not hasattr(backbone, "features") or not hasattr(backbone, "head"):
        return None
    with torch.inference_mode():
        rows = featured(backbone).features(waveforms)
    if rows.dtype != torch.float32 or rows.ndim != 2 or rows.shape[1] > MOST_FEATURES:
        return None
    return FeatureSet(rows.shape[1], hashlib.sha256(rows.numpy().tobytes()).hexdigest())


class _Halves(nn.Module):
    """A backbone that gives its features [B, S] beside the embedding [B, D]."""

    def __init__(self, backbone: Featured) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.backbone.features(waveform)
        return self.backbone.head(features), features


class _Head(nn.Module):
    """Of a backbone the head alone: features [B, S] -> embedding [B, D]."""

    def __init__(self, backbone: Featured) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.backbone.head(features)


def stored_state(backbone: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The weights as a checkpoint has them; with half precision, its large tensors are rounded to that."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    if recipe.weights.precision == "half":
        large = [name for name, tensor in state.items() if tensor.is_floating_point() and tensor.numel() >= LARGE]
        state |= {name: state[name].half() for name in large}
    return state


def self_contained(backbone: nn.Module, recipe: Recipe) -> Recipe:
    """`recipe` with the options by which `backbone` is built again without any other file (see `shelves.Backbone`), and
    the digest of the weights that it started from."""
    choice, start = recipe.backbone, recipe.weights.start
    return replace(
        recipe,
        backbone=replace(choice, options={**choice.options, **getattr(backbone, "rebuild", {})}),
        weights=replace(recipe.weights, start=Checkpoint.load(start).digest if start else ""),
    )


def write_graph(
    module: nn.Module,
    example: torch.Tensor,
    path: Path,
    inputs: Sequence[str] = (INPUT,),
    outputs: Sequence[str] = (OUTPUT,),
    half: bool = False,
) -> None:
    """Export to ONNX with a free batch size and rows of a fixed length.

    Args:
        example: rows that the module takes, two or more.
        inputs, outputs: what the graph is to call what the module takes and gives.
        half: the weights are rounded to half precision, and are to be stored so. The exporter's optimiser would merge
            some with others first, and then they are no longer.
    """
    try:
        from synthprint.layers import onnx_stft
    except ImportError:
        raise MissingDependency.extra("onnxscript", "train") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            _folded(module), (example,), input_names=inputs, dynamo=True, opset_version=OPSET, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), optimize=not half,
            custom_translation_table={torch.ops.aten.stft.default: onnx_stft.stft},
        )  # fmt: skip
        assert program is not None  # it is with dynamo
        graph = program.model.graph
        for value in (value for node in graph for value in node.outputs):
            if value.name in outputs:  # an inner value of that name: an nn.Embedding's, for one
                value.name = f"{value.name}_within"
        for value, name in zip(graph.outputs, outputs, strict=True):
            value.name = name
        for part in (program.model, graph, *graph, *(value for node in graph for value in node.outputs)):
            part.metadata_props.clear()  # stack traces, with the paths of the machine that trained
        if half:
            _halve(graph)
        program.save(path, external_data=False)


def _folded(backbone: nn.Module) -> nn.Module:
    """A copy whose convolutions do the work of the batch norms that follow them."""
    backbone = copy.deepcopy(backbone)
    for sequence in (module for module in backbone.modules() if isinstance(module, nn.Sequential)):
        for place, (first, second) in enumerate(pairwise(sequence)):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                sequence[place], sequence[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return backbone


def _halve(graph: Any) -> None:
    """Store the large constants of a graph in half precision where that holds their values, with a cast before use."""
    from onnxscript import ir

    for name, value in list(graph.initializers.items()):
        values = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        stored = ir.Value(name=f"{name}_half", const_value=ir.tensor(half, name=f"{name}_half"))
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT})
        cast.outputs[0].name, cast.outputs[0].dtype, cast.outputs[0].shape = f"{name}_single", value.dtype, value.shape
        value.replace_all_uses_with(cast.outputs[0])
        graph.insert_before(graph[0], cast)
        del graph.initializers[name]
        graph.register_initializer(stored)


def measure_parity(module: nn.Module, graph: Path, rows: torch.Tensor) -> float:
    """Largest difference between what the module and the graph give for the same rows, made comparable."""
    from onnxruntime import InferenceSession

    with torch.inference_mode():
        expected = module(rows)
    session = InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    actual = session.run(None, {session.get_inputs()[0].name: rows.numpy()})
    pairs = zip(actual, expected if isinstance(expected, tuple) else (expected,), strict=True)
    return max(float(np.abs(_comparable(ours) - _comparable(theirs.numpy())).max()) for ours, theirs in pairs)


def _comparable(vectors: np.ndarray) -> np.ndarray:
    """Embeddings or features [B, D] of length one; scores [B, 1] over their range: beyond 10 none matters."""
    if vectors.shape[1] == 1:
        return vectors / MOST_SCORE
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _waveforms(batch: int, samples: int) -> torch.Tensor:
    """Speech-like test signals [batch, samples]: harmonics that come and go, in a little noise."""
    rng = np.random.default_rng(0)
    time_s = np.arange(samples) / SAMPLE_RATE
    pitch_hz = 120.0 + 40.0 * np.arange(batch)[:, None]
    voice = sum(np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 12))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 3.0 * time_s)
    waves = 0.1 * voice * syllables + 0.003 * rng.standard_normal((batch, samples))
    return torch.from_numpy(waves.astype(np.float32))
