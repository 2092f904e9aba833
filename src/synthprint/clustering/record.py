"""A clustering as files: `groups.json`, from which a group can be promoted, and the matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from synthprint import doors, files
from synthprint.clustering.exhibits import Clustering
from synthprint.errors import EmbeddingsError
from synthprint.schemas import Count, Extractor, Refused, Sha256, Text, short

FORMAT = "synthprint-groups-1"
MAX_BYTES = 64 << 20


def write_groups(path: Path, found: Clustering, extractor: str) -> None:
    """Write what was grouped; paths are made absolute."""
    place = {exhibit.path: str(Path(exhibit.path).absolute()) for exhibit in found.exhibits}
    files.write_json(path, {"format": FORMAT, "extractor": extractor, "paths": place, **found.to_dict()})


def clips_of(path: Path, number: int, extractor: str) -> list[Path]:
    """The files of a group, each of them still what was grouped.

    Raises:
        EmbeddingsError: the record is damaged or of another extractor, there is no such group, or a file has changed.
    """
    remedy = "see 'synthprint cluster --out'"
    try:
        table = doors.read_json(path, _Groups, MAX_BYTES)
        if table.format != FORMAT:
            raise Refused(f"must be {FORMAT!r}, not {short(table.format)}", ("format",))
        digest = {clip.path: clip.sha256 for clip in table.clips}
        groups = {group.number: group.clips for group in table.groups}
        chosen = [(Path(table.paths[clip]), digest[clip]) for clip in groups.get(number, ())]
    except OSError as error:
        raise EmbeddingsError(f"{path}: is no record of groups ({error.strerror}); {remedy}") from error
    except Refused as error:
        raise EmbeddingsError(f"{path}: is no record of groups ({error}); {remedy}") from error
    except KeyError as error:
        why = f"groups: clip {short(error.args[0])} is not among its clips and paths"
        raise EmbeddingsError(f"{path}: is no record of groups ({why}); {remedy}") from error
    made_with = table.extractor
    if made_with != extractor:
        raise EmbeddingsError(f"{path}: was grouped with extractor {made_with[:12]}, not with {extractor[:12]}")
    if number not in groups:
        raise EmbeddingsError(f"{path}: has no group {number}; there are 1 to {len(groups)}")
    for file, expected in chosen:
        if not _is_still(file, expected):
            raise EmbeddingsError(
                f"{path}: {short(str(file))} is not the file that was grouped any more; group the clips again"
            )
    return [file for file, _ in chosen]


def _is_still(file: Path, expected: str) -> bool:
    try:
        return doors.sha256(file) == expected
    except OSError:
        return False


class _Exhibit(msgspec.Struct):
    """A clip of a record; a person reads more of it."""

    path: str
    sha256: Sha256


class _Group(msgspec.Struct):
    number: Count
    clips: list[str]


class _Groups(msgspec.Struct):
    """What a record holds that a group is promoted by."""

    format: Text
    extractor: Extractor
    paths: dict[str, str]
    clips: list[_Exhibit]
    groups: list[_Group]


def linkage_rows(found: Clustering) -> Iterator[list[object]]:
    """The matrix of all pairs, clips in the order of their groups: log10 LRs, or cosines without a calibration."""
    order = [(i, group.number) for group in found.groups for i in group.members]
    values = found.cosines if found.log10_lr is None else found.log10_lr
    yield ["clip", "group", *(found.exhibits[i].path for i, _ in order)]
    for i, number in order:
        yield [found.exhibits[i].path, number, *(f"{values[i, j]:.3f}" if i != j else "" for j, _ in order)]
