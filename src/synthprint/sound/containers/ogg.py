"""Ogg: pages, each with the stream that it belongs to (RFC 3533).

Files that were joined are links of a chain; a decoder reads the first. Streams side by side are tracks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from synthprint.sound.containers.parts import FileBytes, Part, Stretch

PAGE = b"OggS"
HEADER_BYTES = 27
FIRST, LAST = 2, 4  # bits of a page's type: the first and the last of its stream
AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
NO_TIME = 2**64 - 1  # of a page on which no packet ends


@dataclass
class _Track:
    """A stream of audio: the number of its next page, whether its last was seen, and its time stamps."""

    next_page: int
    ended: bool = False
    gaps: bool = False
    backwards: bool = False
    time: int = 0


@dataclass
class _Link:
    start: int
    tracks: dict[int, _Track] = field(default_factory=dict)
    begun: bool = False


def walk(data: FileBytes, start: int, place: int, begins_at: Callable[[FileBytes, int], bool]) -> Stretch:
    """The links of a chain whose bytes begin at `start`, and its first page at `place`.

    Args:
        begins_at: says whether another file begins at a place.
    """
    links = [_Link(start)]
    remarks: dict[str, None] = {}
    position, end = place, data.size
    while position < data.size:
        header = data.at(position, HEADER_BYTES)
        if header[:4] != PAGE:
            following = data.find(PAGE, position)
            if begins_at(data, position) or (following < 0 and data.size - position < HEADER_BYTES):
                end = position
                break
            remarks["has bytes between its pages that are no audio: it is damaged, or was put together"] = None
            if following < 0:
                break
            position = following
            continue
        table = data.at(position + HEADER_BYTES, header[26]) if len(header) == HEADER_BYTES else b""
        body = position + HEADER_BYTES + len(table)
        if len(header) < HEADER_BYTES or len(table) < header[26] or body + sum(table) > data.size:
            remarks["breaks off in the middle of a page: what comes before was examined"] = None
            break
        _page(links, position, header, data.at(body, min(8, sum(table))))
        position = body + sum(table)
    for link in links:
        remarks |= dict.fromkeys(_remarks(link))
    ends = [link.start for link in links[1:]] + [end]
    parts = tuple(Part(link.start, last) for link, last in zip(links, ends, strict=True))
    return Stretch("Ogg", parts, end, tuple(remarks), len(parts))


def _page(links: list[_Link], position: int, header: bytes, start: bytes) -> None:
    """Take note of a page."""
    kind, time, serial, number = struct.unpack("<BQII", header[5:22])
    if kind & FIRST:
        if links[-1].begun:
            links.append(_Link(position))
        if start.startswith(AUDIO):
            links[-1].tracks[serial] = _Track(number + 1, ended=bool(kind & LAST))
        return
    links[-1].begun = True
    track = links[-1].tracks.get(serial)
    if track is None:
        return
    track.gaps |= number != track.next_page
    track.next_page = number + 1
    track.ended |= bool(kind & LAST)
    if time != NO_TIME:
        track.backwards |= time < track.time
        track.time = max(time, track.time)


def _remarks(link: _Link) -> list[str]:
    remarks = []
    if len(link.tracks) > 1:
        remarks.append(f"has {len(link.tracks)} audio tracks: the first was examined, and none of the others")
    for track in list(link.tracks.values())[:1]:
        if track.gaps:
            remarks.append("lacks pages in its middle: it is damaged, or was put together")
        if track.backwards:
            remarks.append("has time stamps that run backwards: part of its audio may not have been examined")
        if not track.ended:
            remarks.append("ends without the mark of its end: it was cut off, or never finished")
    return remarks
