"""A manifest that lies in a store, or is made of what lies there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthprint.addresses import ending, is_remote, shown, without_query
from synthprint.errors import ManifestError, StoreError
from synthprint.protocols import folder, table
from synthprint.stores.fetching import local_copy
from synthprint.stores.listing import listed
from synthprint.types import Manifest, Utterance

MOST_TABLE_BYTES = 4 << 30
PROTOCOLS = ("table", "folder")


def elsewhere(address: str, protocol: str | None = None) -> Manifest:
    """The manifest at an address: a table, whose paths are relative to where it lies; else the clips below, by folder.

    Raises:
        ManifestError: it cannot be fetched or listed, or does not hold together; or another protocol is asked for.
        MissingDependency: the driver of its store is not installed.
    """
    if protocol not in (None, *PROTOCOLS):
        raise ManifestError(f"{shown(address)}: {protocol} reads folders of this machine; copy the data set to one")
    try:
        is_table = protocol == "table" or (protocol is None and ending(address) in table.ENDINGS)
        return _table(address) if is_table else _folder(address)
    except StoreError as error:
        raise ManifestError(str(error)) from None


def _table(address: str) -> Manifest:
    base, name = without_query(address).rpartition("/")[0], shown(address)
    with local_copy(address, MOST_TABLE_BYTES) as copy:
        try:
            manifest = table.read(copy)
        except ManifestError as error:
            raise ManifestError(str(error).replace(str(copy), name)) from None
    rows = (u if _is_whole(u.path) else replace(u, path=f"{base}/{u.path}") for u in manifest)
    return Manifest(tuple(rows), Path(), name)


def _is_whole(path: str) -> bool:
    """Whether a path of a table is one as it stands."""
    return is_remote(path) or Path(path).is_absolute()


def _folder(address: str) -> Manifest:
    clips = list(listed([address]))
    if str(clips[0].address) == address:
        raise ManifestError(f"{shown(address)}: {clips[0].problem or 'is one clip, and no data set'}")
    parts = [clip.name.rpartition("!/")[2].split("/") for clip in clips]
    labels = folder.labels(parts, shown(address))
    utterances = (
        Utterance(clip.name, str(clip.address), source, split=split)
        for clip, (source, split) in zip(clips, labels, strict=True)
    )
    return Manifest(tuple(utterances), Path(), shown(address))
