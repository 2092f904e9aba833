"""The frames of MPEG audio, one at a time: what the four bytes of a header say, and frames that count others."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from synthprint.sound.containers.parts import FileBytes

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
HEADER = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]", re.DOTALL)  # what a frame can begin with


@dataclass(frozen=True)
class FrameHeader:
    """What the four bytes say that a frame begins with.

    Attributes:
        raw: these bytes.
        sample_rate: in Hz.
        bitrate: in bit/s.
        length: of the frame, in bytes.
        samples: of each channel, in the frame.
        side_bytes: between the header and the place of a count.
    """

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


@dataclass(frozen=True)
class FrameCount:
    """What a frame counts that holds no audio.

    Attributes:
        frames: in its stream; None where it does not say.
        frames_at: the position of that number in the file; 0 where it need not be corrected.
        bytes_at: the position of the number of bytes in the file; 0 where there is none.
    """

    frames: int | None
    frames_at: int = 0
    bytes_at: int = 0


def frame_header(raw: bytes) -> FrameHeader | None:
    """The header in four bytes; None where they are none."""
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
    return FrameHeader(raw, sample_rate, bitrate, length, samples, side)


def frame_count(data: FileBytes, position: int, header: FrameHeader) -> FrameCount | None:
    """What a frame counts that holds a count instead of audio; None where it holds audio."""
    place = position + 4 + header.side_bytes
    tag = data.at(place, 12)
    if tag[:4] in (b"Xing", b"Info"):
        if len(tag) < 12 or not tag[7] & 1:
            return FrameCount(None)
        return FrameCount(int.from_bytes(tag[8:12], "big"), place + 8, place + 12 if tag[7] & 2 else 0)
    if data.at(position + 36, 4) == b"VBRI":
        return FrameCount(int.from_bytes(data.at(position + 50, 4), "big"))
    return None


def counting_frame(header: FrameHeader, frames: int) -> bytes:
    """A Xing frame that counts `frames`, for a stream of this kind."""
    raw = bytes((0xFF, header.raw[1] | 1, MIDDLE_BITRATE << 4 | header.raw[2] & 0x0C, header.raw[3]))
    own_header = frame_header(raw)
    length = own_header.length if own_header else 0
    tag = b"Xing" + struct.pack(">II", 1, frames)
    return (raw + bytes(header.side_bytes) + tag).ljust(length, b"\0")
