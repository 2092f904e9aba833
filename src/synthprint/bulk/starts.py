"""A clip that ends the process that examines it is met, and left out, instead of ending one process after another.

FOLDER/work/started/NAME   "start" for each time that a shard was begun; then the numbers of the clips begun alone

What ends a process may have been anything: a node that went down, or a decoder that met its file. So a shard that was
begun and not ended SUSPICIOUS times is done clip by clip, each noted before it is begun; one that was the last thing
that SUSPICIOUS processes did is not begun again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.stores.listing import StoredClip

STARTED = "work/started"
SUSPICIOUS = 2
ENDED = "ended the process that examined it, twice; look at it by itself"


def begun_carefully(
    folder: Path,
    name: str,
    clips: Iterable[StoredClip],
    rows: Callable[[Iterable[StoredClip]], Iterable[dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """The rows of a shard's clips; clip by clip, where that was begun and not ended before.

    Args:
        folder: of the answers.
        name: of the shard.
        rows: of some clips.

    Raises:
        OutputError: what was begun cannot be noted.
    """
    path = folder / STARTED / name
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+", encoding="ascii") as note:
            note.seek(0)
            begun = note.read().split()
            note.write("start\n")
            note.flush()
            if begun.count("start") < SUSPICIOUS:
                yield from rows(clips)
                return
            last = Counter(before for before, after in pairwise([*begun, "start"]) if after == "start")
            for number, clip in enumerate(clips):
                if last[str(number)] >= SUSPICIOUS:
                    yield from rows([replace(clip, problem=ENDED)])
                    continue
                note.write(f"{number}\n")
                note.flush()
                yield from rows([clip])


def ended(folder: Path, name: str) -> None:
    """Forget that a shard was begun: it is whole."""
    (folder / STARTED / name).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    """Take the folder of notes away."""
    for note in (folder / STARTED).glob("*"):
        note.unlink(missing_ok=True)
    if (folder / STARTED).is_dir():
        (folder / STARTED).rmdir()
