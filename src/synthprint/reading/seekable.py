"""Bytes that are had by their place, as a file that can only be read."""

from __future__ import annotations

import io
import os
from abc import abstractmethod


class SeekableBytes(io.RawIOBase):
    """A file of `size` bytes, of which a subclass gives those at a place."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self._position = size, 0

    @abstractmethod
    def _at(self, position: int, count: int) -> bytes | bytearray:
        """At most `count` bytes from `position` on, none of them beyond the end; `count` is above 0."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self._position)
        data = self._at(self._position, count) if count > 0 else b""
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
