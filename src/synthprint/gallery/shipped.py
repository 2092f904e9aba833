"""The gallery that comes with synthprint, and how a path or "default" is resolved."""

from __future__ import annotations

from pathlib import Path

from synthprint.errors import GalleryError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import INDEX
from synthprint.model import shipped


def gallery_folder(gallery: str | Path | None = None) -> Path:
    """The gallery that is meant: a path, or for None and "default" the one that comes with synthprint.

    Raises:
        GalleryError: none came with synthprint.
    """
    if gallery is not None and str(gallery) != shipped.DEFAULT:
        return Path(gallery)
    folder = shipped.shipped_folder() / "gallery"
    if not (folder / INDEX).exists():
        raise GalleryError(
            f"{folder}: this installation has no gallery of its own; name one, or make one by enrolling",
            parameter="gallery",
        )
    return folder


def open_gallery(gallery: Gallery | str | Path | None = None) -> Gallery:
    """A gallery that is open already as it is; else the one in a folder, see `gallery_folder`.

    Raises:
        GalleryError: it is missing, damaged or of another version.
    """
    return gallery if isinstance(gallery, Gallery) else Gallery.load(gallery_folder(gallery))


def own_gallery_folder(gallery: str | Path) -> Path:
    """A gallery that may be changed: not the one that comes with synthprint.

    Raises:
        GalleryError: it is that one.
    """
    if str(gallery) == shipped.DEFAULT or Path(gallery).resolve() == (shipped.shipped_folder() / "gallery").resolve():
        raise GalleryError(
            "the gallery that comes with synthprint is not changed; name a folder of your own for it, and start from a "
            "copy of 'default'",
            parameter="start_from",
        )
    return Path(gallery)
