"""Any path to a manifest: a table, or a folder that a protocol recognises."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from synthprint import shelves
from synthprint.addresses import SHARD_ENDINGS, ending, placed
from synthprint.errors import ManifestError
from synthprint.manifests.elsewhere import elsewhere
from synthprint.reading.doors import check_link, ending_in
from synthprint.types import Manifest

# What is generous in what it recognises is asked last; a new protocol on the shelf is asked before them.
_ASKED_LAST = ("table", "folder")


def open_manifest(path: str | os.PathLike[str], protocol: str | None = None) -> Manifest:
    """Read a `.csv`, `.jsonl` or `.parquet` table, or a folder: by `protocol`, else by the first that recognises it.

    `source_seen` and `language_seen` are filled in from the train split where the data set does not give them.

    Args:
        path: a table, a data set's root folder, a shard, or the address of a table, a prefix or a shard; of the last
            two the sources are folders, as on a disk.
        protocol: a name on the protocols shelf; None looks for one.

    Raises:
        ManifestError: nothing recognises `path`, or what it found does not hold together, or it cannot be fetched.
        MissingDependency: the driver of the store where it lies is not installed.
        ShelfError: there is no such protocol.
    """
    place = placed(os.fspath(path))
    if isinstance(place, str) or ending(place) in SHARD_ENDINGS:
        return elsewhere(str(place), protocol).with_seen()
    path = place
    if not path.exists():
        with ending_in(ManifestError, path):
            check_link(path)
        raise ManifestError(f"{path}: no such file or folder")
    module = _recognised(path) if protocol is None else shelves.find("protocols", protocol)
    manifest: Manifest = module.read(path)
    return manifest.with_seen()


def distinct(manifest: Manifest) -> Manifest:
    """The first utterance of every path: a manifest without the rows that its lists repeat."""
    first = {utterance.path: utterance for utterance in reversed(manifest.utterances)}
    return replace(manifest, utterances=tuple(u for u in manifest.utterances if first[u.path] is u))


def _recognised(path: Path) -> ModuleType:
    shelf = shelves.names("protocols")
    asked: dict[str, ModuleType] = {
        name: shelves.find("protocols", name)
        for name in [*(name for name in shelf if name not in _ASKED_LAST), *_ASKED_LAST]
    }
    for module in asked.values():
        if module.recognises(path):
            return module
    looked = "; ".join(
        f"{name}: {(module.__doc__ or '').splitlines()[0].rstrip('.')}" for name, module in asked.items()
    )
    raise ManifestError(f"{path}: no manifest is recognised here. These were looked for: {looked}")
