"""Where a new gallery starts: a folder that is free, and that appears whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthprint import files, temporaries
from synthprint.errors import GalleryError
from synthprint.gallery import history
from synthprint.gallery.index import INDEX, SEGMENTS


@contextmanager
def starting(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`; it becomes that, whole, when the block ends without an error.

    The caller has the turn at `folder` (see `files.turn`).

    Raises:
        GalleryError: something is in `folder`.
        OutputError: it cannot be written.
    """
    check_free(folder)
    with files.writing(folder):
        (folder / ".lock").unlink(missing_ok=True)  # a writer that was killed may have left these
        history.forget(folder)
        for leftover in (folder / SEGMENTS, folder):
            with suppress(OSError):  # then its place is taken file by file
                leftover.rmdir()
    with files.together(folder) as place:
        yield place


def check_free(folder: Path) -> None:
    """Make sure that a gallery can start in `folder`, where a writer that was killed may have left something.

    Raises:
        GalleryError: something else is there.
    """
    if (folder / INDEX).exists():
        raise GalleryError(f"{folder}: there is a gallery already")
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, not a gallery; name a new folder")
    files.check_place(folder, folder=True)
    for place in (folder, folder / SEGMENTS):
        temporaries.sweep(place)
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    others = {name for name in names - {SEGMENTS, history.HISTORY, ".lock"} if not temporaries.OWN.fullmatch(name)}
    if (folder / SEGMENTS).is_dir():
        others |= {f"{SEGMENTS}/{path.name}" for path in (folder / SEGMENTS).iterdir()}
    if others:
        raise GalleryError(f"{folder}: is no gallery, and not empty ({min(others)}, …); name a new folder")
