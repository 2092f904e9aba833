"""Which clips are to be done, in which shards: written before the work begins, so that every restart goes by it.

FOLDER/work/plan.jsonl   a line on the plan, then one for each clip, in the order of the listing

So many clips after one another become a shard, whose file is named by its number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from synthprint import files
from synthprint.addresses import shown
from synthprint.answers.examining import clip_stamp
from synthprint.answers.reading import Keys
from synthprint.answers.schema import text_of
from synthprint.errors import AnswersError
from synthprint.reading import doors
from synthprint.reading.schemas import Count, Name, Refused, Text, short
from synthprint.stores.listing import StoredClip

WORK = "work"  # a folder in that of the answers, for what goes when the work is done
PLAN, FORMAT = "work/plan.jsonl", "synthprint-plan-1"
LONGEST_ADDRESS = 1 << 14
DISTRUST = "take it away: what it names and is not done yet is planned anew"


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    format: Name
    round: Count
    clips: Count  # of a shard


class _PlannedClip(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    address: str
    here: bool = False  # whether it is a path of this machine
    size: Count | None = None
    stamp: Text | None = None
    offset: Count | None = None
    problem: Text = ""
    changed: bool = False


@dataclass(frozen=True)
class PlannedShard:
    """Clips that become one shard.

    Attributes:
        name: of the shard's file.
        offset: where their lines begin in the plan, in bytes.
        clips: how many.
    """

    name: str
    offset: int
    clips: int


@dataclass(frozen=True)
class Done:
    """Which clips have answers.

    Attributes:
        clips: address and stamp of each.
        addresses: address of each.
    """

    clips: Keys
    addresses: Keys


def write_plan(folder: Path, number: int, clips: Iterable[StoredClip], done: Done, clips_per_shard: int) -> bool:
    """Plan what is not done: clips that are new, and those that have changed since.

    Args:
        folder: of the answers.
        number: of the round; the shards are named by it.
        clips: all there are, in a stable order.

    Returns:
        Whether there are any; if not, there is no plan.

    Raises:
        OutputError: it cannot be written.
    """
    empty = True
    with files.atomic(folder / PLAN) as temporary, open(temporary, "w", encoding="ascii") as file:
        file.write(json.dumps({"format": FORMAT, "round": number, "clips": clips_per_shard}) + "\n")
        for clip in clips:
            address = str(text_of(shown(clip.address)))
            if [address, clip_stamp(clip)] in done.clips:
                continue
            line: dict[str, Any] = {"address": str(clip.address)}
            if isinstance(clip.address, Path):
                line["here"] = True
            line |= {name: v for name in ("size", "stamp", "offset", "problem") if (v := getattr(clip, name))}
            if [address] in done.addresses:
                line["changed"] = True
            file.write(json.dumps(line) + "\n")
            empty = False
    if empty:
        (folder / PLAN).unlink()
    return not empty


def is_planned(folder: Path) -> bool:
    """Whether there is a plan that is not done yet."""
    return (folder / PLAN).exists()


def remove_plan(folder: Path) -> None:
    """Take away a plan that is done."""
    (folder / PLAN).unlink(missing_ok=True)


def planned_shards(folder: Path) -> Iterator[PlannedShard]:
    """The shards of a plan, in order.

    Raises:
        AnswersError: it is damaged.
    """
    with _opened(folder) as file:
        head = _head(file)
        number, offset = 0, file.tell()
        while lines := list(islice(file, head.clips)):
            yield PlannedShard(f"{head.round:03d}-{number:07d}.parquet", offset, len(lines))
            number, offset = number + 1, offset + sum(map(len, lines))


def planned_clips(folder: Path, shard: PlannedShard) -> list[StoredClip]:
    """The clips of a planned shard.

    Raises:
        AnswersError: the plan is missing or damaged.
    """
    with doors.ending_in(AnswersError, folder / PLAN, DISTRUST), _opened(folder) as file:
        file.seek(shard.offset)
        planned = [_planned(line) for line in islice(file, shard.clips)]
        if len(planned) != shard.clips:
            raise Refused("ends too soon")
    return [
        StoredClip(Path(p.address) if p.here else p.address, "", p.size, p.stamp, p.offset, p.problem) for p in planned
    ]


def changed_addresses(folder: Path) -> set[str]:
    """The clips of a plan that have older answers, as they are shown.

    Raises:
        AnswersError: the plan is damaged.
    """
    with _opened(folder) as file:
        _head(file)
        return {str(text_of(shown(_planned(line).address))) for line in file if b'"changed": true' in line}


def _opened(folder: Path) -> BinaryIO:
    with doors.ending_in(AnswersError, folder / PLAN, "this machine may not see the folder"):
        return doors.open_regular(folder / PLAN)


def _head(file: BinaryIO) -> _Head:
    with doors.ending_in(AnswersError, str(file.name), DISTRUST):
        head = doors.JsonReader().checked(file.readline(1000), _Head)
        if head.format != FORMAT or not head.clips:
            raise Refused(f"is of format {short(head.format)}, not {FORMAT!r}")
    return head


def _planned(line: bytes) -> _PlannedClip:
    return doors.JsonReader().checked(line, _PlannedClip)
