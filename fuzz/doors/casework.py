"""A case on disk, and a gallery as one file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fuzz import belongings
from fuzz.door import Door
from fuzz.mutators.raw import raw
from fuzz.mutators.tensors import safetensors
from fuzz.mutators.text import JSON, structured
from synthprint.casework.case_archive import archived
from synthprint.casework.case_contents import Question
from synthprint.casework.case_folder import CaseFolder
from synthprint.gallery.archive import unpack_archive, write_archive

DIGEST = "e" * 64
CASE, ARCHIVE = "case/case.json", "gallery.archive"


def _case_room(room: Path) -> Path:
    case = CaseFolder.create(room / "case", Question("A title", "Which?", "Me", "today", "One.\n\nTwo."), "mine")
    for name in ("1.wav", "2.wav"):
        (room / name).write_bytes(belongings.seeds("pcm16.wav" if name == "1.wav" else "stereo.wav")[0])
        case.add(room / name, name)
    return case.folder


def _case_seeds(folder: Path) -> list[bytes]:
    """The same in each worker: ids and the time are drawn when a case is made."""
    table = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    table["created"] = "2026-01-01T00:00:00+00:00"
    for number, clip in enumerate(table["clips"]):
        clip["id"] = f"{number:012x}"
        (folder / "clips" / clip["file"]).rename(folder / "clips" / f"{number:012x}.wav")
        clip["file"] = f"{number:012x}.wav"
    return [json.dumps(table, indent=1).encode()]


def _case(folder: Path, case: Path) -> object:
    opened = CaseFolder.load(folder)
    places = [opened.locate(clip) for clip in opened.contents.clips]
    assert all(place.parent == folder / "clips" for place in places), "a clip lies elsewhere"
    assert set(opened.shown()) == {clip.id for clip in opened.contents.clips}
    if all(place.is_file() for place in places):
        assert sum(map(len, archived(opened, "case"))) > 0
    return opened.contents.asked, opened.shown()


def _archive_seeds(room: Path) -> list[bytes]:
    write_archive(belongings.gallery(room / "made", DIGEST), room / "sound")
    return [(room / "sound").read_bytes()]


def _archive(room: Path, case: Path) -> object:
    """What is refused leaves nothing."""
    target = room / "unpacked"
    shutil.rmtree(target, ignore_errors=True)
    try:
        gallery = unpack_archive(case, target, DIGEST)
    except Exception:
        assert not target.exists(), "a part of a gallery is left"
        raise
    return gallery.vectors, gallery.clip_counts()


DOORS = (
    Door("case", CASE, _case, _case_seeds, (structured(JSON), structured(JSON), raw), _case_room, names_folder=True),
    Door("gallery.archive", ARCHIVE, _archive, _archive_seeds, (safetensors, safetensors, raw)),
)
