"""Where clips are to be enrolled: a gallery that is there, or one that is to be new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthprint import files, temporaries
from synthprint.errors import GalleryError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import INDEX, Index
from synthprint.gallery.starting import check_free, starting


@dataclass(frozen=True, eq=False)
class Destination:
    """Where clips are to be enrolled; see `destination`.

    Attributes:
        folder: of the gallery.
        extractor: digest of the extractor whose embeddings are enrolled.
        gallery: the one that is there; None: it is to be new.
        template: what a new one starts as a copy of; None: it starts empty.
    """

    folder: Path
    extractor: str
    gallery: Gallery | None
    template: Gallery | None

    @contextmanager
    def opened(self) -> Iterator[Gallery]:
        """The gallery; one that is new appears in its folder only when the block ends without an error.

        Of those that want to make one in the same place, the first does; the others wait, and open that.

        Raises:
            GalleryError: another one was made there meanwhile, that this one cannot be added to.
            OutputError: it is new, and cannot be written.
        """
        if self.gallery is not None:
            yield self.gallery
            return
        with ExitStack() as waiting:
            waiting.enter_context(files.turn(self.folder))
            if not (self.folder / INDEX).exists():
                with starting(self.folder) as place, _named(place, self.folder):
                    yield self._start(place)
                return
        gallery = Gallery.load(self.folder)
        gallery.check_extractor(self.extractor)
        begun = self.template.index.segments if self.template else ()
        if gallery.index.segments[: len(begun)] != begun:
            raise _there_already(self.folder)
        yield gallery

    def _start(self, place: Path) -> Gallery:
        if self.template:
            self.template.copy_files(place)
        else:
            Index(self.extractor).write(place)
        return Gallery.load(place)


def destination(folder: Path, extractor: str, start_from: Path | None = None) -> Destination:
    """The gallery in `folder`, or a new one; what can be refused is refused here, before any clip is embedded.

    Args:
        extractor: digest of the extractor whose embeddings are enrolled.
        start_from: a gallery that a new one starts as a copy of; without, it starts empty.

    Raises:
        GalleryError: it is of another extractor; it is not new and `start_from` is given; something else is there.
        OutputError: it is new, and its place cannot be written.
    """
    gallery = template = None
    if (folder / INDEX).exists():
        if start_from:
            raise _there_already(folder)
        gallery = Gallery.load(folder)
        gallery.check_extractor(extractor)
        temporaries.sweep(folder.parent)
        return Destination(folder, extractor, gallery, None)
    if start_from:
        template = Gallery.load(start_from)
        template.check_extractor(extractor)
    with files.turn(folder):  # where this can be had, a gallery can be made
        if not (folder / INDEX).exists():
            check_free(folder)
    return Destination(folder, extractor, None, template)


def opened(folder: Path, extractor: str, start_from: Path | None = None) -> AbstractContextManager[Gallery]:
    """`Destination.opened` of a `destination`, at once."""
    return destination(folder, extractor, start_from).opened()


def _there_already(folder: Path) -> GalleryError:
    return GalleryError(
        f"{folder}: there is a gallery already; to add to it, do not start from a copy", parameter="start_from"
    )


@contextmanager
def _named(place: Path, folder: Path) -> Iterator[None]:
    """Errors of the gallery in `place` name it as it will be called."""
    try:
        yield
    except GalleryError as error:
        raise GalleryError(str(error).replace(str(place), str(folder))) from error
