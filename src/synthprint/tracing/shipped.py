"""The model and the gallery that come with synthprint, and how a path or "default" is resolved."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from synthprint.checkpoint import CONFIG
from synthprint.errors import CheckpointError, GalleryError
from synthprint.tracing.gallery_files import INDEX

DEFAULT = "default"


def model_folder(model: str | Path | None = None) -> Path:
    """The checkpoint that is meant: a path, or for None and "default" the one that comes with synthprint.

    Raises:
        CheckpointError: none came with synthprint.
    """
    if model is not None and str(model) != DEFAULT:
        return Path(model)
    folder = _folder()
    if not (folder / CONFIG).exists():
        raise CheckpointError(f"{folder}: this installation has no model of its own; name a checkpoint with --model")
    return folder


def gallery_folder(gallery: str | Path | None = None) -> Path:
    """The gallery that is meant: a path, or for None and "default" the one that comes with synthprint.

    Raises:
        GalleryError: none came with synthprint.
    """
    if gallery is not None and str(gallery) != DEFAULT:
        return Path(gallery)
    folder = _folder() / "gallery"
    if not (folder / INDEX).exists():
        raise GalleryError(f"{folder}: this installation has no gallery of its own; name one, or make one by enrolling")
    return folder


def own_gallery_folder(gallery: str | Path) -> Path:
    """A gallery that may be changed: not the one that comes with synthprint.

    Raises:
        GalleryError: it is that one.
    """
    if str(gallery) == DEFAULT or Path(gallery).resolve() == (_folder() / "gallery").resolve():
        raise GalleryError(
            "the gallery that comes with synthprint is not changed; start your own as a copy of it: "
            "synthprint enrol MY_GALLERY SOURCE CLIPS --from default"
        )
    return Path(gallery)


def _folder() -> Path:
    return Path(str(resources.files("synthprint"))) / "models" / DEFAULT
