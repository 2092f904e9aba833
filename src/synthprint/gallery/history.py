"""The former indexes of a gallery, so that edits can be undone.

    GALLERY/history/00007-3f2a90b1c4d5e6f7.json   the index before an edit

Segments are never changed, so the index before an edit is the gallery before it. It is linked here before the new index
takes its place, and undoing moves it back. The name holds a number, and the head of the digest of the index that came
after. So an edit that is not on record here is not undone together with one that is: a version that keeps no history
made it, or a person did. Of a writer that was killed before its index took its place, the entry is the index itself,
and counts for nothing.

Whoever calls these holds the lock of the gallery.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from synthprint import files, temporaries
from synthprint.errors import GalleryError
from synthprint.gallery.index import INDEX, Index
from synthprint.reading import doors

HISTORY = "history"
MOST_ENTRIES = 20
MOST_BYTES = 256 << 20  # of all entries; the last one stays, whatever its size
HEAD = 16  # hex digits of a digest
ENTRY = re.compile(rf"(\d{{5,12}})-([0-9a-f]{{{HEAD}}})\.json")


def keep(folder: Path, after: Index) -> None:
    """Keep the index of the gallery in `folder`, which `after` is about to replace.

    Raises:
        OutputError: it cannot be written.
    """
    place = folder / HISTORY
    with files.writing(place):
        place.mkdir(exist_ok=True)
        temporaries.sweep(place)
        entries = _entries(folder)
        _drop_killed(folder, entries)
        number = 1 + max((int(_parts(entry)[0]) for entry in entries), default=0)
        head = hashlib.sha256(files.json_bytes(after.to_dict())).hexdigest()[:HEAD]
        _link(folder / INDEX, place / f"{number:05d}-{head}.json")
        _drop_old(_entries(folder))


def last(folder: Path) -> Index:
    """The index before the last edit of the gallery in `folder`.

    Raises:
        GalleryError: there is none, or it is damaged.
    """
    return Index.read(folder, f"{HISTORY}/{_last(folder).name}")


def put_back(folder: Path) -> None:
    """Make the index before the last edit the index of the gallery in `folder`.

    Raises:
        GalleryError: there is none.
        OutputError: it cannot be moved.
    """
    with files.writing(folder / INDEX):
        os.replace(_last(folder), folder / INDEX)


def forget(folder: Path) -> None:
    """Remove the history in `folder`: nothing can be undone any more."""
    shutil.rmtree(folder / HISTORY, ignore_errors=True)


def count(folder: Path) -> int:
    """How many edits of the gallery in `folder` are on record, at most."""
    return len(_entries(folder))


def _last(folder: Path) -> Path:
    """The entry of the last edit.

    Raises:
        GalleryError: there is none, or the last edit is not on record.
    """
    entries = _entries(folder)
    _drop_killed(folder, entries)
    if not entries:
        raise GalleryError(f"{folder}: there is nothing to undo; the last {MOST_ENTRIES} edits of a gallery are kept")
    if _parts(entries[-1])[1] != doors.sha256(folder / INDEX)[:HEAD]:
        raise GalleryError(
            f"{folder}: the last edit was made by hand, or by a version of synthprint that keeps no history, and "
            "cannot be undone; restore the gallery from a copy"
        )
    return entries[-1]


def _drop_killed(folder: Path, entries: list[Path]) -> None:
    """Remove the last entry where it is the index itself: its writer was killed before it wrote another."""
    now = doors.sha256(folder / INDEX)
    while entries and _parts(entries[-1])[1] != now[:HEAD] and doors.sha256(entries[-1]) == now:
        entries.pop().unlink()


def _drop_old(entries: list[Path]) -> None:
    room, last_first = MOST_BYTES, entries[::-1]
    for place, entry in enumerate(last_first):
        room -= entry.stat().st_size
        if place and (place >= MOST_ENTRIES or room < 0):
            entry.unlink()


def _entries(folder: Path) -> list[Path]:
    """The first comes first; nothing that is no regular file, so that none leads elsewhere."""
    place = folder / HISTORY
    if place.is_symlink() or not place.is_dir():
        return []
    found = [path for path in place.iterdir() if ENTRY.fullmatch(path.name) and _is_plain(path)]
    return sorted(found, key=lambda path: int(_parts(path)[0]))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _parts(entry: Path) -> tuple[str, str]:
    """Number, and the head of the digest of the index that came after."""
    named = ENTRY.fullmatch(entry.name)
    assert named is not None  # it is one of `_entries`
    return named[1], named[2]


def _link(index: Path, entry: Path) -> None:
    with suppress(OSError):
        os.link(index, entry)  # an index is replaced, never rewritten
        return
    with files.atomic(entry) as temporary:  # a file system without links
        shutil.copyfile(index, temporary)
