"""Changes of audio files that know where containers keep sizes, counts and checksums."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from fuzz.mutators.raw import INTEGERS, raw

# Marks of RIFF, AIFF, AU, FLAC, Ogg, MP3 and MP4; sizes stand behind them, in MP4 before them.
MARKS = re.compile(
    rb"RIFF|RF64|WAVE|fmt |data|fact|LIST|ds64|FORM|COMM|SSND|\.snd|fLaC|OggS|OpusHead|vorbis|ID3|Xing|Info|"
    rb"ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|stbl|stsd|mp4a|esds|stts|stsc|stsz|stco|mdat|\x1aE\xdf\xa3"
)
NUMBERS = (0, 1, 2, 3, 7, 255, 4096, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 2)
FIELDS = 48  # bytes behind a mark in which fields are looked for
_OGG_TABLE = []
for _byte in range(256):
    _rest = _byte << 24
    for _ in range(8):
        _rest = (_rest << 1 ^ 0x04C11DB7 if _rest & 1 << 31 else _rest << 1) & 0xFFFFFFFF
    _OGG_TABLE.append(_rest)


def container(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A field near a mark, a part between two marks, or plain bytes; checksums of Ogg are mostly put right again."""
    marks = [match.start() for match in MARKS.finditer(data)]
    if not marks or rng.random() < 0.25:
        changed = raw(rng, data, others)
    elif rng.random() < 0.7:
        changed = _field(rng, data, rng.choice(marks))
    else:
        changed = _part(rng, data, marks)
    return with_checksums(changed) if b"OggS" in changed[:64] and rng.random() < 0.8 else changed


def _field(rng: random.Random, data: bytes, mark: int) -> bytes:
    if rng.random() < 0.4:  # the size itself
        start, size = mark + rng.choice((4, 4, -4)), 4
        value = rng.choice(NUMBERS)
    else:
        start = mark + rng.randrange(-4, FIELDS)
        value, size = rng.choice(INTEGERS) if rng.random() < 0.5 else (rng.randrange(1 << 16), 2)
    start = max(0, start)
    return data[:start] + value.to_bytes(size, rng.choice(("little", "big"))) + data[start + size :]


def _part(rng: random.Random, data: bytes, marks: Sequence[int]) -> bytes:
    """What lies between two marks is taken out, repeated, or put elsewhere."""
    edges = [*marks, len(data)]
    number = rng.randrange(len(marks))
    start, stop = edges[number], edges[number + 1]
    part, rest = data[start:stop], data[:start] + data[stop:]
    place = rng.choice([edge for edge in edges if edge <= len(rest)] or [0])
    return rng.choice((rest, data[:stop] + part + data[stop:], rest[:place] + part + rest[place:]))


def with_checksums(data: bytes) -> bytes:
    """The pages of an Ogg file with the checksums that their bytes have: otherwise a decoder skips each of them."""
    changed = bytearray(data)
    starts = [match.start() for match in re.finditer(rb"OggS", data)]
    for start, stop in zip(starts, [*starts[1:], len(data)], strict=True):
        if stop - start < 27:
            continue
        segments = data[start + 27 : start + 27 + data[start + 26]]
        end = min(stop, start + 27 + len(segments) + sum(segments))
        changed[start + 22 : start + 26] = bytes(4)
        checksum = 0
        for byte in changed[start:end]:
            checksum = checksum << 8 & 0xFFFFFFFF ^ _OGG_TABLE[checksum >> 24 ^ byte]
        changed[start + 22 : start + 26] = checksum.to_bytes(4, "little")
    return bytes(changed)
