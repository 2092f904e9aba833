"""A case on disk: a folder that `synthprint report` reads.

    CASE/case.json   what the analyst says of it, the gallery by name, and the clips in order
    CASE/clips/      the clips' bytes, each under a name that was made here

Clips are written first and case.json last, in one move: a case whose writer was killed is the case before. Writers wait
for each other. A case from a stranger is data: case.json gives no path, but the name of a file in `clips`, which opens
nothing where it is a link; names and texts are shown as anybody's are.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthprint import files, temporaries
from synthprint.casework.case_contents import (
    CASE,
    CLIPS,
    FILE,
    LAST_ORDER,
    MAX_BYTES,
    REMEDY,
    CaseContents,
    FiledClip,
    Question,
    check_case,
    read_case,
)
from synthprint.errors import CaseError
from synthprint.model.shipped import DEFAULT
from synthprint.reading import doors
from synthprint.reading.schemas import Refused, short

ENDING = re.compile(r"\.[0-9a-z]{1,8}")
RECORD_KEYS = {"asked", "method", "clips"}  # of what `report` writes for machines


class CaseFolder:
    """A case on disk, as it was when it was opened or last changed through this object.

    Attributes:
        folder: where it lies.
        contents: what case.json says.
    """

    def __init__(self, folder: Path, contents: CaseContents) -> None:
        self.folder, self.contents = folder, contents

    @classmethod
    def load(cls, folder: str | Path) -> CaseFolder:
        """Open the case in `folder`.

        Raises:
            CaseError: it is missing, damaged or of another version.
        """
        return cls(Path(folder), read_case(Path(folder)))

    @classmethod
    def create(cls, folder: str | Path, asked: Question, gallery: str = DEFAULT) -> CaseFolder:
        """Start a case without clips.

        Raises:
            CaseError: there is something in the folder; a text is too long, or the gallery is no name.
            OutputError: it cannot be written.
        """
        folder = Path(folder)
        contents = CaseContents(asked, gallery, datetime.now(UTC).isoformat(timespec="seconds"))
        check_case(folder, contents)
        with files.turn(folder):
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise CaseError(f"{folder}: something is there already; name a new folder")
            with files.together(folder) as place:
                (place / CLIPS).mkdir()
                files.write_json(place / CASE, contents.to_dict())
        return cls(folder, contents)

    def change(self, saved: bool | None = None, gallery: str | None = None, **texts: str) -> None:
        """Change what is said of the case; what is not given stays.

        Args:
            saved, gallery: see `CaseContents`.
            texts: of the `Question`, by its fields.

        Raises:
            CaseError: a text is too long, the gallery is no name, or the case is gone.
        """
        with self._changing():
            now = self.contents
            self._commit(
                asked=replace(now.asked, **texts),
                saved=now.saved if saved is None else saved,
                gallery=gallery or now.gallery,
            )

    def add(self, path: str | Path, name: str, order: int | None = None) -> FiledClip:
        """Copy a file into the case.

        Args:
            name: what whoever brings it calls it; never a path that is opened.
            order: where it stands, see `FiledClip`; None: last. Clips that are sent at the same time come in any order.

        Raises:
            CaseError: there are too many clips, the name will not do, the file cannot be read, or the case is gone.
            OutputError: it cannot be written.
        """
        place, ending = self.folder / CLIPS, Path(name).suffix.lower()
        with files.writing(place):
            if not place.is_dir() or place.is_symlink():
                raise CaseError(f"{place}: is not the folder of the case's clips; {REMEDY}")
            with temporaries.temporary(place / f"clip{ending if ENDING.fullmatch(ending) else ''}") as temporary:
                sha256 = _copy(Path(path), temporary)
                with self._changing():
                    self._drop_unnamed()
                    key = secrets.token_hex(6)
                    file = key + (ending if ENDING.fullmatch(ending) else "")
                    clip = FiledClip(key, name, sha256, file, self._next_order() if order is None else order)
                    clips = tuple(sorted((*self.contents.clips, clip), key=lambda one: one.order))
                    check_case(self.folder, replace(self.contents, clips=clips))
                    os.replace(temporary, place / clip.file)
                    self._commit(clips=clips)
        return clip

    def remove(self, key: str) -> None:
        """Take a clip out of the case, and delete its bytes.

        Raises:
            CaseError: there is none of this id, or the case is gone.
        """
        with self._changing():
            clip = self.clip(key)
            self._commit(clips=tuple(other for other in self.contents.clips if other.id != key))
            with suppress(FileNotFoundError):
                (self.folder / CLIPS / clip.file).unlink()

    def close(self) -> None:
        """Delete the case with all that is in it; where that is interrupted, whoever next writes beside it goes on.

        Raises:
            OutputError: it cannot be deleted.
        """
        with self._changing(), files.writing(self.folder), temporaries.temporary(self.folder, folder=True) as closed:
            self.folder.rename(closed / "case")

    def clip(self, key: str) -> FiledClip:
        """A clip by its id.

        Raises:
            CaseError: there is none.
        """
        for clip in self.contents.clips:
            if clip.id == key:
                return clip
        raise CaseError(f"{self.folder / CASE}: has no clip {short(key)}")

    def locate(self, clip: FiledClip) -> Path:
        """Where the bytes of a clip lie, if they do.

        Raises:
            CaseError: that is a link: a case opens nothing outside its folder.
        """
        path = self.folder / CLIPS / clip.file
        for place in (path.parent, path):
            if place.is_symlink():
                raise CaseError(f"{place}: is a link, and a case opens no file outside its folder; put the file there")
        return path

    def shown(self) -> dict[str, str]:
        """Id of each clip -> its name, with a number where an earlier clip has the same."""
        names: dict[str, str] = {}
        taken: set[str] = set()
        for clip in self.contents.clips:
            name, count = clip.name, 1
            while name in taken:
                count += 1
                name = f"{clip.name} ({count})"
            taken.add(name)
            names[clip.id] = name
        return names

    @contextmanager
    def _changing(self) -> Iterator[None]:
        read_case(self.folder)  # else a lock would make the folder anew
        with files.locked(self.folder):
            self.contents = read_case(self.folder)
            yield

    def _commit(self, **changes: Any) -> None:
        contents = replace(self.contents, **changes)
        check_case(self.folder, contents)
        files.write_json(self.folder / CASE, contents.to_dict())
        self.contents = contents

    def _next_order(self) -> int:
        return min(LAST_ORDER, 1 + max((clip.order for clip in self.contents.clips), default=-1))

    def _drop_unnamed(self) -> None:
        """Remove the bytes of clips that a killed writer did not come to name, or to delete."""
        named = {clip.file for clip in self.contents.clips}
        for path in (self.folder / CLIPS).iterdir():
            if FILE.fullmatch(path.name) and path.name not in named:
                path.unlink()


def case_in(folder: Path) -> CaseFolder | None:
    """The case in a folder; None where it holds no case.json, or one that is the record of a report.

    Raises:
        CaseError: the case is damaged or of another version.
    """
    path = folder / CASE
    if not folder.is_dir() or not (path.exists() or path.is_symlink()):
        return None
    with suppress(Refused, OSError):
        tables = doors.read_json(path, dict[str, Any], MAX_BYTES)
        if "format" not in tables and tables.keys() >= RECORD_KEYS:
            return None
    return CaseFolder.load(folder)


def _copy(path: Path, place: Path) -> str:
    """Copy the bytes of a file; returns their SHA-256."""
    digest = hashlib.sha256()
    try:
        source = doors.open_regular(path)
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({error.strerror})") from error
    with source, place.open("wb") as copy:
        while piece := source.read(doors.PIECE_BYTES):
            digest.update(piece)
            copy.write(piece)
    return digest.hexdigest()
