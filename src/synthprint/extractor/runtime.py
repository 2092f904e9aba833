"""What embeds windows: a checkpoint's ONNX graph on a CPU, or its torch module on another device.

On a CPU the graph runs without torch and one window at a time, so that a result cannot depend on what else is in a
batch. On another device the torch module runs, in batches. A head runs on the features that another extractor gives
beside its embeddings: its graph, on the CPU, for it is small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from synthprint.background import processors
from synthprint.errors import CheckpointError, MissingDependency, RecipeError, ShelfError
from synthprint.extractor.checkpoint import Checkpoint, FeatureSet
from synthprint.reading import doors
from synthprint.reading.tensors import check_tensors
from synthprint.vectors.directions import scaled

if TYPE_CHECKING:
    from torch import Tensor, nn

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


@runtime_checkable
class FeaturedExtractor(Extractor, Protocol):
    """An extractor that also gives the features that its embeddings are made of.

    Attributes:
        features: which; None where it gives none.
    """

    features: FeatureSet | None

    def embed_with_features(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """As `embed_windows`, and the features [W, S] float32 of the windows; only where it gives any."""
        ...


class _Graph:
    """A checkpoint's graph, run on `threads` rows at a time."""

    def __init__(self, checkpoint: Checkpoint, threads: int | None) -> None:
        from synthprint.extractor.graph_session import GraphSession

        threads = threads or processors()
        self._path = checkpoint.graph
        with doors.ending_in(CheckpointError, self._path, DISTRUST):
            self._session = GraphSession(checkpoint.read_graph(), checkpoint.inputs, checkpoint.outputs, threads)
        self._pool = ThreadPoolExecutor(threads)

    def run(self, rows: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
        """Of W rows each output, [W, size].

        Raises:
            CheckpointError: the graph fails on a row, or takes more memory or time than it may.
        """
        from synthprint.extractor.graph_session import RUN_S, run_options, time_limit

        options = run_options()
        with doors.ending_in(CheckpointError, self._path, DISTRUST), time_limit(options, RUN_S * len(rows)):
            given = list(self._pool.map(lambda row: self._session.run(row, options), rows))
        return [np.concatenate(values) for values in zip(*given, strict=True)]


class OnnxExtractor:
    """Runs a checkpoint's ONNX graph on the CPU, `threads` windows at a time; see `FeaturedExtractor`."""

    def __init__(self, checkpoint: Checkpoint, threads: int | None = None) -> None:
        self.digest, self.window_samples, self.dim = checkpoint.digest, checkpoint.window_samples, checkpoint.dim
        self.features = checkpoint.features
        self._graph = _Graph(checkpoint, threads)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`.

        Raises:
            CheckpointError: the graph fails on a window, or takes more memory or time than it may.
        """
        return scaled(self._graph.run(windows)[0])

    def embed_with_features(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `FeaturedExtractor`; raises as `embed_windows` does."""
        vectors, features = self._graph.run(windows)
        return scaled(vectors), features


class TorchExtractor:
    """Runs a torch backbone on any device, in full float32 and in batches of one size, the last one filled up.

    So the same arithmetic is done for a window whatever stands beside it, and close to what the ONNX graph does.
    """

    def __init__(
        self,
        backbone: nn.Module,
        window_samples: int,
        dim: int,
        digest: str,
        device: str = "cpu",
        features: FeatureSet | None = None,
    ) -> None:
        self.digest, self.window_samples, self.dim = digest, window_samples, dim
        self.features = features
        self._backbone = backbone.to(device).eval()
        self._device = device

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: str) -> TorchExtractor:
        """The checkpoint's weights in the backbone that its recipe names."""
        backbone = load_backbone(checkpoint)
        features = checkpoint.features if hasattr(backbone, "features") and hasattr(backbone, "head") else None
        return cls(backbone, checkpoint.window_samples, checkpoint.dim, checkpoint.digest, device, features)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        return scaled(self._batched(lambda batch: (self._backbone(batch),), windows)[0])

    def embed_with_features(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `FeaturedExtractor`."""
        backbone = cast(Any, self._backbone)

        def halves(batch: Tensor) -> tuple[Tensor, Tensor]:
            features = backbone.features(batch)
            return backbone.head(features), features

        vectors, features = self._batched(halves, windows)
        return scaled(vectors), features

    def _batched(
        self, module: Callable[[Tensor], tuple[Tensor, ...]], windows: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """What `module` gives for windows [W, T], each [W, size]."""
        import torch

        given = []
        filled = [*windows, *[windows[-1]] * (-len(windows) % TORCH_BATCH)]
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True, benchmark=False),
        ):
            for start in range(0, len(filled), TORCH_BATCH):
                batch = torch.from_numpy(np.stack(filled[start : start + TORCH_BATCH]))
                given.append([values.float().cpu().numpy() for values in module(batch.to(self._device))])
        return [np.concatenate(values)[: len(windows)] for values in zip(*given, strict=True)]


class HeadExtractor:
    """An extractor that is a head on the features of another one.

    Args:
        checkpoint: of the head.
        base: what gives the features.
        threads: that run the head.

    Attributes:
        base: the same.
        digest, window_samples, dim: see `Extractor`.

    Raises:
        CheckpointError: the features of `base` are not those that the head was trained on.
    """

    def __init__(self, checkpoint: Checkpoint, base: Extractor, threads: int | None = None) -> None:
        if not isinstance(base, FeaturedExtractor) or not base.features or base.features != checkpoint.features:
            why = "is a head on features that this extractor does not give; take the extractor that it was stored with"
            raise CheckpointError(f"{checkpoint.folder}: {why}")
        self.base, self.window_samples = base, base.window_samples
        self.digest, self.dim = checkpoint.digest, checkpoint.dim
        self._graph = _Graph(checkpoint, threads)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        return self.embed_beside(windows)[1]

    def embed_beside(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings of W windows [T] by `base`, and those by the head on the same features.

        Raises:
            CheckpointError: the graph fails on a window, or takes more memory or time than it may.
        """
        vectors, features = self.base.embed_with_features(windows)
        return vectors, scaled(self._graph.run(features)[0])


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
        CheckpointError: it is missing, damaged or of another version, or a head, which embeds nothing by itself.
    """
    checkpoint = Checkpoint.load(folder)
    if checkpoint.head:
        raise CheckpointError(f"{folder}: is a head on the features of another extractor, and embeds nothing by itself")
    return OnnxExtractor(checkpoint, threads) if device == "cpu" else TorchExtractor.load(checkpoint, device)
