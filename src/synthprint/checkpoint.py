"""A trained extractor as a folder that needs no other file: weights, ONNX graph, description.

FOLDER/model.safetensors   the backbone's weights
FOLDER/model.onnx          waveform [B, window] -> embedding [B, D], front-end included
FOLDER/config.json         recipe, sources, digests, parity, development results
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from synthprint import files
from synthprint.errors import CheckpointError, RecipeError, SynthprintError
from synthprint.recipes import Recipe

FORMAT = "synthprint-checkpoint-1"
WEIGHTS, GRAPH, CONFIG = "model.safetensors", "model.onnx", "config.json"
RUN_STATE = "state.safetensors"  # in a training run's folder, see `runs`
MAX_CONFIG_BYTES = 64 << 20
MAX_MEASURED_BYTES = 4 << 20
Measured = TypeVar("Measured")


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


def measured_for(
    folder: Path, name: str, extractor: str, read: Callable[[Mapping[str, Any]], Measured], remedy: str
) -> Measured | None:
    """What was measured of an extractor and lies as JSON in its checkpoint's folder, beside the digest it is of.

    Args:
        folder, name: the file, which need not be there.
        extractor: digest of the extractor that is in use.
        read: makes what is wanted of the file's table, or raises.
        remedy: what to do about a damaged file.

    Returns:
        None, where there is no such file, or it is of another extractor.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_MEASURED_BYTES:
            raise CheckpointError("is larger than any such file")
        table = json.loads(path.read_text(encoding="utf-8"))
        found, of = read(table), table["extractor"]
    except (OSError, SynthprintError) as error:
        raise CheckpointError(f"{path}: {error}; {remedy}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not what it should be ({error}); {remedy}") from error
    return found if of == extractor else None
