"""An object of a store as a file that is read in places: only the blocks that are looked at are fetched."""

from __future__ import annotations

from typing import Any

from synthprint.addresses import scheme, shown
from synthprint.errors import StoreError
from synthprint.reading.seekable import SeekableBytes
from synthprint.stores.drivers import driver
from synthprint.stores.retrying import retried

BLOCK_BYTES = 1 << 16
KEPT_BLOCKS = 64
NO_SIZE = "its server does not tell its size"
NO_PARTS = "its server does not give parts of it"


class NoRanges(StoreError):
    """A server gives the object as a whole, or not at all."""


class RangeFile(SeekableBytes):
    """The bytes of an object, read only.

    Args:
        address: of the object.
        size: that it has; None: its store is asked.
        ahead: bytes that are fetched behind those that are read; 0: blocks of BLOCK_BYTES are, and kept.

    Raises:
        StoreError: the object cannot be read.
        NoRanges: nor can its parts, or its size is not told.
        MissingDependency: the driver of its store is not installed.
    """

    def __init__(self, address: str, size: int | None = None, ahead: int = 0) -> None:
        self._address, self._store = address, driver(address)
        known = retried(address, lambda: self._store.info(address)["size"]) if size is None else size
        if known is None:
            raise NoRanges(shown(address), NO_SIZE)
        super().__init__(int(known))
        from fsspec.caching import BlockCache, ReadAheadCache

        self._cache: Any = (
            ReadAheadCache(ahead, self._fetch, self.size)
            if ahead
            else BlockCache(BLOCK_BYTES, self._fetch, self.size, KEPT_BLOCKS)
        )

    def _at(self, position: int, count: int) -> bytes:
        return bytes(self._cache._fetch(position, position + count))

    def _fetch(self, start: int, end: int) -> bytes:
        def once() -> bytes:
            if scheme(self._address) not in ("http", "https"):
                return bytes(self._store.cat_file(self._address, start=start, end=end))
            from fsspec.asyn import sync

            return bytes(sync(self._store.loop, _part, self._store, self._address, start, end))

        return retried(self._address, once)


async def _part(store: Any, address: str, start: int, end: int) -> bytes:
    """Bytes `start` to before `end` over HTTP, and never more, whatever the server sends."""
    session = await store.set_session()
    headers = {**store.kwargs["headers"], "Range": f"bytes={start}-{end - 1}"}
    async with session.get(store.encode_url(address), headers=headers) as answer:
        answer.raise_for_status()
        if answer.status != 206:
            raise NoRanges(shown(address), NO_PARTS)
        data = bytearray()
        while len(data) < end - start and (piece := await answer.content.read(end - start - len(data))):
            data += piece
    return bytes(data)
