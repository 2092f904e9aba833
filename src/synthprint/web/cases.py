"""The cases of a service: a folder each, with the clips that were uploaded and what was answered to them.

    CASES/ID/case.json, clips/   the case, as `casework.case_folder` has it
    CASES/ID/answers/CLIP.json   what was answered to a clip, and by which gallery
    CASES/ID/sounds/             what was examined of a clip, see `case_sounds`

So a service that was killed shows its cases as they were. A case is deleted when it is closed, and also when nobody
asked for it for as long as uploads stay, unless it is saved.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from synthprint import files
from synthprint.casework.case_contents import CASE, CLIPS, FiledClip, Question
from synthprint.casework.case_folder import CaseFolder
from synthprint.errors import CaseError, SynthprintError
from synthprint.gallery.index import INDEX
from synthprint.reading import doors
from synthprint.reading.schemas import Number, Refused
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.problems import ServiceProblem, problem_of
from synthprint.web.uploads import labelled

ANSWERS = "answers"
MOST_CASES = 1000
KEY = re.compile(r"[0-9a-f]{16}")
MOST_ANSWER_BYTES = 16 << 20
TEXTS = ("question", "notes", "analyst", "date")  # of a `Question`, by the names that JSON has too


class StoredTrace(Struct, forbid_unknown_fields=True):
    """What was answered to a clip.

    Attributes:
        gallery: the name of the one that it was traced with.
        index: the digest of that, as it was then.
        trace: the answer as JSON; None where there is a failure.
        failure: why it could not be examined.
        duration_s: of the clip, where it could.
    """

    gallery: Annotated[str, Meta(max_length=100)]
    index: Annotated[str, Meta(max_length=64)]
    trace: dict[str, Any] | None
    failure: Annotated[str, Meta(max_length=2000)] | None
    duration_s: Number | None


class CaseStore:
    """All cases of a service.

    Args:
        folder: below which they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[CaseFolder]:
        """The cases, the newest first; a damaged one is left out."""
        cases = []
        for place in self._places():
            with suppress(CaseError):
                cases.append(CaseFolder.load(place))
        return sorted(cases, key=lambda case: (case.contents.created, case.folder.name), reverse=True)

    def create(self, asked: Question, gallery: str) -> CaseFolder:
        """Start a case.

        Raises:
            ServiceProblem: there are too many.
        """
        if sum(1 for _ in self._places()) >= MOST_CASES:
            raise ServiceProblem(409, f"there are {MOST_CASES:,} cases already: close those that are done with")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return CaseFolder.create(self.folder / secrets.token_hex(8), asked, gallery)

    def open(self, key: str) -> CaseFolder:
        """A case by its id; it was asked for, and stays for another while.

        Raises:
            ServiceProblem: there is none.
        """
        if KEY.fullmatch(key) and (self.folder / key / CASE).exists():
            with suppress(OSError):
                os.utime(self.folder / key / CASE)
            return CaseFolder.load(self.folder / key)
        raise ServiceProblem(404, f"there is no case {key[:80]!r}: it was closed, or not asked for in a long time")

    def sweep(self, before: float) -> None:
        """Delete the cases that nobody asked for since `before`, in seconds since 1970, and that are not saved."""
        for place in self._places():
            path = place / CASE if (place / CASE).exists() else place  # a writer that was killed may have left that
            if path.stat().st_mtime >= before:
                continue
            try:
                case = CaseFolder.load(place)
                if not case.contents.saved:
                    case.close()
            except CaseError:
                shutil.rmtree(place, ignore_errors=True)

    def _places(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from (place for place in self.folder.iterdir() if KEY.fullmatch(place.name) and place.is_dir())


def clip_of(case: CaseFolder, key: str) -> FiledClip:
    """A clip of a case by its id.

    Raises:
        ServiceProblem: there is none.
    """
    for clip in case.contents.clips:
        if clip.id == key:
            return clip
    raise ServiceProblem(404, f"the case has no clip {key[:80]!r}", field="clip")


def places(case: CaseFolder, keys: list[str] | None, field: str) -> list[Path]:
    """Where clips lie, by their ids; None: all.

    Raises:
        ServiceProblem: there is no such clip, or none at all.
    """
    wanted = [clip.id for clip in case.contents.clips] if keys is None else keys
    if not wanted:
        raise ServiceProblem(422, f"{field}: there is no clip to examine: add one first", field=field)
    if len(set(wanted)) < len(wanted):  # it would be examined as often as it is named
        raise ServiceProblem(422, f"{field}: a clip is named twice: name each once", field=field)
    return [case.locate(clip_of(case, key)) for key in wanted]


def by_name(case: CaseFolder, value: Any) -> Any:
    """A JSON value with the names of clips in place of their paths."""
    return labelled(value, case.folder / CLIPS, {clip.file: case.shown()[clip.id] for clip in case.contents.clips})


def by_id(case: CaseFolder, value: Any) -> Any:
    """A JSON value with the ids of clips in place of their paths."""
    return labelled(value, case.folder / CLIPS, {clip.file: clip.id for clip in case.contents.clips})


@contextmanager
def refusing_by_name(case: CaseFolder) -> Iterator[None]:
    """Errors of the block are problems that call clips by their names, and tell no path of this machine.

    Where the case was closed meanwhile, what the block has written into its folder since is deleted as well.

    Raises:
        ServiceProblem: in place of any error of ours; 404 where the case was closed meanwhile.
    """
    try:
        yield
    except (SynthprintError, OSError) as error:
        if not (case.folder / CASE).exists():
            raise ServiceProblem(404, f"the case {case.folder.name} was closed meanwhile") from error
        if not isinstance(error, SynthprintError):
            raise
        problem = problem_of(error)
        detail, problem.file = by_name(case, [problem.detail, problem.file])
        problem.detail = detail.replace(f"{case.folder}/", "").replace(str(case.folder), "the case")
        raise problem from error
    finally:
        if not (case.folder / CASE).exists():
            shutil.rmtree(case.folder, ignore_errors=True)


def store_trace(case: CaseFolder, clip: FiledClip, index: str, answered: Trace | Failure) -> StoredTrace:
    """Store what was answered to a clip of a case beside it.

    Args:
        index: the digest of the gallery, as it was before the clip was traced.

    Raises:
        OSError: the case was closed meanwhile, or there is no room.
    """
    gallery = case.contents.gallery
    if isinstance(answered, Failure):
        stored = StoredTrace(gallery, index, None, by_name(case, answered.error)[:2000], None)
    else:
        stored = StoredTrace(gallery, index, by_name(case, answered.to_dict()), None, answered.duration_s)
    path = _answer_path(case, clip)
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, {name: getattr(stored, name) for name in stored.__struct_fields__})
    return stored


def stored_trace(case: CaseFolder, clip: FiledClip) -> StoredTrace | None:
    """What was answered to a clip; None where it is being examined, or the service was killed meanwhile."""
    try:
        return doors.read_json(_answer_path(case, clip), StoredTrace, MOST_ANSWER_BYTES)
    except (OSError, Refused):
        return None


def answer_paths(case: CaseFolder) -> tuple[Path, ...]:
    """The files of all answers of a case."""
    return tuple(path for clip in case.contents.clips if (path := _answer_path(case, clip)).is_file())


def _answer_path(case: CaseFolder, clip: FiledClip) -> Path:
    return case.folder / ANSWERS / f"{clip.id}.json"


def remove_clip(case: CaseFolder, clip: FiledClip) -> None:
    """Take a clip out of a case, with all that came of it."""
    case.remove(clip.id)
    for folder in (ANSWERS, "sounds"):
        for path in (case.folder / folder).glob(f"{clip.id}.*"):
            path.unlink(missing_ok=True)


def index_digest(folder: Path) -> str:
    """Of a gallery, as it is now; "" where there is none."""
    try:
        return doors.sha256(folder / INDEX)
    except OSError:
        return ""
