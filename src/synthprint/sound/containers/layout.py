"""The layout of any file: which walker knows it, by its first bytes."""

from __future__ import annotations

from synthprint.sound.containers import chunks, flac, mpeg, ogg
from synthprint.sound.containers.parts import FileBytes, IntricateFile, Layout

INTRICATE = "has more structure than any audio: not all of it was looked at, and part of its audio may be left out"


def layout(data: FileBytes) -> Layout:
    """The parts of a file, and what is odd about it; one part and nothing odd, where no walker knows it."""
    try:
        return _walked(data)
    except IntricateFile:
        return Layout((), (INTRICATE,))


def _walked(data: FileBytes) -> Layout:
    head = data.at(0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return chunks.wav(data)
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return chunks.aiff(data)
    if head[:4] == b".snd":
        return chunks.au(data)
    if head[:4] == ogg.PAGE:
        return ogg.ogg(data)
    start = mpeg.tag_end(data)
    if data.at(start, 4) == flac.MARK:
        return flac.flac(data, start)
    return mpeg.mpeg(data, start) or Layout()
