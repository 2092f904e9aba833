"""FLAC: a header that may count its samples, or not, and frames that are numbered (RFC 9639)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from synthprint.sound.containers.parts import FileBytes, Part, Stretch, disagreement

MARK = b"fLaC"
STREAM_INFO = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # the first block, always 34 bytes; or the only one
TOTAL_AT, TOTAL_BITS = 18, 36  # bytes from the mark to the eight that end with the number of samples
MOST_CANDIDATES = 10_000  # places that are looked at for the last frame; there is one in 32 kB by chance
LONGEST_FRAME = 1 << 21  # bytes, about: 65,535 samples of 8 channels
SHORTEST_FRAME = 8  # bytes
LEAST_BEHIND = 1024  # bytes, from which on they are worth a word
LARGEST_BLOCK_TYPE = 127
ID3V1_BYTES = 128
# What stands so many bytes behind the beginning of another file, long enough not to stand in the frames by chance.
FOLLOWING = {
    MARK + STREAM_INFO[0]: 0, MARK + STREAM_INFO[1]: 0, b"OggS\0\2\0\0\0\0\0\0": 0, b"WAVEfmt ": 8,
    b"AIFFCOMM": 8, b"AIFCFVER": 8, b"ftypM4A ": 4, b"ftypisom": 4, b"ftypmp42": 4,
}  # fmt: skip
SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {code: 256 << (code - 8) for code in range(8, 16)}


@dataclass(frozen=True)
class _Frame:
    """A frame's place in the file, its first sample (or its number, where all are of one size) and its samples."""

    start: int
    number: int
    samples: int
    variable: bool


def walk(data: FileBytes, start: int, mark: int) -> Stretch:
    """The stream whose bytes begin at `start`, and its header at `mark`, with the samples that it really holds."""
    frames = _metadata_end(data, mark)
    others = (place - back for what, back in FOLLOWING.items() if (place := data.find(what, frames)) >= 0)
    end = min(others, default=data.size)
    header = data.at(mark + 8, 34)
    if len(header) < 34:
        return Stretch("FLAC", (Part(start, end),), end)
    smallest, largest = int.from_bytes(header[0:2], "big"), int.from_bytes(header[2:4], "big")
    fields = int.from_bytes(header[10:18], "big")
    rate, claimed = fields >> 44, fields & ((1 << TOTAL_BITS) - 1)
    last = _last_frame(data, frames, _without_tags(data, frames, end), largest if smallest == largest else 0)
    if last is None or not rate:
        return Stretch("FLAC", (Part(start, end),), end)
    counted, behind = last
    remarks = []
    if behind is not None and behind > LEAST_BEHIND:
        remarks.append(f"has {behind:,} bytes behind its last frame that are no audio: they were left out")
    if claimed and counted != claimed:
        remarks.append(disagreement(claimed / rate, counted / rate))
    elif behind is None:
        remarks.append("breaks off in the middle of a frame: what comes before was examined")
    patched = (fields >> TOTAL_BITS << TOTAL_BITS | counted).to_bytes(8, "big")
    patches = {mark + TOTAL_AT: patched} if counted != claimed else {}
    return Stretch("FLAC", (Part(start, end, patches),), end, tuple(remarks))


def _metadata_end(data: FileBytes, mark: int) -> int:
    """Where the blocks of metadata end, pictures among them."""
    place = mark + 4
    while len(header := data.at(place, 4)) == 4 and header[0] & 0x7F < LARGEST_BLOCK_TYPE:
        place += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            break
    return min(place, data.size)


def _without_tags(data: FileBytes, start: int, end: int) -> int:
    """`end`, or where the tags that others put behind a stream begin."""
    if data.at(end - ID3V1_BYTES, 3) == b"TAG":
        end -= ID3V1_BYTES
    footer = data.at(end - 32, 32)
    if footer[:8] == b"APETAGEX":
        size, flags = int.from_bytes(footer[12:16], "little"), int.from_bytes(footer[20:24], "little")
        end -= size + (32 if flags & 0x80000000 else 0)
    return max(end, start)


def _last_frame(data: FileBytes, start: int, end: int, block: int) -> tuple[int, int | None] | None:
    """How many samples there are in whole frames before `end`, and how many bytes behind the last frame.

    The second is None where the last frame is not whole; both are, where that is unclear.

    Args:
        block: samples of each frame but the last, where all are of one size; else 0.
    """
    first = max(start, end - LONGEST_FRAME)
    tail = data.at(first, end - first)
    places = [match.start() for match in re.finditer(rb"\xff[\xf8\xf9]", tail)]
    for place in places[: -1 - MOST_CANDIDATES : -1]:
        frame = _frame(tail, place)
        if frame is None or (not frame.variable and not block):
            continue
        before = frame.number if frame.variable else frame.number * block
        behind = _behind(tail[place:])
        return (before if behind is None else before + frame.samples), behind
    return None


def _behind(data: bytes) -> int | None:
    """How many bytes stand behind the frame that begins `data`; None where it does not end.

    It ends with its check: there the check of all before, and of itself, is 0. By chance that happens within, too.
    """
    crc, table, last = 0, _table(16, 0x8005), 0
    for place, byte in enumerate(data, 1):
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
        if not crc:
            last = place
    return len(data) - last if last >= SHORTEST_FRAME else None


def _frame(data: bytes, start: int) -> _Frame | None:
    """The frame whose header stands at `start`, if one does."""
    head = data[start : start + 16]
    if len(head) < 6 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    extra = next((n for n in range(8) if not head[4] << n & 0x80), 8)  # ones in front, as in UTF-8
    length = max(extra, 1)
    if extra == 1 or extra > 7:
        return None
    number = head[4] & (0x7F >> extra)
    for byte in head[5 : 4 + length]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    at, code = 4 + length, head[2] >> 4
    samples = SIZES.get(code, 0)
    if code in (6, 7):
        size = code - 5
        samples = int.from_bytes(head[at : at + size], "big") + 1
        at += size
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if len(head) <= at or _crc8(head[:at]) != head[at]:
        return None
    return _Frame(start, number, samples, bool(head[1] & 1))


def _crc8(data: bytes) -> int:
    return functools.reduce(lambda crc, byte: _table(8, 0x07)[crc ^ byte], data, 0)


@functools.cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    table = []
    for byte in range(256):
        crc = byte << (bits - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        table.append(crc)
    return tuple(table)
