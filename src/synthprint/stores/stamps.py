"""Whether a clip has changed where it lies: asked without its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from synthprint import files
from synthprint.addresses import Address, placed, shard_and_member
from synthprint.background import in_order
from synthprint.errors import StoreError
from synthprint.stores.drivers import driver
from synthprint.stores.retrying import retried

AT_ONCE, AHEAD = 16, 64
TAGS = ("generation", "ETag", "etag", "Content-MD5", "Digest", "Last-Modified")  # as the drivers have them


def stamp(address: Address) -> tuple[int, int] | None:
    """Of a clip, or of the shard that it is in; None where there is none, or nothing that tells.

    Returns:
        Its bytes, and a number that is another when they have changed: of a file its time in ns.

    Raises:
        MissingDependency: the driver of its store is not installed.
    """
    if isinstance(address, Path):
        return files.stamp(address)
    if member := shard_and_member(address):
        return stamp(placed(member[0]))
    try:
        store = driver(address)
        said = retried(address, lambda: store.info(address))
    except StoreError:
        return None
    tag = next((str(said[name]) for name in TAGS if said.get(name)), None)
    if tag is None or said["size"] is None:
        return None
    return int(said["size"]), int.from_bytes(hashlib.sha256(tag.encode()).digest()[:7])


def stamps(addresses: Sequence[Address]) -> list[tuple[int, int] | None]:
    """`stamp` of each of `addresses`; stores are asked for several at once."""
    elsewhere = [address for address in addresses if isinstance(address, str)]
    asked = dict(zip(elsewhere, in_order(stamp, elsewhere, AT_ONCE, AHEAD), strict=True)) if elsewhere else {}
    return [asked[address] if isinstance(address, str) else files.stamp(address) for address in addresses]
