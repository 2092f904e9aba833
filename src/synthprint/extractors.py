"""What embeds windows: a checkpoint's ONNX graph on a CPU, or its torch module on another device.

On a CPU the graph runs without torch and one window at a time, so that a result cannot depend on what else is in a
batch. On another device the torch module runs, in batches.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synthprint.checkpoint import Checkpoint
from synthprint.errors import CheckpointError, MissingDependency
from synthprint.vectors import unit

if TYPE_CHECKING:
    from torch import nn

TORCH_BATCH = 64  # windows


class Extractor(Protocol):
    """What embeds windows.

    Attributes:
        digest: of the checkpoint's weights.
        window_samples: length T of a window at 16 kHz.
        dim: size D of an embedding.
    """

    digest: str
    window_samples: int
    dim: int

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """W windows [T] float32 -> [W, D] float32, L2-normalised."""
        ...


class OnnxExtractor:
    """Runs a checkpoint's ONNX graph on the CPU, `threads` windows at a time."""

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = 1  # the windows are spread over the threads instead
        options.log_severity_level = 3
        self.digest, self.window_samples, self.dim = checkpoint.digest, checkpoint.window_samples, checkpoint.dim
        self._session = InferenceSession(str(checkpoint.graph), options, providers=["CPUExecutionProvider"])
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        return unit(np.concatenate(list(self._pool.map(self._embed_one, windows))))

    def _embed_one(self, window: np.ndarray) -> Any:
        return self._session.run(None, {"waveform": window[None]})[0]


class TorchExtractor:
    """Runs a torch backbone on any device, in full float32 and in batches of one size, the last one filled up.

    So the same arithmetic is done for a window whatever stands beside it, and close to what the ONNX graph does.
    """

    def __init__(self, backbone: nn.Module, window_samples: int, dim: int, digest: str, device: str = "cpu") -> None:
        self.digest, self.window_samples, self.dim = digest, window_samples, dim
        self._backbone = backbone.to(device).eval()
        self._device = device

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: str) -> TorchExtractor:
        """The checkpoint's weights in the backbone that its recipe names."""
        return cls(load_backbone(checkpoint), checkpoint.window_samples, checkpoint.dim, checkpoint.digest, device)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        import torch

        vectors = []
        filled = [*windows, *[windows[-1]] * (-len(windows) % TORCH_BATCH)]
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True, benchmark=False),
        ):
            for start in range(0, len(filled), TORCH_BATCH):
                batch = torch.from_numpy(np.stack(filled[start : start + TORCH_BATCH]))
                vectors.append(self._backbone(batch.to(self._device)).float().cpu().numpy())
        return unit(np.concatenate(vectors)[: len(windows)])


def load_backbone(checkpoint: Checkpoint) -> nn.Module:
    """The trained torch module of a checkpoint.

    Raises:
        MissingDependency: torch is not installed.
        CheckpointError: the weights do not fit the backbone that the recipe names.
    """
    from synthprint.shelves import find

    choice = checkpoint.recipe.backbone
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise MissingDependency.extra("torch", "train") from None
    backbone = find("backbones", choice.name)(dim=choice.dim, **choice.own)
    try:
        backbone.load_state_dict(load_file(checkpoint.weights))
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.folder}: its weights do not fit {choice.name!r}: {error}") from error
    return backbone


def load_extractor(folder: str | Path, device: str = "cpu", threads: int | None = None) -> Extractor:
    """The extractor of a checkpoint folder or a training run.

    Args:
        folder: where the checkpoint lies.
        device: "cpu" runs the ONNX graph; anything else is a torch device.
        threads: of the ONNX graph; default: all cores.

    Raises:
        CheckpointError: it is missing, damaged or of another version.
    """
    checkpoint = Checkpoint.load(folder)
    return OnnxExtractor(checkpoint, threads) if device == "cpu" else TorchExtractor.load(checkpoint, device)
