"""A trained extractor as a folder that needs no other file: weights, ONNX graph, description.

FOLDER/model.safetensors   the backbone's weights
FOLDER/model.onnx          waveform [B, window] -> embedding [B, D], front-end included
FOLDER/config.json         recipe, sources, digests, parity, development results

The graph of a backbone in two halves also gives the features [B, S] in between. A checkpoint that is a head has a graph
from such features, of another checkpoint, to its embedding.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from synthprint import files
from synthprint.errors import CheckpointError, RecipeError, SynthprintError
from synthprint.extractor.graphs import FEATURES, INPUT, MOST_GRAPH_BYTES, OUTPUT
from synthprint.extractor.recipe import Recipe
from synthprint.reading import doors
from synthprint.reading.schemas import Number, Refused, Sha256, Text, checked, construct, short, table_schema

FORMAT = "synthprint-checkpoint-1"
WEIGHTS, GRAPH, CONFIG = "model.safetensors", "model.onnx", "config.json"
RUN_STATE = "state.safetensors"  # in a training run's folder, see `training.run_folder`
MAX_CONFIG_BYTES = 64 << 20
MAX_MEASURED_BYTES = 4 << 20
MOST_FEATURES = 1 << 16  # of a window
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class FeatureSet:
    """Which features stand between the halves of a backbone.

    Attributes:
        size: S, how many.
        sha256: of what they are for certain waves, as long as a window: other features, other windows have another.
    """

    size: int
    sha256: str


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
        features: those that the graph gives beside the embedding, or as a head's takes; None where it has but one
            output.
        head: whether it is a head: its graph takes features in the place of a waveform.
    """

    folder: Path
    recipe: Recipe
    sources: dict[str, str]
    digest: str
    graph_sha256: str
    parity: float
    results: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    features: FeatureSet | None = None
    head: bool = False

    @property
    def window_samples(self) -> int:
        """Length of an embedding window, at 16 kHz."""
        return self.recipe.crop.samples

    @property
    def dim(self) -> int:
        """D, the size of an embedding."""
        return self.recipe.backbone.dim

    @property
    def inputs(self) -> dict[str, int]:
        """What the graph takes: name -> size."""
        return {FEATURES: self.features.size} if self.features and self.head else {INPUT: self.window_samples}

    @property
    def outputs(self) -> dict[str, int]:
        """What the graph gives: name -> size."""
        further = {FEATURES: self.features.size} if self.features and not self.head else {}
        return {OUTPUT: self.dim, **further}

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
        format_ = config.pop("format", None)
        if format_ != FORMAT:
            raise CheckpointError(
                f"{folder}: is of format {short(format_)}, this version of synthprint reads {FORMAT!r}; "
                "load it with the version that wrote it, or train it again"
            )
        try:
            table = checked(config, _Description)
            if table.head and not table.features:
                raise Refused("a head takes features, and none are named", ("features",))
            recipe = Recipe.from_dict(table.recipe, f"{folder / CONFIG}: recipe")
        except (Refused, RecipeError) as error:
            raise CheckpointError(f"{folder / CONFIG}: is not the description of a checkpoint ({error})") from error
        features = construct(FeatureSet, table.features) if table.features else None
        checkpoint = construct(cls, table, folder=folder, recipe=recipe, features=features)
        checkpoint._check_file(checkpoint.weights, checkpoint.digest, doors.sha256)
        checkpoint._check_file(checkpoint.graph, checkpoint.graph_sha256, doors.sha256)
        return checkpoint

    def read_graph(self) -> bytes:
        """The bytes of the graph: those that the description speaks of, whatever lies in their place a moment later.

        Raises:
            CheckpointError: it is missing, larger than any graph, or another one.
        """
        read: list[bytes] = []

        def digest(path: Path) -> str:
            read.append(doors.read_bytes(path, MOST_GRAPH_BYTES, "graph"))
            return hashlib.sha256(read[0]).hexdigest()

        self._check_file(self.graph, self.graph_sha256, digest)
        return read[0]

    def _check_file(self, path: Path, expected: str, digest: Callable[[Path], str]) -> None:
        try:
            with doors.ending_in(CheckpointError, path):
                actual = digest(path)
        except CheckpointError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                why = f"is missing; a checkpoint is {WEIGHTS}, {GRAPH} and {CONFIG}"
                raise CheckpointError(f"{path}: {why}") from error
            raise
        if actual != expected:
            raise CheckpointError(f"{path}: is not the file that {CONFIG} describes; it is damaged or was replaced")


_FEATURES = table_schema(FeatureSet, size=Annotated[int, Meta(ge=1, le=MOST_FEATURES)], sha256=Sha256)


class _Description(msgspec.Struct, forbid_unknown_fields=True):
    """config.json, without its format."""

    recipe: dict[str, Any]
    sources: dict[str, Text]
    digest: Sha256
    graph_sha256: Sha256
    parity: Number
    results: dict[str, Any] = {}
    version: Text = ""
    features: _FEATURES | None = None  # type: ignore[valid-type]
    head: bool = False


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        doors.check_link(path)
        return doors.read_json(path, dict[str, Any], MAX_CONFIG_BYTES, "description")
    except OSError as error:
        unfinished = "; its training has not ended" if (folder / RUN_STATE).exists() else ""
        raise CheckpointError(
            f"{folder}: is no checkpoint: {CONFIG} cannot be read ({error.strerror}){unfinished}"
        ) from error
    except Refused as error:
        what = "" if error.reason.startswith("is ") else "is not the description of a checkpoint: "
        raise CheckpointError(f"{path}: {what}{error}; this is no checkpoint") from error


def measured_for(
    folder: Path,
    name: str,
    extractor: str,
    schema: type[Any],
    make: Callable[[Any], Measured],
    remedy: str,
    command: str | None = None,
) -> Measured | None:
    """Read what was measured of an extractor: a JSON file in its checkpoint's folder, which names it by its digest.

    Args:
        folder: of the checkpoint.
        name: of the file in it, which need not exist.
        extractor: digest of the extractor that is in use.
        schema: the form of the file's table, which has a text `extractor`.
        make: table -> the result; it may raise `SynthprintError` or `Refused`.
        remedy, command: what to do about a damaged file, and which command does it, for the error.

    Returns:
        What `make` gives; None where there is no such file, or it is of another extractor.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / name
    if not os.path.lexists(path):
        return None
    with doors.ending_in(CheckpointError, path, remedy, command):
        table = doors.read_json(path, schema, MAX_MEASURED_BYTES)
    try:
        measured = make(table)
    except (SynthprintError, Refused) as error:
        raise CheckpointError(f"{path}: {error}; {remedy}", command=command) from error
    return measured if table.extractor == extractor else None
