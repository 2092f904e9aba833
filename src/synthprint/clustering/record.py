"""A clustering as files: `groups.json`, from which a group can be promoted, and the matrix of all pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from synthprint import files
from synthprint.clustering.exhibits import Clustering
from synthprint.errors import EmbeddingsError

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
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("is larger than any such file")
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"is of format {str(found['format'])[:40]!r}, not {FORMAT!r}")
        digest = {clip["path"]: clip["sha256"] for clip in found["clips"]}
        groups = {group["number"]: [str(clip) for clip in group["clips"]] for group in found["groups"]}
        files_of = {clip: (Path(found["paths"][clip]), digest[clip]) for clips in groups.values() for clip in clips}
        made_with = str(found["extractor"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EmbeddingsError(f"{path}: is no record of groups ({error}); see 'synthprint cluster --out'") from error
    if made_with != extractor:
        raise EmbeddingsError(f"{path}: was grouped with extractor {made_with[:12]}, not with {extractor[:12]}")
    if number not in groups:
        raise EmbeddingsError(f"{path}: has no group {number}; there are 1 to {len(groups)}")
    chosen = [files_of[clip] for clip in groups[number]]
    for file, expected in chosen:
        if not file.is_file() or files.sha256(file) != expected:
            raise EmbeddingsError(f"{file}: is not the file that was grouped any more; group the clips again")
    return [file for file, _ in chosen]


def linkage_rows(found: Clustering) -> Iterator[list[object]]:
    """The matrix of all pairs, clips in the order of their groups: log10 LRs, or cosines without a calibration."""
    order = [(i, group.number) for group in found.groups for i in group.members]
    values = found.cosines if found.log10_lr is None else found.log10_lr
    yield ["clip", "group", *(found.exhibits[i].path for i, _ in order)]
    for i, number in order:
        yield [found.exhibits[i].path, number, *(f"{values[i, j]:.3f}" if i != j else "" for j, _ in order)]
