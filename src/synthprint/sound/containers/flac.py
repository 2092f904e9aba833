"""FLAC: a header that may count its samples, or not, and frames that are numbered (RFC 9639)."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from synthprint.sound.containers.parts import FileBytes, Layout, Part, disagreement, joined

MARK = b"fLaC"
STREAM_INFO = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # the first block, always 34 bytes; or the only one
TOTAL_AT, TOTAL_BITS = 18, 36  # bytes from the mark to the eight that end with the number of samples
MOST_CANDIDATES = 10_000  # places that are looked at for the last frame; there is one in 32 kB by chance
LONGEST_FRAME = 1 << 21  # bytes, about: 65,535 samples of 8 channels
ID3V1_BYTES = 128
SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {code: 256 << (code - 8) for code in range(8, 16)}


@dataclass(frozen=True)
class _Frame:
    """A frame's place in the file, its first sample (or its number, where all are of one size) and its samples."""

    start: int
    number: int
    samples: int
    variable: bool


def flac(data: FileBytes, start: int = 0) -> Layout:
    """The layout of a FLAC file, or of several that were joined; the first begins at `start`."""
    starts = [0]
    while (place := data.find(MARK, max(starts[-1], start) + 4)) >= 0:
        if data.at(place + 4, 4) in STREAM_INFO:
            starts.append(place)
        else:
            start = place  # the letters alone: look on behind them
    parts, remarks = [], []
    for first, end in zip(starts, [*starts[1:], data.size], strict=True):
        part, remark = _part(data, first, first or data.find(MARK, 0), end)
        parts.append(part)
        remarks += [remark] if remark else []
    if len(parts) > 1:
        remarks.insert(0, joined(len(parts), "FLAC"))
    return Layout(tuple(parts) if parts != [data.whole()] else (), tuple(remarks))


def _part(data: FileBytes, first: int, mark: int, end: int) -> tuple[Part, str]:
    """The stream from `first` to before `end`, its header at `mark`, with the number of samples that it holds."""
    header = data.at(mark + 8, 34)
    if len(header) < 34:
        return Part(first, end), ""
    smallest, largest = int.from_bytes(header[0:2], "big"), int.from_bytes(header[2:4], "big")
    fields = int.from_bytes(header[10:18], "big")
    rate, claimed = fields >> 44, fields & ((1 << TOTAL_BITS) - 1)
    if data.at(end - ID3V1_BYTES, 3) == b"TAG":
        end -= ID3V1_BYTES
    there = _samples(data, mark + 42, end, largest if smallest == largest else 0)
    if there is None or there == claimed or not rate:
        return Part(first, end), ""
    patched = (fields >> TOTAL_BITS << TOTAL_BITS | there).to_bytes(8, "big")
    remark = disagreement(claimed / rate, there / rate) if claimed else ""
    return Part(first, end, {mark + TOTAL_AT: patched}), remark


def _samples(data: FileBytes, start: int, end: int, block: int) -> int | None:
    """How many samples there are in whole frames before `end`, by the number of the last; None where that is unclear.

    Args:
        block: samples of each frame but the last, where all are of one size; else 0.
    """
    tail = data.at(max(start, end - LONGEST_FRAME), end - max(start, end - LONGEST_FRAME))
    places = [found.start() for found in re.finditer(rb"\xff[\xf8\xf9]", tail)]
    for place in places[: -1 - MOST_CANDIDATES : -1]:
        frame = _frame(tail, place)
        if frame is None or (not frame.variable and not block):
            continue
        before = frame.number if frame.variable else frame.number * block
        whole = _crc16(tail[place:-2]) == int.from_bytes(tail[-2:], "big")
        return before + frame.samples if whole else before
    return None


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


def _crc16(data: bytes) -> int:
    table = _table(16, 0x8005)
    return functools.reduce(lambda crc, byte: (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte], data, 0)


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
