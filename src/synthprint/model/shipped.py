"""The model that comes with synthprint, and how a path or "default" is resolved."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import CONFIG

DEFAULT = "default"


def model_folder(model: str | Path | None = None) -> Path:
    """The checkpoint that is meant: a path, or for None and "default" the one that comes with synthprint.

    Raises:
        CheckpointError: none came with synthprint.
    """
    if model is not None and str(model) != DEFAULT:
        return Path(model)
    folder = shipped_folder()
    if not (folder / CONFIG).exists():
        raise CheckpointError(
            f"{folder}: this installation has no model of its own; name a checkpoint", parameter="model"
        )
    return folder


def shipped_folder() -> Path:
    """Where the model that comes with synthprint lies, with its gallery in it."""
    return Path(str(resources.files("synthprint"))) / "models" / DEFAULT
