"""The folder of a case as one zip file, piece by piece as it is sent."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from synthprint.casework.case_contents import CASE, CLIPS
from synthprint.casework.case_folder import CaseFolder
from synthprint.reading import doors

DATE = (1980, 1, 1, 0, 0, 0)  # of every entry: the same case gives the same bytes
MODE = 0o644 << 16


class _Pipe:
    """A file that is only written to, and emptied."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        """Take up some bytes."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """As files have it."""

    def take(self) -> bytes:
        """What was written since."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def archived(case: CaseFolder, name: str, more: tuple[Path, ...] = ()) -> Iterator[bytes]:
    """A zip file with the folder of a case, which `synthprint report` reads once it is unpacked.

    Args:
        name: of the folder in the file.
        more: further files in the case's folder.

    Raises:
        OSError: a file of the case is missing.
        CaseError: a clip is a link.
    """
    clips = tuple(case.locate(clip) for clip in case.contents.clips)
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as written:  # type: ignore[call-overload]
        for path in (case.folder / CASE, *clips, *more):
            yield from _entry(written, pipe, path, f"{name}/{path.relative_to(case.folder).as_posix()}")
        if not clips:
            written.writestr(_info(f"{name}/{CLIPS}/"), b"")
    yield pipe.take()


def _entry(written: zipfile.ZipFile, pipe: _Pipe, path: Path, name: str) -> Iterator[bytes]:
    info = _info(name)
    with doors.open_regular(path) as file:
        info.file_size = path.stat().st_size
        with written.open(info, "w") as entry:
            while piece := file.read(doors.PIECE_BYTES):
                entry.write(piece)
                yield pipe.take()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.external_attr = MODE
    return info
