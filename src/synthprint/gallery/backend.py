"""The backend that scores with a gallery."""

from __future__ import annotations

from synthprint import shelves
from synthprint.errors import GalleryError, RecipeError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import INDEX
from synthprint.shelves import Backend


def fitted_backend(gallery: Gallery, name: str) -> Backend:
    """The backend of that name with the gallery's options, fitted to what is enrolled.

    Raises:
        ShelfError: there is no such backend.
        GalleryError: it does not take these options.
    """
    try:
        backend: Backend = shelves.build("backends", name, gallery.setting(name).options)
    except RecipeError as error:
        raise GalleryError(f"{gallery.folder / INDEX}: backends.{name}.options: {error}") from error
    sources = [gallery.names[owner] for owner in gallery.owners.tolist()]
    return backend.fit(gallery.embeddings, sources, gallery.publishers)
