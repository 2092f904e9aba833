"""What lies in a store, one clip after the other: nothing is gathered, however many there are."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from synthprint.addresses import (
    AUDIO_ENDINGS,
    SHARD_ENDINGS,
    Address,
    ending,
    member_address,
    placed,
    scheme,
    shard_and_member,
    without_query,
)
from synthprint.errors import StoreError
from synthprint.stores import pages, shards

CLIP_ENDINGS = AUDIO_ENDINGS.union(SHARD_ENDINGS)
LISTED_SCHEMES = ("s3", "gs", "az")
NO_AUDIO = f"holds no audio; files with these endings were looked for: {' '.join(sorted(CLIP_ENDINGS))}"
NO_LISTING = "cannot be listed, as no web server can: name its clips, or its shards, or give a manifest of them"
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A clip as a listing meets it.

    Attributes:
        address: a path, or the text that says where it lies.
        name: how it is called below what was listed.
        size: in bytes; None where the listing does not say it.
        stamp: a text that is another when the clip has changed; None where the listing does not say it.
        offset: of a member of a shard: where its header begins.
        problem: why it cannot be fetched, as far as the listing shows; "" where nothing speaks against it.
    """

    address: Address
    name: str
    size: int | None = None
    stamp: str | None = None
    offset: int | None = None
    problem: str = ""


def listed(addresses: Iterable[str | Path]) -> Iterator[StoredClip]:
    """The clips at each of `addresses`, in a stable order: files as they are; all audio below folders and prefixes.

    A shard stands for the audio in it. In the address of a store, `*` stands for any text without a `/`, `**` for any;
    in any URL, `{000..127}` for each of these numbers. What cannot be listed, or listed to its end, stands for itself,
    with the `problem`; so does a folder without audio, and a member of a shard that is a link or a device.

    Raises:
        MissingDependency: the driver of a store is not installed.
    """
    for address in addresses:
        place = placed(address)
        if isinstance(place, str):
            for url in _numbered(place):
                yield from _remote(url)
        elif "*" in str(place) and not place.exists():
            found = sorted(glob.iglob(str(place), recursive=True))  # noqa: PTH207 - of any folder, not of one
            for path in map(Path, found) if found else [place]:
                yield from _below(path)
        else:
            yield from _below(place)


def _file(path: Path, name: str) -> StoredClip:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return StoredClip(path, name)
    return StoredClip(path, name, status.st_size, str(status.st_mtime_ns))


def _below(path: Path) -> Iterator[StoredClip]:
    if not path.is_dir():
        name = path.name or str(path)
        yield from _clip_or_members(_file(path, name), base="")
        return
    empty = True
    for file in files_below(path):
        empty = False
        yield from _clip_or_members(_file(file, file.relative_to(path).as_posix()))
    if empty:
        yield StoredClip(path, path.name or str(path), problem=NO_AUDIO)


def files_below(folder: Path) -> Iterator[Path]:
    """The audio files and shards below a folder, by ending, sorted, hidden ones left out; links are followed."""
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in names:
        path = folder / name
        if is_folder:
            if not _leads_back(path):
                yield from files_below(path)
        elif ending(path) in CLIP_ENDINGS:
            yield path


def _leads_back(folder: Path) -> bool:
    """Whether `folder` is a link to one of the folders it lies in, which would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _clip_or_members(clip: StoredClip, base: str | None = None) -> Iterator[StoredClip]:
    """A clip, or what is in it where it is a shard; `base`: what the names of these begin with."""
    if ending(clip.address) not in SHARD_ENDINGS or shard_and_member(clip.address):
        yield clip
        return
    shard, before, empty = str(clip.address), f"{clip.name}!/" if base is None else base, True
    try:
        for member in shards.members(shard):
            last = member.name.rpartition("/")[2]
            if ending(last) in AUDIO_ENDINGS and not last.startswith("."):
                empty = False
                address, name = member_address(shard, member.name), before + member.name
                yield StoredClip(address, name, member.size, clip.stamp, member.offset, member.problem)
    except StoreError as error:
        yield StoredClip(clip.address, clip.name, problem=error.reason)
    else:
        if empty:
            yield StoredClip(clip.address, clip.name, problem=NO_AUDIO)


# --- Stores -----------------------------------------------------------------------------------------------------------


def _numbered(address: str) -> Iterator[str]:
    """An address for each of the numbers `{000..127}` in it, as WebDataset writes them."""
    span = _NUMBERS.search(address)
    if not span:
        yield address
        return
    first, last = span.groups()
    for number in range(int(first), int(last) + 1):
        yield from _numbered(f"{address[: span.start()]}{number:0{len(first)}}{address[span.end() :]}")


def _remote(address: str) -> Iterator[StoredClip]:
    name = _last(address)
    if shard_and_member(address):
        yield StoredClip(address, name)
    elif "*" in address and scheme(address) in LISTED_SCHEMES:
        wanted = re.compile(_expression(address), re.DOTALL)
        yield from _objects(address, address[: address.index("*")], wanted, address[: address.index("*")])
    elif ending(address) in CLIP_ENDINGS and not address.endswith("/"):
        yield from _clip_or_members(StoredClip(address, name), base="")
    elif scheme(address) in LISTED_SCHEMES:
        base = f"{address.rstrip('/')}/"
        yield from _objects(address, base, None, base)
    elif address.endswith("/"):
        yield StoredClip(address, name, problem=NO_LISTING)
    else:
        yield StoredClip(address, name)


def _last(address: str) -> str:
    return without_query(address).rstrip("/").rpartition("/")[2]


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


def _objects(address: str, prefix: str, wanted: re.Pattern[str] | None, base: str) -> Iterator[StoredClip]:
    """The clips whose addresses begin with `prefix`, and are `wanted`; their names are what follows `base`'s folder."""
    bucket, empty = "/".join(address.split("/")[:3]), True
    folder = base[: base.rindex("/") + 1]
    try:
        for item in pages.objects(prefix):
            place = f"{bucket}/{item.key}"
            name = place.removeprefix(folder)
            is_hidden = name.startswith(".") or "/." in name
            if ending(item.key) in CLIP_ENDINGS and not is_hidden and (wanted is None or wanted.fullmatch(place)):
                empty = False
                yield from _clip_or_members(StoredClip(place, name, item.size, item.stamp))
    except StoreError as error:
        yield StoredClip(address, _last(address), problem=error.reason)
    else:
        if empty:
            yield StoredClip(address, _last(address), problem=NO_AUDIO)
