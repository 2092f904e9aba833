"""The manifest of a folder of answers: what made them, and which shards are whole.

FOLDER/manifest.jsonl      a line on what made the answers, then one for each shard, as it was added or removed
FOLDER/NAME.parquet        a shard: rows of `schema.answer_schema`

A line is added when its shard is whole and in its place, so a kill leaves at worst a shard that no line names, and
half a line at the end, which counts for nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from synthprint import files
from synthprint.errors import AnswersError
from synthprint.reading import doors
from synthprint.reading.schemas import Count, ExtractorName, Name, Refused, Sha256, Text, construct, short, table_schema

MANIFEST, FORMAT = "manifest.jsonl", "synthprint-answers-1"
MOST_MANIFEST_BYTES = 1 << 30  # of some million shards
MOST_DIM = 1 << 16
DISTRUST = "it is damaged, or no folder of answers"
ShardName = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,99}\.parquet\Z")]


@dataclass(frozen=True)
class Origin:
    """What made the answers of a folder: two that differ in it do not share one.

    Attributes:
        task: what was done with the clips, "trace" or "embed".
        extractor: digest of its weights.
        gallery: digest of its index; "" of embeddings.
        dim: size D of an embedding.
        settings: all else that an answer depends on: backend, channel, device, …
    """

    task: str
    extractor: str
    gallery: str
    dim: int
    settings: Mapping[str, str] = field(default_factory=dict)

    def differences(self, other: Origin) -> list[str]:
        """Where they differ, in words: "the gallery is 1234…, not abcd…"."""
        mine, others = (asdict(origin) | dict(origin.settings) for origin in (self, other))
        names = sorted((mine.keys() | others.keys()) - {"settings"})
        return [
            f"the {name} is {str(mine.get(name, 'none'))[:12]}, not {str(others.get(name, 'none'))[:12]}"
            for name in names
            if mine.get(name) != others.get(name)
        ]


@dataclass(frozen=True)
class Shard:
    """A file of answers.

    Attributes:
        name: of the file.
        rows: how many.
        failures: of these, how many have an error.
        size: in bytes.
        sha256: of the file.
    """

    name: str
    rows: int
    failures: int
    size: int
    sha256: str


_ORIGIN = table_schema(
    Origin,
    {"format": Name},
    task=Name,
    extractor=ExtractorName,
    gallery=ExtractorName,
    dim=Annotated[int, Meta(ge=1, le=MOST_DIM)],
    settings=dict[Text, Text],
)
_SHARD = table_schema(Shard, name=ShardName, rows=Count, failures=Count, size=Count, sha256=Sha256)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    added: list[_SHARD] = []  # type: ignore[valid-type]
    removed: list[ShardName] = []


def read_manifest(folder: Path) -> tuple[Origin, dict[str, Shard]]:
    """What made a folder's answers, and its shards by name, in the order of their names.

    Raises:
        AnswersError: there is no such folder, or it is damaged.
    """
    path = folder / MANIFEST
    with doors.ending_in(AnswersError, path, DISTRUST):
        data = doors.read_bytes(path, MOST_MANIFEST_BYTES, "manifest of answers")
        head, *lines = data[: data.rfind(b"\n") + 1].splitlines() or [b""]
        reader = doors.JsonReader()
        table = reader.checked(head, _ORIGIN)
        if table.format != FORMAT:
            raise Refused(f"is of format {short(table.format)}, this version of synthprint reads {FORMAT!r}")
        shards: dict[str, Shard] = {}
        for number, text in enumerate(lines, 2):
            try:
                line = reader.checked(text, _Line)
            except Refused as error:
                raise Refused(str(error), (f"line {number}",)) from None
            for name in line.removed:
                shards.pop(name, None)
            tables: list[Any] = line.added
            shards |= {table.name: construct(Shard, table) for table in tables}
    return construct(Origin, table), dict(sorted(shards.items()))


def origin_text(origin: Origin) -> str:
    """As it stands in the first line of a manifest, and in the metadata of each shard."""
    return json.dumps({"format": FORMAT, **asdict(origin)}, sort_keys=True)


def write_manifest(folder: Path, origin: Origin, shards: Iterable[Shard] = ()) -> None:
    """Write it anew, in the order of the shards' names.

    Raises:
        OutputError: it cannot be written.
    """
    lines = [origin_text(origin), *(_line([shard]) for shard in sorted(shards, key=lambda shard: shard.name))]
    files.write_text(folder / MANIFEST, "\n".join(lines) + "\n")


def add_line(folder: Path, shards: Iterable[Shard] = (), removed: Iterable[str] = ()) -> None:
    """Say that shards are in their places, and that others count no more: both, or neither.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / MANIFEST
    with files.locked(folder), files.writing(path), open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.truncate(_whole(file, size))
        file.seek(0, os.SEEK_END)
        file.write(f"{_line(shards, removed)}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _line(added: Iterable[Shard], removed: Iterable[str] = ()) -> str:
    names = sorted(removed)
    return json.dumps({"added": [asdict(shard) for shard in added]} | ({"removed": names} if names else {}))


def _whole(file: Any, size: int) -> int:
    """The length of the file up to the end of its last whole line."""
    start = max(0, size - (1 << 16))
    file.seek(start)
    return start + int(file.read().rfind(b"\n")) + 1
