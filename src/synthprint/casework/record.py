"""A clustering as files: `groups.json`, from which a group can be enrolled, and the matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from synthprint import files
from synthprint.addresses import Address, is_remote, placed
from synthprint.casework.groups import Clustering
from synthprint.errors import EmbeddingsError, StoreError
from synthprint.reading import doors
from synthprint.reading.schemas import Count, ExtractorName, Refused, Sha256, Text, short
from synthprint.stores.fetching import local_copy

FORMAT = "synthprint-groups-1"
MAX_BYTES = 64 << 20


def write_groups(path: Path, clustering: Clustering) -> None:
    """Write what was grouped; paths are made absolute."""
    paths = [exhibit.path for exhibit in clustering.exhibits]
    place = {path: path if is_remote(path) else str(Path(path).absolute()) for path in paths}
    table = {"format": FORMAT, "extractor": clustering.extractor, "paths": place, **clustering.to_dict()}
    files.write_json(path, table)


def group_clips(path: Path, number: int, extractor: str) -> list[Address]:
    """The clips of a group, each of them still what was grouped.

    Raises:
        EmbeddingsError: the record is damaged or of another extractor, there is no such group, or a file has changed.
    """
    remedy = "group the clips again, and write the record anew"
    try:
        table = doors.read_json(path, _Groups, MAX_BYTES)
        if table.format != FORMAT:
            raise Refused(f"must be {FORMAT!r}, not {short(table.format)}", ("format",))
        digest = {clip.path: clip.sha256 for clip in table.clips}
        groups = {group.number: group.clips for group in table.groups}
        members = [(placed(table.paths[clip]), digest[clip]) for clip in groups.get(number, ())]
    except OSError as error:
        raise EmbeddingsError(f"{path}: is no record of groups ({error.strerror}); {remedy}") from error
    except Refused as error:
        raise EmbeddingsError(f"{path}: is no record of groups ({error}); {remedy}") from error
    except KeyError as error:
        why = f"groups: clip {short(error.args[0])} is not among its clips and paths"
        raise EmbeddingsError(f"{path}: is no record of groups ({why}); {remedy}") from error
    if table.extractor != extractor:
        raise EmbeddingsError(f"{path}: was grouped with extractor {table.extractor[:12]}, not with {extractor[:12]}")
    if number not in groups:
        raise EmbeddingsError(f"{path}: has no group {number}; there are 1 to {len(groups)}")
    for file, expected in members:
        if not _is_still(file, expected):
            raise EmbeddingsError(
                f"{path}: {short(str(file))} is not the file that was grouped any more; group the clips again"
            )
    return [file for file, _ in members]


def _is_still(clip: Address, expected: str) -> bool:
    try:
        with local_copy(clip) as file:
            return doors.sha256(file) == expected
    except (OSError, StoreError):
        return False


class _Exhibit(msgspec.Struct):
    """A clip of a record; a person reads more of it."""

    path: str
    sha256: Sha256


class _Group(msgspec.Struct):
    number: Count
    clips: list[str]


class _Groups(msgspec.Struct):
    """What a record holds that a group is enrolled by."""

    format: Text
    extractor: ExtractorName
    paths: dict[str, str]
    clips: list[_Exhibit]
    groups: list[_Group]


def linkage_rows(clustering: Clustering) -> Iterator[list[object]]:
    """The matrix of all pairs, clips in the order of their groups: log10 LRs, or cosines without a calibration."""
    order = [(i, group.number) for group in clustering.groups for i in group.members]
    values = clustering.cosines if clustering.log10_lr is None else clustering.log10_lr
    yield ["clip", "group", *(clustering.exhibits[i].path for i, _ in order)]
    for i, number in order:
        yield [clustering.exhibits[i].path, number, *(f"{values[i, j]:.3f}" if i != j else "" for j, _ in order)]
