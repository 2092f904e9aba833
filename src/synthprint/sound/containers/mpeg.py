"""MP3 (and MPEG layers I and II): frames that follow each other, and a first one that may count them.

Encoders that write a variable bitrate put a frame without audio first, named Xing, Info or VBRI, with the number of
frames. It is a number like any other: files that are joined, cut or altered have a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from synthprint.sound.containers.mpeg_frames import (
    HEADER,
    FrameCount,
    FrameHeader,
    counting_frame,
    frame_count,
    frame_header,
)
from synthprint.sound.containers.parts import Begins, FileBytes, IntricateFile, Part, Stretch, disagreement
from synthprint.sound.containers.tags import behind_one_tag, behind_zeros

IN_A_ROW, SURE = 3, 5  # frames that must follow each other before bytes are taken for frames, or for another file's
MOST_JUNK = 1 << 17  # bytes before the first frame
MOST_STREAMS = 1000
OFF_BY = 1  # frames by which some encoders miscount


@dataclass
class _Stream:
    """Frames in a row, from the bytes `start` to before `end`.

    Attributes:
        goes_on: whether it is what follows a gap in the stream before.
        count: what its first frame counts, where that is one without audio.
    """

    start: int
    first: FrameHeader
    goes_on: bool = False
    end: int = 0
    frames: int = 0
    bitrates: set[int] = field(default_factory=set)
    count: FrameCount | None = None

    @property
    def counted(self) -> int | None:
        return self.count.frames if self.count else None


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


def walk(data: FileBytes, start: int, place: int, begins_at: Begins) -> Stretch | None:
    """The frames whose bytes begin at `start`, and their first tag ends at `place`; None where there are none.

    Args:
        begins_at: says whether another file begins at a place.
    """
    first = behind_zeros(data, place)
    if not _row(data, first, IN_A_ROW):
        first = _synchronised(data, first, min(data.size, first + MOST_JUNK), SURE)
    if first < 0:
        return None
    walked = _walk(data, first, begins_at)
    if not walked.streams:
        return None
    files = _files(walked)
    parts = tuple(map(_part, walked.streams))
    if len(parts) == 1 and not walked.gaps and not parts[0].patches and not parts[0].prefix:
        parts = (Part(start, walked.end),)
    return Stretch("MP3", parts, walked.end, tuple(_remarks(walked, files)), len(files))


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


def _walk(data: FileBytes, position: int, begins_at: Begins) -> _Walk:
    streams: list[_Stream] = []
    gaps: list[int] = []
    fresh, gap = True, False  # whether the next frame starts a stream, and whether behind a gap
    while position < data.size:
        header = frame_header(data.at(position, 4))
        if header is None:
            following = behind_one_tag(data, position)
            if following == position:
                if begins_at(data, position):
                    break
                following = _synchronised(data, position + 1, data.size, IN_A_ROW)
                following = data.size if following < 0 else following
                gap = True
                gaps += [following - position] if following < data.size or data.size - position > 4 else []
            position, fresh = following, True
            continue
        if position + header.length > data.size:
            return _Walk(streams, gaps, data.size, cut=True)
        count = frame_count(data, position, header)
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
        return Part(stream.start, stream.end, prefix=counting_frame(stream.first, stream.frames))
    if not stream.count.frames_at:  # of a kind that decoders do not read: they take it for a frame of silence
        if len(stream.bitrates) == 1:
            return Part(stream.start, stream.end)
        return Part(stream.start, stream.end, prefix=counting_frame(stream.first, stream.frames + 1))
    if abs(stream.count.frames - stream.frames) <= OFF_BY:
        return Part(stream.start, stream.end)
    patches = {stream.count.frames_at: stream.frames.to_bytes(4, "big")}
    if stream.count.bytes_at:
        patches[stream.count.bytes_at] = (stream.end - stream.start).to_bytes(4, "big")
    return Part(stream.start, stream.end, patches)


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
        header = frame_header(data.at(position, 4))
        if header is None or kind not in (None, header.kind):
            return False
        kind = header.kind
        position += header.length
    return True
