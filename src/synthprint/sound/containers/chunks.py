"""WAV, AIFF and AU: chunks with their sizes, of which the one with the samples may be unknown, too small or cut.

Sizes of 0, 2³² - 1 and those around 2³¹ that sox and espeak write stand for "written to a pipe: not known".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from synthprint.sound.containers.parts import FileBytes, Layout, Part, disagreement, joined

UNKNOWN_FROM = 0x7FFF0000  # a size from here on is no size, where the file is smaller
LEFT_OVER_S = 0.05  # audio behind the end that the header names, from which on it is taken in
LEAST_LEFT_OVER = 64  # bytes


@dataclass(frozen=True)
class _Form:
    """What differs between the two: byte order, the outer chunk, its kinds, and the chunk with the samples."""

    order: str
    outer: bytes
    kinds: tuple[bytes, ...]
    samples: bytes


WAV = _Form("<", b"RIFF", (b"WAVE",), b"data")
AIFF = _Form(">", b"FORM", (b"AIFF", b"AIFC"), b"SSND")


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int  # of its header
    size: int  # as its header says

    @property
    def body(self) -> int:
        return self.start + 8

    @property
    def next(self) -> int:
        return self.body + self.size + self.size % 2


def wav(data: FileBytes) -> Layout:
    """The layout of a RIFF WAVE file, or of several that were joined."""
    return _forms(data, WAV)


def aiff(data: FileBytes) -> Layout:
    """The layout of an AIFF or AIFC file, or of several that were joined."""
    return _forms(data, AIFF)


def _forms(data: FileBytes, form: _Form) -> Layout:
    parts: list[Part] = []
    remarks: list[str] = []
    start = 0
    while start < data.size:
        part, remark = _part(data, start, form)
        parts.append(part)
        remarks += [remark] if remark else []
        start = part.end
    if len(parts) > 1:
        remarks.insert(0, joined(len(parts), form.kinds[0].decode()))
    elif parts == [data.whole()]:
        parts = []
    return Layout(tuple(parts), tuple(remarks))


def _part(data: FileBytes, start: int, form: _Form) -> tuple[Part, str]:
    """The part that begins at `start`, and a remark on it."""
    rest = Part(start, data.size)
    chunks = list(_chunks(data, start + 12, form, form.samples))
    if not chunks or chunks[-1].name != form.samples:
        return rest, ""
    samples, second = chunks[-1], _bytes_per_second(data, chunks, form)
    there = data.size - samples.body
    if samples.size > there:
        if samples.size >= UNKNOWN_FROM or not second:
            return rest, ""
        return rest, disagreement(samples.size / second, there / second)
    end = samples.next
    for chunk in _chunks(data, samples.next, form, None):
        end = chunk.next
    if _is_form(data, end, form):
        return Part(start, end), ""
    left_over = data.size - end
    if left_over < max(LEAST_LEFT_OVER, LEFT_OVER_S * second):
        return rest, ""
    patches = {samples.start + 4: struct.pack(form.order + "I", there)}
    if form is AIFF:
        patches |= _frames_patch(data, chunks, there)
    remark = disagreement(samples.size / second, there / second) if samples.size and second else ""
    return Part(start, data.size, patches), remark


def _chunks(data: FileBytes, start: int, form: _Form, until: bytes | None) -> Iterator[_Chunk]:
    """The chunks from `start` on, as far as they are ones, up to the one named `until`."""
    while len(header := data.at(start, 8)) == 8:
        name, size = header[:4], struct.unpack(form.order + "I", header[4:])[0]
        chunk = _Chunk(name, start, size)
        is_name = name == until or (all(32 <= byte < 127 for byte in name) and name != form.outer)
        if not is_name or (name != until and chunk.body + size > data.size):
            return
        yield chunk
        if name == until:
            return
        start = chunk.next


def _is_form(data: FileBytes, start: int, form: _Form) -> bool:
    header = data.at(start, 12)
    return header[:4] == form.outer and header[8:12] in form.kinds


def _body(data: FileBytes, chunks: list[_Chunk], name: bytes, count: int) -> bytes:
    body = next((data.at(chunk.body, count) for chunk in chunks if chunk.name == name), b"")
    return body if len(body) == count else b""


def _bytes_per_second(data: FileBytes, chunks: list[_Chunk], form: _Form) -> float:
    """What a second of samples takes; 0 where that is not said."""
    if form is WAV:
        body = _body(data, chunks, b"fmt ", 16)
        return float(struct.unpack("<I", body[8:12])[0]) if body else 0.0
    body = _body(data, chunks, b"COMM", 18)
    if not body:
        return 0.0
    channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", body)
    if not 16383 <= exponent <= 16383 + 31:  # of a rate from 1 Hz to 2^32
        return 0.0
    return channels * ((bits + 7) // 8) * math.ldexp(mantissa, exponent - 16383 - 63)


def _frames_patch(data: FileBytes, chunks: list[_Chunk], there: int) -> dict[int, bytes]:
    """AIFF counts its frames a second time, in COMM."""
    common = next((chunk for chunk in chunks if chunk.name == b"COMM"), None)
    body = _body(data, chunks, b"COMM", 18)
    if common is None or not body:
        return {}
    channels, _, bits = struct.unpack(">HIH", body[:8])
    frames = (there - 8) // max(1, channels * ((bits + 7) // 8))
    return {common.body + 2: struct.pack(">I", frames)}


def au(data: FileBytes) -> Layout:
    """The layout of a Sun / NeXT AU file."""
    header = data.at(0, 24)
    if len(header) < 24:
        return Layout()
    _, start, size, coding, rate, channels = struct.unpack(">4s5I", header)
    there = data.size - start
    second = rate * channels * {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding, 0)
    if size in (there, 0xFFFFFFFF) or not second or there <= 0:
        return Layout()
    remarks = (disagreement(size / second, there / second),) if size else ()
    return (
        Layout((Part(0, data.size, {8: struct.pack(">I", there)}),), remarks) if size < there else Layout((), remarks)
    )
