"""`Layout`: the streams of audio that a file holds, as parts that a decoder reads to their true end.

A header may be wrong about what follows it: written to a pipe it knows no length, two files were joined and the first
one's header speaks for both, a file was cut off. A decoder that believes it leaves audio out without a word, which is
where a splice hides. So a file's structure is walked before it is decoded, without decoding it, and each part is
handed to the decoder with the length that it really has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from synthprint.reading.doors import read_at
from synthprint.reading.seekable import SeekableBytes

CHUNK_BYTES = 1 << 16
MAX_READS = 4_000_000  # three for each frame of four hours of MP3 are 2 million


@dataclass(frozen=True)
class Part:
    """Bytes `start` to before `end` of a file, which a decoder is to take for a file of their own.

    Attributes:
        patches: position in the file -> bytes that stand in for those there: a length that is right.
        prefix: bytes before the first: a header where the part has none.
        foreign: whether it is of a kind that libsndfile must not take for another.
    """

    start: int
    end: int
    patches: Mapping[int, bytes] = field(default_factory=dict)
    prefix: bytes = b""
    foreign: bool = False


@dataclass(frozen=True)
class Stretch:
    """What one walker finds: bytes from where it began to before `end`.

    Attributes:
        kind: of the files in it: "WAVE", "MP3", …
        parts: in order.
        end: where the next file may begin.
        remarks: as those of `Layout`.
        files: how many there are, one after the other.
    """

    kind: str
    parts: tuple[Part, ...]
    end: int
    remarks: tuple[str, ...] = ()
    files: int = 1


@dataclass(frozen=True)
class Layout:
    """The parts of a file, in order, and what is odd about it, in words that continue "the file …".

    Attributes:
        parts: empty where the file is one part as it is.
        remarks: in words.
        joined: the remark on a file that is several; "" where it is one.
        foreign: as that of a part, where there are none.
    """

    parts: tuple[Part, ...] = ()
    remarks: tuple[str, ...] = ()
    joined: str = ""
    foreign: bool = False


class IntricateFile(Exception):
    """A file has more structure than any audio: it was made to keep its readers busy."""


class FileBytes:
    """Random reads of an open file, fast where they are close to each other, and limited in number."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self._reads = 0
        self._descriptor = descriptor
        self._chunk, self._chunk_start = b"", 0

    def at(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on; fewer where the file ends, none before its beginning.

        Raises:
            IntricateFile: there were too many reads.
        """
        self._reads += 1
        if self._reads > MAX_READS:
            raise IntricateFile
        if start < 0:
            return b""
        first = start - self._chunk_start
        if not 0 <= first <= first + count <= len(self._chunk):
            self._chunk_start, first = start, 0
            self._chunk = read_at(self._descriptor, max(count, CHUNK_BYTES), start)
        return self._chunk[first : first + count]

    def find(self, wanted: bytes, start: int, end: int | None = None) -> int:
        """The first place from `start` on, and before `end`, where `wanted` stands; -1 where there is none."""
        end = self.size if end is None else min(end, self.size)
        while start < end:
            first = start - self._chunk_start
            if not 0 <= first <= len(self._chunk) - len(wanted):
                self.at(start, len(wanted))
                first = 0
            place = self._chunk.find(wanted, first)
            if place >= 0:
                place += self._chunk_start
                return place if place < end else -1
            start = max(start + 1, self._chunk_start + len(self._chunk) - len(wanted) + 1)
        return -1

    def search(self, pattern: re.Pattern[bytes], start: int, end: int) -> int:
        """The first place from `start` on, and before `end`, where `pattern` of 3 bytes matches; -1: there is none."""
        while start < end:
            first = start - self._chunk_start
            if not 0 <= first <= len(self._chunk) - 3:
                if len(self.at(start, 3)) < 3:
                    return -1
                first = 0
            if match := pattern.search(self._chunk, first):
                place = self._chunk_start + match.start()
                return place if place < end else -1
            start = self._chunk_start + len(self._chunk) - 2
        return -1

    def whole(self) -> Part:
        """The file as one part."""
        return Part(0, self.size)


Begins = Callable[[FileBytes, int], bool]  # whether another file begins at a place


class PartFile(SeekableBytes):
    """A part of an open file, as a file that can only be read."""

    def __init__(self, descriptor: int, part: Part) -> None:
        super().__init__(len(part.prefix) + part.end - part.start)
        self._descriptor, self._part = descriptor, part

    def _at(self, position: int, count: int) -> bytes:
        part = self._part
        head = part.prefix[position : position + count]
        start = part.start + max(0, position - len(part.prefix))
        data = bytearray(read_at(self._descriptor, count - len(head), start))
        for place, patch in part.patches.items():
            first, last = max(place, start), min(place + len(patch), start + len(data))
            if first < last:
                data[first - start : last - start] = patch[first - place : last - place]
        return head + bytes(data)


def disagreement(header_s: float, content_s: float) -> str:
    """The remark on a header that counts `header_s` seconds where there are `content_s`."""
    what = "it was cut off, or altered" if content_s < header_s else "all of it was examined"
    return f"has a header that counts {duration(header_s)} of audio, and holds {duration(content_s)}: {what}"


def duration(seconds: float) -> str:
    """A duration in words."""
    return f"{seconds:.1f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
