"""Galleries of a service that are changed: one edit after the other, and each taken up before it is answered."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from synthprint import temporaries
from synthprint.errors import GalleryError
from synthprint.extractor.runtime import Extractor
from synthprint.files import writing
from synthprint.gallery.additions import Enrolled
from synthprint.gallery.enrolment import Enrolment, from_files
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledSource
from synthprint.model.shipped import DEFAULT
from synthprint.web.desk import Desk
from synthprint.web.problems import ServiceProblem, problem_of
from synthprint.web.uploads import Upload

NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
MOST_GALLERIES = 200
_TURN = threading.Lock()  # an edit is taken up before the next begins: else an older state might be the last taken up


def place(desk: Desk, name: str) -> Path:
    """Where a gallery of a service lies, or is to lie."""
    return desk.settings.folder / "galleries" / name


@contextmanager
def changing(desk: Desk, name: str) -> Iterator[Gallery]:
    """The gallery, to be edited in the block; what was done is taken up at its end.

    Raises:
        ServiceProblem: there is none, or it is the one that does not change; or what an error of ours tells.
    """
    check_changeable(desk, name)
    with _TURN, refusing(desk, name):
        try:
            yield Gallery.load(desk.gallery(name).folder)
        finally:
            desk.refresh(name)


@contextmanager
def making(desk: Desk, name: str, upload: Upload | None = None) -> Iterator[Path]:
    """The folder of a gallery that is made in the block, perhaps of an upload.

    Raises:
        ServiceProblem: there is one of this name, there are too many, or what an error of ours tells.
    """
    if not NAME.fullmatch(name):
        words = (
            "a gallery's name has letters, digits, dots, hyphens and underscores, and begins with one of the first two"
        )
        raise ServiceProblem(422, words, field="name")
    desk.gallery()  # when it is open, all others are
    with _TURN, refusing(desk, name, upload):
        if name in desk.galleries:
            raise ServiceProblem(409, f"there is a gallery {name!r} already: take another name", field="name")
        if len(desk.galleries) >= MOST_GALLERIES:
            raise ServiceProblem(409, f"there are {MOST_GALLERIES} galleries already: delete one first")
        yield place(desk, name)
        desk.refresh(name)


def delete(desk: Desk, name: str) -> None:
    """Delete a gallery with its history.

    Raises:
        ServiceProblem: there is none, or it is the one that does not change.
    """
    check_changeable(desk, name)
    folder = desk.gallery(name).folder
    with _TURN, refusing(desk, name), writing(folder), temporaries.temporary(folder, folder=True) as deleted:
        folder.rename(deleted / "gallery")
        desk.refresh(name)


def check_changeable(desk: Desk, name: str) -> None:
    """Make sure that a gallery may be changed.

    Raises:
        ServiceProblem: there is none, or it is the one that does not change.
    """
    desk.gallery(name)
    if name == DEFAULT:
        raise ServiceProblem(409, "the gallery 'default' is not changed: start a new one from it", field="gallery")


@contextmanager
def refusing(desk: Desk, name: str, upload: Upload | None = None) -> Iterator[None]:
    """What a gallery refuses is told by its name, and without its place on this machine.

    Args:
        upload: whose files are told by the client's names.

    Raises:
        ServiceProblem: in place of an error of a gallery.
    """
    try:
        yield
    except GalleryError as error:
        problem = problem_of(error)
        folders = [place(desk, name), *(gallery.folder for key, gallery in desk.galleries.items() if key == name)]
        for folder in map(str, folders):
            problem.detail = problem.detail.replace(f"{folder}/", "").replace(folder, f"gallery {name!r}")
        if upload:
            problem.detail = upload.labelled(problem.detail)
        raise problem from error


def enrolment(
    extractor: Extractor,
    source: str,
    files: Mapping[Path, str],
    details: EnrolledSource,
    publisher: str | None,
) -> Enrolment:
    """Files as clips of one source, under the names that they are given, each of which is another.

    Args:
        files: where each lies -> its name.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: a name cannot be printed.
    """
    ready = from_files(extractor, source, files, details, publisher=publisher)
    names = {path.name: name for path, name in files.items()}
    clips = [replace(clip, id=names.get(clip.id, clip.id)) for clip in ready.clips]
    return replace(ready, clips=clips)


def enrol(desk: Desk, name: str, ready: Enrolment, force: bool) -> Enrolled:
    """Enrol clips that are ready in a gallery; see `Gallery.enrol`."""
    with changing(desk, name) as gallery:
        return ready.into(gallery, force)
