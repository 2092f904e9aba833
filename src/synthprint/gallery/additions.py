"""What an enrolment adds to a gallery: which clips are new, under which ids, and what is on record of their sources."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from synthprint.errors import GalleryError
from synthprint.gallery.index import EnrolledClip, EnrolledSource
from synthprint.gallery.segments import Clips


@dataclass(frozen=True)
class Enrolled:
    """What an enrolment did.

    Attributes:
        added: ids of the clips that were added.
        already: id -> the id under which the same file was there already.
        failures: path -> reason, of the clips that could not be used.
        remarks: path -> what is odd about the file, of the others.
        clip_counts: source -> how many clips it has now, of every source of the gallery; aliases by themselves.
        sources: how many sources the gallery has now, aliases and what they stand for as one.
    """

    added: tuple[str, ...]
    already: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clip_counts: Mapping[str, int] = field(default_factory=dict)
    sources: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what was added, was there already, failed, and is odd."""
        return {
            "added": list(self.added),
            "already": dict(self.already),
            "failures": [{"path": path, "error": reason} for path, reason in self.failures.items()],
            "remarks": {path: list(notes) for path, notes in self.remarks.items()},
        }


def check_enrolled(gallery: Path, enrolled: Collection[str], sources: Iterable[str]) -> None:
    """Make sure that sources are among the enrolled ones of a gallery.

    Raises:
        GalleryError: one is not.
    """
    for source in sources:
        if source not in enrolled:
            names = sorted(enrolled)
            close = difflib.get_close_matches(source, names, 3, 0.5) or names[:10]
            hint = f"the nearest names are: {', '.join(close)}" if close else "nothing is"
            raise GalleryError(f"{gallery}: {source!r} is not enrolled; {hint}")


def sort_out(enrolled: Clips, clips: Sequence[EnrolledClip], force: bool) -> tuple[list[int], dict[str, str]]:
    """Which clips are new, by position, and which are enrolled already: id -> the id that it has there.

    Args:
        force: a clip whose file is enrolled under another source is new.

    Raises:
        GalleryError: a file is enrolled under another source, and `force` is not given.
    """
    ids: dict[str, dict[str, str]] = {}  # sha256 -> source -> id
    for position in enrolled.find_files({clip.sha256 for clip in clips if clip.sha256}):
        twin = enrolled[position]
        ids.setdefault(twin.sha256, {})[twin.source] = twin.id
    new, already = [], {}
    for position, clip in enumerate(clips):
        twins = ids.setdefault(clip.sha256, {}) if clip.sha256 else {}
        if clip.source in twins:
            already[clip.id] = twins[clip.source]
            continue
        if twins and not force:
            source, other = next(iter(twins.items()))
            raise GalleryError(
                f"{clip.id}: the same file is {other!r} of {source!r}, and cannot stand for {clip.source!r} too; "
                f"remove {source!r}, leave the clip out, or force its enrolment under both",
                parameter="force",
            )
        twins[clip.source] = clip.id
        new.append(position)
    return new, already


def with_free_ids(clips: Sequence[EnrolledClip], ids: Sequence[str]) -> list[EnrolledClip]:
    """The clips; one whose id is among `ids`, or that of a clip before it, gets a number."""
    taken = set(ids)
    return [replace(clip, id=_free_id(clip.id, taken)) for clip in clips]


def _free_id(wanted: str, taken: set[str]) -> str:
    names = itertools.chain([wanted], (f"{wanted} ({n})" for n in itertools.count(2)))
    free = next(name for name in names if name not in taken)
    taken.add(free)
    return free


def merged_sources(
    enrolled: Mapping[str, EnrolledSource], given: Mapping[str, EnrolledSource], names: set[str]
) -> dict[str, EnrolledSource]:
    """The sources that are enrolled, with what is given of those in `names`, which are new or get clips.

    Raises:
        GalleryError: a family contradicts the one enrolled.
    """
    merged = dict(enrolled)
    for name in sorted(names):
        old, new = merged.get(name, EnrolledSource()), given.get(name, EnrolledSource())
        if old.family and new.family and old.family != new.family:
            raise GalleryError(
                f"{name!r} is enrolled with family {old.family!r}, not {new.family!r}; "
                "remove it first, or give the family it has"
            )
        details = {field.name: getattr(new, field.name) or getattr(old, field.name) for field in fields(new)}
        merged[name] = EnrolledSource(**details)
    return merged
