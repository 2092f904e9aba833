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
    state = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    with files.together(folder) as place:
        files.write_tensors(place / WEIGHTS, state)
        with files.atomic(place / GRAPH) as temporary:
            write_graph(backbone, recipe.crop.samples, temporary)
            parity = measure_parity(backbone, temporary, recipe.crop.samples)
        if not parity <= PARITY_TOLERANCE:
            raise CheckpointError(f"{folder}: the ONNX graph differs from the torch module by {parity:.1e}; not usable")
        digest, graph_sha256 = doors.sha256(place / WEIGHTS), doors.sha256(place / GRAPH)
        checkpoint = Checkpoint(place, recipe, sources, digest, graph_sha256, parity, results or {}, __version__)
        checkpoint.write_config()
    return replace(checkpoint, folder=folder)


def self_contained(backbone: nn.Module, recipe: Recipe) -> Recipe:
    """`recipe` with the options by which `backbone` is built again without any other file (see `shelves.Backbone`)."""
    choice = recipe.backbone
    return replace(recipe, backbone=replace(choice, options={**choice.options, **getattr(backbone, "rebuild", {})}))


def write_graph(backbone: nn.Module, window_samples: int, path: Path) -> None:
    """Export to ONNX with a free batch size and a fixed window length."""
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
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
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
        program.save(path, external_data=False)


def measure_parity(backbone: nn.Module, graph: Path, window_samples: int) -> float:
    """Largest difference between the module's and the graph's L2-normalised embeddings of the same waveforms."""
    from onnxruntime import InferenceSession

    waveforms = _waveforms(PARITY_BATCH, window_samples)
    with torch.inference_mode():
        expected = backbone(waveforms).numpy()
    (actual,) = InferenceSession(str(graph), providers=["CPUExecutionProvider"]).run(None, {INPUT: waveforms.numpy()})
    return float(np.abs(_unit(actual) - _unit(expected)).max())


def _unit(vectors: np.ndarray) -> np.ndarray:
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
