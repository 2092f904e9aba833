"""Tags of music files, and padding: what stands before, between and behind MPEG frames."""

from __future__ import annotations

import struct

from synthprint.sound.containers.parts import CHUNK_BYTES, FileBytes

MOST_TAG = 1 << 14  # bytes of a tag that does not say its length in front


def tag_end(data: FileBytes, start: int = 0) -> int:
    """Where the ID3v2 tags at `start` end; `start`, where there are none."""
    while len(tag := data.at(start, 10)) == 10 and tag[:3] == b"ID3" and max(tag[6:10]) < 128:
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + size + (10 if tag[5] & 0x10 else 0)
    return start


def behind_tags(data: FileBytes, position: int) -> int:
    """Where the last of the tags and the padding that stand at `position` ends."""
    while (following := behind_one_tag(data, position)) > position:
        position = following
    return min(position, data.size)


def behind_one_tag(data: FileBytes, position: int) -> int:
    """Where the tags and the padding that stand at `position` end."""
    head = data.at(position, 32)
    if head[:3] == b"ID3":
        return max(tag_end(data, position), position)
    if head[:3] == b"TAG":
        return position + 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, flags = struct.unpack("<I4xI", head[12:24])
        return position + 32 + (size if flags & 0x20000000 else 0)  # of a header; of a footer 32 bytes alone
    footer = data.find(b"APETAGEX", position, position + MOST_TAG)  # of a tag without a header
    if footer >= 0 and footer + 32 - int.from_bytes(data.at(footer + 12, 4), "little") == position:
        return footer + 32
    if head[:11] == b"LYRICSBEGIN":
        end = max(data.find(mark, position, position + MOST_TAG) for mark in (b"LYRICS200", b"LYRICSEND"))
        return end + 9 if end >= 0 else position
    return behind_zeros(data, position)


def behind_zeros(data: FileBytes, position: int) -> int:
    """Where padding ends that stands at `position`, if frames, tags or the end of the file follow it."""
    place = position
    while chunk := data.at(place, CHUNK_BYTES):
        place += len(chunk) - len(chunk.lstrip(b"\0"))
        if chunk.strip(b"\0"):
            break
    return place if data.at(place, 1) in (b"\xff", b"I", b"T", b"A", b"") else position
