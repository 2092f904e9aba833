"""MP3 (and MPEG layers I and II): frames that follow each other, and a first one that may count them.

Encoders that write a variable bitrate put a frame without audio first, named Xing, Info or VBRI, with the number of
frames. It is a number like any other: files that are joined, cut or altered have a wrong one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from synthprint.sound.containers.parts import CHUNK_BYTES, FileBytes, IntricateFile, Part, Stretch, disagreement

Known = Callable[[FileBytes, int], bool]

# kbit/s by the index in a header: layers I, II, III of MPEG 1; layer I, then II and III, of MPEG 2 and 2.5
_MPEG1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2 = {1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)} | dict.fromkeys(
    (2, 3), (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
)
_RATES = (44100, 48000, 32000)  # of MPEG 1; half of it in MPEG 2, a quarter in MPEG 2.5
MIDDLE_BITRATE = 8  # index of one at which a frame has room for a count
IN_A_ROW, SURE = 3, 5  # frames that must follow each other before bytes are taken for frames, or for another file's
MOST_JUNK = 1 << 17  # bytes before the first frame
MOST_TAG = 1 << 14  # bytes of a tag that does not say its length in front
MOST_STREAMS = 1000
HEADER = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]", re.DOTALL)  # what a frame can begin with
OFF_BY = 1  # frames by which some encoders miscount


@dataclass(frozen=True)
class _Header:
    """Four bytes of a frame: what it is, its bytes and its samples."""

    raw: bytes
    sample_rate: int
    bitrate: int
    length: int
    samples: int
    side_bytes: int

    @property
    def kind(self) -> tuple[int, int, bool]:
        """What does not change within a stream: version and layer, sample rate, mono or stereo."""
        return self.raw[1] & 0xFE, self.sample_rate, self.raw[3] >> 6 == 3


@dataclass
class _Stream:
    """Frames in a row, from the bytes `start` to before `end`.

    Attributes:
        goes_on: whether it is what follows a gap in the stream before.
        count: what its first frame counts, where that is one without audio.
    """

    start: int
    first: _Header
    goes_on: bool = False
    end: int = 0
    frames: int = 0
    bitrates: set[int] = field(default_factory=set)
    count: _Count | None = None

    @property
    def counted(self) -> int | None:
        return self.count.frames if self.count else None


@dataclass(frozen=True)
class _Count:
    """Of a frame that counts: how many frames, None where it does not say, and where that and the bytes stand."""

    frames: int | None
    frames_at: int = 0
    bytes_at: int = 0


@dataclass(frozen=True)
class _Walk:
    streams: list[_Stream]
    gaps: list[int]  # bytes of each stretch between frames that is neither frame nor tag
    end: int
    cut: bool = False


def begins(data: FileBytes, place: int) -> bool:
    """Whether MPEG audio begins at `place`: with a tag, or frames that follow each other."""
    tag = data.at(place, 10)
    tagged = tag[:3] == b"ID3" and len(tag) == 10 and max(tag[6:10]) < 128 and tag[3] < 5
    return tagged or _row(data, place, SURE)


def walk(data: FileBytes, start: int, place: int, known: Known) -> Stretch | None:
    """The frames whose bytes begin at `start`, and their first tag ends at `place`; None where there are none.

    Args:
        known: says where another file begins.
    """
    first = _behind_zeros(data, place)
    if not _row(data, first, IN_A_ROW):
        first = _synchronised(data, first, min(data.size, first + MOST_JUNK), SURE)
    if first < 0:
        return None
    found = _walk(data, first, known)
    if not found.streams:
        return None
    files = _files(found)
    parts = tuple(map(_part, found.streams))
    if len(parts) == 1 and not found.gaps and not parts[0].patches and not parts[0].prefix:
        parts = (Part(start, found.end),)
    return Stretch("MP3", parts, found.end, tuple(_remarks(found, files)), len(files))


def _files(walk: _Walk) -> list[list[_Stream]]:
    """The streams of each file, of those that were joined."""
    files: list[list[_Stream]] = []
    for stream in walk.streams:
        if stream.goes_on and files:
            files[-1].append(stream)
        else:
            files.append([stream])
    return files


def _remarks(walk: _Walk, files: list[list[_Stream]]) -> Iterator[str]:
    if walk.gaps:
        total = sum(walk.gaps)
        yield f"has {total:,} bytes between its frames that are no audio: it is damaged, or was put together"
    miscounted = False
    for streams in files:
        counted, frames = streams[0].counted, sum(stream.frames for stream in streams)
        if counted is not None and abs(counted - frames) > OFF_BY:
            second = streams[0].first.sample_rate / streams[0].first.samples
            yield disagreement(counted / second, frames / second)
            miscounted = True
    if walk.cut and not miscounted:
        yield "breaks off in the middle of a frame: what comes before was examined"


def tag_end(data: FileBytes, start: int = 0) -> int:
    """Where the ID3v2 tags at `start` end; `start`, where there are none."""
    while len(tag := data.at(start, 10)) == 10 and tag[:3] == b"ID3" and max(tag[6:10]) < 128:
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + size + (10 if tag[5] & 0x10 else 0)
    return start


def _walk(data: FileBytes, position: int, known: Known) -> _Walk:
    streams: list[_Stream] = []
    gaps: list[int] = []
    fresh, gap = True, False  # whether the next frame starts a stream, and whether behind a gap
    while position < data.size:
        header = _header(data.at(position, 4))
        if header is None:
            following = _behind_tags(data, position)
            if following == position:
                if known(data, position):
                    break
                following = _synchronised(data, position + 1, data.size, IN_A_ROW)
                following = data.size if following < 0 else following
                gap = True
                gaps += [following - position] if following < data.size or data.size - position > 4 else []
            position, fresh = following, True
            continue
        if position + header.length > data.size:
            return _Walk(streams, gaps, data.size, cut=True)
        count = _count(data, position, header)
        if fresh or count or header.kind != streams[-1].first.kind:
            goes_on = gap and not count and bool(streams) and header.kind == streams[-1].first.kind
            streams.append(_Stream(position, header, goes_on))
            fresh, gap = False, False
            if len(streams) > MOST_STREAMS:
                raise IntricateFile
        stream = streams[-1]
        stream.end = position + header.length
        if count:
            stream.count = count
        else:
            stream.frames += 1
            stream.bitrates.add(header.bitrate)
        position = stream.end
    return _Walk([stream for stream in streams if stream.frames], gaps, min(position, data.size))


def _part(stream: _Stream) -> Part:
    """The part of a stream, with the right count where it has a wrong one, or needs one and has none."""
    if stream.count is None or stream.count.frames is None:
        if len(stream.bitrates) == 1:
            return Part(stream.start, stream.end)
        return Part(stream.start, stream.end, prefix=_counting_frame(stream.first, stream.frames))
    if not stream.count.frames_at:  # of a kind that decoders do not read: they take it for a frame of silence
        if len(stream.bitrates) == 1:
            return Part(stream.start, stream.end)
        return Part(stream.start, stream.end, prefix=_counting_frame(stream.first, stream.frames + 1))
    if abs(stream.count.frames - stream.frames) <= OFF_BY:
        return Part(stream.start, stream.end)
    patches = {stream.count.frames_at: stream.frames.to_bytes(4, "big")}
    if stream.count.bytes_at:
        patches[stream.count.bytes_at] = (stream.end - stream.start).to_bytes(4, "big")
    return Part(stream.start, stream.end, patches)


def _header(raw: bytes) -> _Header | None:
    if len(raw) < 4 or raw[0] != 0xFF or raw[1] < 0xE0:
        return None
    version, layer = raw[1] >> 3 & 3, 4 - (raw[1] >> 1 & 3)
    index, rate = raw[2] >> 4, raw[2] >> 2 & 3
    if version == 1 or layer == 4 or index in (0, 15) or rate == 3:  # reserved, or a free bitrate
        return None
    first = version == 3
    sample_rate = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bitrate = 1000 * (_MPEG1 if first else _MPEG2)[layer][index - 1]
    padding = raw[2] >> 1 & 1
    samples = {1: 384, 2: 1152, 3: 1152 if first else 576}[layer]
    slot = 4 if layer == 1 else 1
    length = (samples // 8 // slot * bitrate // sample_rate + padding) * slot
    mono = raw[3] >> 6 == 3
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return _Header(raw, sample_rate, bitrate, length, samples, side)


def _synchronised(data: FileBytes, position: int, end: int, frames: int) -> int:
    """The first place from `position` on, before `end`, where so many frames follow each other; -1: there is none."""
    while (position := data.search(HEADER, position, end)) >= 0:
        if _row(data, position, frames):
            return position
        position += 1
    return -1


def _row(data: FileBytes, position: int, frames: int) -> bool:
    """Whether so many frames of one kind follow each other from `position` on; fewer, where the file ends with them."""
    kind = None
    for _ in range(frames):
        if kind is not None and position == data.size:
            return True
        header = _header(data.at(position, 4))
        if header is None or kind not in (None, header.kind):
            return False
        kind = header.kind
        position += header.length
    return True


def behind_tags(data: FileBytes, position: int) -> int:
    """Where the last of the tags and the padding that stand at `position` ends."""
    while (following := _behind_tags(data, position)) > position:
        position = following
    return min(position, data.size)


def _behind_tags(data: FileBytes, position: int) -> int:
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
    return _behind_zeros(data, position)


def _behind_zeros(data: FileBytes, position: int) -> int:
    """Where padding ends that stands at `position`, if frames, tags or the end of the file follow it."""
    place = position
    while chunk := data.at(place, CHUNK_BYTES):
        place += len(chunk) - len(chunk.lstrip(b"\0"))
        if chunk.strip(b"\0"):
            break
    return place if data.at(place, 1) in (b"\xff", b"I", b"T", b"A", b"") else position


def _count(data: FileBytes, position: int, header: _Header) -> _Count | None:
    """What a frame counts that holds a count instead of audio; None where it holds audio."""
    place = position + 4 + header.side_bytes
    tag = data.at(place, 12)
    if tag[:4] in (b"Xing", b"Info"):
        if len(tag) < 12 or not tag[7] & 1:
            return _Count(None)
        return _Count(int.from_bytes(tag[8:12], "big"), place + 8, place + 12 if tag[7] & 2 else 0)
    if data.at(position + 36, 4) == b"VBRI":
        return _Count(int.from_bytes(data.at(position + 50, 4), "big"))
    return None


def _counting_frame(header: _Header, frames: int) -> bytes:
    """A Xing frame that counts `frames`, for a stream of this kind."""
    raw = bytes((0xFF, header.raw[1] | 1, MIDDLE_BITRATE << 4 | header.raw[2] & 0x0C, header.raw[3]))
    made = _header(raw)
    length = made.length if made else 0
    tag = b"Xing" + struct.pack(">II", 1, frames)
    return (raw + bytes(header.side_bytes) + tag).ljust(length, b"\0")
