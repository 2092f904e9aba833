"""MP4 and its relatives (m4a, mov, 3gp): atoms with their sizes. FFmpeg reads them; only their end is looked for."""

from __future__ import annotations

from synthprint.sound.containers.parts import FileBytes, Part, Stretch

FIRST = b"ftyp"


def begins(data: FileBytes, place: int) -> bool:
    """Whether such a file begins at `place`."""
    head = data.at(place, 8)
    return head[4:] == FIRST and 8 <= int.from_bytes(head[:4], "big") <= 1 << 12


def walk(data: FileBytes, start: int) -> Stretch:
    """The file that begins at `start`: up to the next one, or to where no atom stands."""
    place, content = start, False
    while place < data.size:
        head = data.at(place, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if len(name) < 4 or not all(32 <= byte < 127 or byte == 0xA9 for byte in name):
            break
        if name == FIRST and content:
            break
        content |= name in (b"mdat", b"moov", b"moof")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        place = data.size if size == 0 else place + max(size, 8)
    end = min(place, data.size) if content else data.size
    return Stretch("MP4", (Part(start, end, foreign=True),), end)
