"""What embeds windows: a checkpoint's ONNX graph on a CPU, or its torch module on another device.

On a CPU the graph runs without torch and one window at a time, so that a result cannot depend on what else is in a
batch. On another device the torch module runs, in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from synthprint.background import processors
from synthprint.errors import CheckpointError, MissingDependency, RecipeError, ShelfError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.reading import doors
from synthprint.reading.tensors import check_tensors
from synthprint.vectors.directions import scaled

if TYPE_CHECKING:
    from torch import nn

TORCH_BATCH = 64  # windows
DISTRUST = "use a checkpoint that synthprint wrote, from somebody you trust"


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
        """W windows [T] float32 -> [W, D] float32, L2-normalised; where D is 1, scores as they are."""
        ...


class OnnxExtractor:
    """Runs a checkpoint's ONNX graph on the CPU, `threads` windows at a time."""

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None) -> None:
        from synthprint.extractor.graph_session import GraphSession

        threads = threads or processors()
        self.digest, self.window_samples, self.dim = checkpoint.digest, checkpoint.window_samples, checkpoint.dim
        self._path = checkpoint.graph
        with doors.ending_in(CheckpointError, self._path, DISTRUST):
            self._session = GraphSession(checkpoint.read_graph(), self.window_samples, self.dim, threads)
        self._pool = ThreadPoolExecutor(threads)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`.

        Raises:
            CheckpointError: the graph fails on a window, or takes more memory or time than it may.
        """
        from synthprint.extractor.graph_session import RUN_S, run_options, time_limit

        options = run_options()
        with doors.ending_in(CheckpointError, self._path, DISTRUST), time_limit(options, RUN_S * len(windows)):
            return scaled(np.concatenate(list(self._pool.map(lambda w: self._session.run(w, options), windows))))


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
        return scaled(np.concatenate(vectors)[: len(windows)])


def load_backbone(checkpoint: Checkpoint) -> nn.Module:
    """The trained torch module of a checkpoint.

    Raises:
        MissingDependency: torch is not installed.
        CheckpointError: the weights do not fit the backbone that the recipe names.
    """
    from synthprint import shelves

    choice = checkpoint.recipe.backbone
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from torch import nn
    except ImportError:
        raise MissingDependency.extra("torch", "train") from None
    with doors.ending_in(CheckpointError, checkpoint.weights, DISTRUST):
        check_tensors(checkpoint.weights)
    try:
        backbone = shelves.build("backbones", choice.name, choice.options, nn.Module, dim=choice.dim)
        backbone.load_state_dict(load_file(checkpoint.weights))
    except (RecipeError, ShelfError, SafetensorError, RuntimeError, MemoryError, OSError, ValueError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"{checkpoint.folder}: its weights do not fit {choice.name!r}: {why}") from error
    assert isinstance(backbone, nn.Module)
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
