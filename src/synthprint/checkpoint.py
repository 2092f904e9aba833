"""A trained extractor as a folder that needs no other file: weights, ONNX graph, description.

FOLDER/model.safetensors   the backbone's weights
FOLDER/model.onnx          waveform [B, window] -> embedding [B, D], front-end included
FOLDER/config.json         recipe, sources, digests, parity, development results
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.errors import CheckpointError, RecipeError
from synthprint.recipes import Recipe

FORMAT = "synthprint-checkpoint-1"
WEIGHTS, GRAPH, CONFIG = "model.safetensors", "model.onnx", "config.json"
RUN_STATE = "state.safetensors"  # in a training run's folder, see `runs`
MAX_CONFIG_BYTES = 64 << 20


@dataclass(frozen=True)
class Checkpoint:
    """The description of a trained extractor.

    Attributes:
        folder: where it lies.
        recipe: the resolved recipe that it was trained by.
        sources: the training sources, each with its family ("" where unknown).
        digest: SHA-256 of the weights, hex; it stands in all `Embeddings` that the extractor makes.
        graph_sha256: SHA-256 of the ONNX file.
        parity: largest difference between torch's and ONNX's embeddings when the graph was written.
        results: what was measured on the development data, by name.
        version: of the synthprint that wrote it.
    """

    folder: Path
    recipe: Recipe
    sources: dict[str, str]
    digest: str
    graph_sha256: str
    parity: float
    results: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def window_samples(self) -> int:
        """Length of an extraction window, at 16 kHz."""
        return self.recipe.crop.samples

    @property
    def dim(self) -> int:
        """D, the size of an embedding."""
        return self.recipe.backbone.dim

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.folder / WEIGHTS

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / GRAPH

    def write_config(self) -> None:
        """Write config.json into the folder."""
        config = {"format": FORMAT} | asdict(self) | {"recipe": self.recipe.to_dict()}
        del config["folder"]
        files.write_json(self.folder / CONFIG, config)

    @classmethod
    def load(cls, folder: str | Path) -> Checkpoint:
        """Read the description, and check that weights and graph are the ones it speaks of.

        `folder` may also be a training run: its best checkpoint is taken.

        Raises:
            CheckpointError: something is missing, damaged, altered, or of another version.
        """
        folder = Path(folder)
        if not (folder / CONFIG).exists() and (folder / "best").is_dir():
            folder = folder / "best"
        config = _read_config(folder)
        found = config.pop("format", None)
        if found != FORMAT:
            raise CheckpointError(
                f"{folder}: is of format {found!r}, this version of synthprint reads {FORMAT!r}; "
                "load it with the version that wrote it, or train it again"
            )
        try:
            recipe = Recipe.from_dict(config.pop("recipe"), f"{folder / CONFIG}: recipe")
            checkpoint = cls(folder, recipe, **config)
        except (KeyError, TypeError, ValueError, RecipeError) as error:
            raise CheckpointError(f"{folder / CONFIG}: is not the description of a checkpoint ({error})") from error
        for path, digest in ((checkpoint.weights, checkpoint.digest), (checkpoint.graph, checkpoint.graph_sha256)):
            if not path.exists():
                raise CheckpointError(f"{path}: is missing; a checkpoint is {WEIGHTS}, {GRAPH} and {CONFIG}")
            if files.sha256(path) != digest:
                raise CheckpointError(f"{path}: is not the file that {CONFIG} describes; it is damaged or was replaced")
        return checkpoint


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{path}: is larger than any description; this is no checkpoint")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        unfinished = "; its training has not ended" if (folder / RUN_STATE).exists() else ""
        raise CheckpointError(
            f"{folder}: is no checkpoint: {CONFIG} cannot be read ({error.strerror}){unfinished}"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is not JSON ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("sources", {}), dict):
        raise CheckpointError(f"{path}: is not the description of a checkpoint")
    return config
