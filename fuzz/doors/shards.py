"""Tar shards, plain and packed: listed, and each clip of theirs fetched."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fuzz.door import Door
from fuzz.mutators.raw import raw
from synthprint.errors import StoreError
from synthprint.stores.fetching import fetched_ahead
from synthprint.stores.listing import listed

MOST_MEMBERS = 50  # that are fetched of a case


def _shard(mode: str, format: int) -> bytes:
    """Members with long names, labels, a link and a folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode, format=format) as file:  # type: ignore[call-overload]
        for name, size in (("a.wav", 40), ("a.json", 2), (f"{'d' * 120}/b.flac", 700), ("c.wav", 0)):
            header = tarfile.TarInfo(name)
            header.size = size
            file.addfile(header, io.BytesIO(bytes(size)))
        for name, kind in (("link.wav", tarfile.SYMTYPE), ("folder", tarfile.DIRTYPE)):
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            file.addfile(header)
    return data.getvalue()


def _seeds(mode: str, _: object) -> Sequence[bytes]:
    return [_shard(mode, format) for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)]


def _open(_: object, case: Path) -> object:
    stored = list(listed([case]))
    for clip in fetched_ahead(stored[:MOST_MEMBERS]):
        if not isinstance(clip, StoreError):
            clip.close()
    if stored[-1].address == case:  # it is damaged, and that is said of it behind what it holds
        raise StoreError(case, stored[-1].problem)
    return len(stored)


DOORS = tuple(
    Door(f"shard.{name}", f"clips.{name}", _open, partial(_seeds, mode), (raw,))
    for name, mode in (("tar", "w"), ("tar.gz", "w:gz"))
)
