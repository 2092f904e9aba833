"""A torch backbone -> the files of a checkpoint: weights, ONNX graph, description.

The graph takes waveforms [B, window] and gives embeddings [B, D], the front-end included, so that nothing
right of it needs torch. When it is written it is run against the torch module on the same waveforms; the
largest difference is recorded as the checkpoint's parity.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from synthprint import __version__, files
from synthprint.errors import CheckpointError, MissingDependency
from synthprint.extractor.checkpoint import GRAPH, WEIGHTS, Checkpoint
from synthprint.extractor.recipe import Recipe
from synthprint.reading import doors
from synthprint.sound.audio import SAMPLE_RATE

OPSET = 18
INPUT, OUTPUT = "waveform", "embedding"
PARITY_TOLERANCE = 1e-4  # on L2-normalised embeddings; seen: 1e-6 or less
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
        CheckpointError: the graph's embeddings differ from the module's by more than PARITY_TOLERANCE.
        OutputError: the folder cannot be written.
    """
    recipe = self_contained(backbone, recipe)
    backbone = backbone.to("cpu").eval()
    state = stored_state(backbone, recipe)
    backbone.load_state_dict(state)
    with files.together(folder) as place:
        files.write_tensors(place / WEIGHTS, state)
        with files.atomic(place / GRAPH) as temporary:
            write_graph(backbone, recipe.crop.samples, temporary, recipe.weights.precision == "half")
            parity = measure_parity(backbone, temporary, recipe.crop.samples)
        if not parity <= PARITY_TOLERANCE:
            raise CheckpointError(f"{folder}: the ONNX graph differs from the torch module by {parity:.1e}; not usable")
        digest, graph_sha256 = doors.sha256(place / WEIGHTS), doors.sha256(place / GRAPH)
        checkpoint = Checkpoint(place, recipe, sources, digest, graph_sha256, parity, results or {}, __version__)
        checkpoint.write_config()
    return replace(checkpoint, folder=folder)


def stored_state(backbone: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """The weights as a checkpoint has them; with half precision, its large tensors are rounded to that."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    if recipe.weights.precision == "half":
        large = [name for name, tensor in state.items() if tensor.is_floating_point() and tensor.numel() >= LARGE]
        state |= {name: state[name].half() for name in large}
    return state


def self_contained(backbone: nn.Module, recipe: Recipe) -> Recipe:
    """`recipe` with the options by which `backbone` is built again without any other file (see `shelves.Backbone`)."""
    choice = recipe.backbone
    return replace(recipe, backbone=replace(choice, options={**choice.options, **getattr(backbone, "rebuild", {})}))


def write_graph(backbone: nn.Module, window_samples: int, path: Path, half: bool = False) -> None:
    """Export to ONNX with a free batch size and a fixed window length.

    Args:
        half: the weights are rounded to half precision, and are to be stored so. The exporter's optimiser would merge
            some with others first, and then they are no longer.
    """
    try:
        from synthprint.layers import onnx_stft
    except ImportError:
        raise MissingDependency.extra("onnxscript", "train") from None
    example = _waveforms(2, window_samples)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            backbone, (example,), input_names=[INPUT], dynamo=True, opset_version=OPSET, verbose=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), optimize=not half,
            custom_translation_table={torch.ops.aten.stft.default: onnx_stft.stft},
        )  # fmt: skip
        assert program is not None  # it is with dynamo
        graph = program.model.graph
        for value in (value for node in graph for value in node.outputs):
            if value.name == OUTPUT:  # an inner value of that name: an nn.Embedding's, for one
                value.name = f"{OUTPUT}_within"
        graph.outputs[0].name = OUTPUT
        for part in (program.model, graph, *graph, *(value for node in graph for value in node.outputs)):
            part.metadata_props.clear()  # stack traces, with the paths of the machine that trained
        if half:
            _halve(graph)
        program.save(path, external_data=False)


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


def measure_parity(backbone: nn.Module, graph: Path, window_samples: int) -> float:
    """Largest difference between the module's and the graph's embeddings of the same waveforms, made comparable."""
    from onnxruntime import InferenceSession

    waveforms = _waveforms(PARITY_BATCH, window_samples)
    with torch.inference_mode():
        expected = backbone(waveforms).numpy()
    (actual,) = InferenceSession(str(graph), providers=["CPUExecutionProvider"]).run(None, {INPUT: waveforms.numpy()})
    return float(np.abs(_comparable(actual) - _comparable(expected)).max())


def _comparable(vectors: np.ndarray) -> np.ndarray:
    """Embeddings [B, D] of length one; scores [B, 1] over their range, 10 either way, outside of which none matters."""
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
