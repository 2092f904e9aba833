"""WAV, AIFF and AU: chunks with their sizes, of which the one with the samples may be unknown, too small or cut.

Sizes of 0, 2³² - 1 and those around 2³¹ that sox and espeak write stand for "written to a pipe: not known".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from synthprint.sound.containers.parts import Begins, FileBytes, IntricateFile, Part, Stretch, disagreement

UNKNOWN_FROM = 0x7F000000  # a size from here on is no size, where the file is smaller
LEFT_OVER_S = 0.05  # audio behind the end that the header names, from which on it is taken in
LEAST_LEFT_OVER = 64  # bytes behind the end, from which on they are worth a word
MOST_CHUNKS = 100_000
PLAIN = (1, 3, 0xFFFE)  # codings of WAV whose frames are of one size: integers, floating point, either


@dataclass(frozen=True)
class Form:
    """What differs between chunked formats: byte order, outer chunk, its kinds, the chunk with the samples."""

    order: str
    outer: bytes
    kinds: tuple[bytes, ...]
    samples: bytes


WAV = Form("<", b"RIFF", (b"WAVE",), b"data")
RIFX = Form(">", b"RIFX", (b"WAVE",), b"data")
RF64 = Form("<", b"RF64", (b"WAVE",), b"data")
AIFF = Form(">", b"FORM", (b"AIFF", b"AIFC"), b"SSND")
FORMS = (WAV, RIFX, RF64, AIFF)


@dataclass(frozen=True, slots=True)
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


def form_at(data: FileBytes, place: int) -> Form | None:
    """The form of the file that begins at `place`, if one does."""
    head = data.at(place, 12)
    return next((form for form in FORMS if head[:4] == form.outer and head[8:12] in form.kinds), None)


def walk(data: FileBytes, start: int, place: int, form: Form, begins_at: Begins) -> Stretch:
    """The file whose bytes begin at `start`, and its first chunk at `place`.

    Args:
        begins_at: says whether another file begins at a place.
    """
    kind = form.kinds[0].decode()
    described: dict[bytes, _Chunk] = {}
    samples = None
    for chunk in _chunks(data, place + 12, form, form.samples):
        samples = chunk
        described.setdefault(chunk.name, chunk)
        if chunk.name == form.samples:
            break
    if samples is None or samples.name != form.samples:
        return Stretch(kind, (Part(start, data.size),), data.size)
    return _with_samples(data, start, place, form, begins_at, described, kind)


def _with_samples(
    data: FileBytes, start: int, place: int, form: Form, begins_at: Begins, described: dict[bytes, _Chunk], kind: str
) -> Stretch:
    samples, second = described[form.samples], _bytes_per_second(data, described, form)
    size, size_at = samples.size, samples.start + 4
    if form is RF64 and size == 0xFFFFFFFF and b"ds64" in described:
        size_at = described[b"ds64"].body + 8
        size = int.from_bytes(data.at(size_at, 8), "little")
        samples = _Chunk(samples.name, samples.start, size)
    actual = data.size - samples.body
    unknown = size == 0 or size >= UNKNOWN_FROM
    if size > actual or (unknown and form is RF64):
        end = _next_file(data, samples.body, form) if unknown else data.size
        actual = end - samples.body
        remark = "" if unknown or not second else disagreement(size / second, actual / second)
        wrong = size < actual or end < data.size or form is RF64
        patches = _patches(data, form, described, size_at, actual) if wrong else {}
        return Stretch(kind, (Part(start, end, patches),), end, (remark,) if remark else ())
    end, more = samples.next, []
    for chunk in _chunks(data, samples.next, form, None):
        if begins_at(data, chunk.start):
            break
        more += [chunk] if chunk.name == form.samples and chunk.size else []
        end = chunk.next
    left_over = data.size - end
    if begins_at(data, end) or left_over < max(LEAST_LEFT_OVER, LEFT_OVER_S * second):
        return _done(data, start, place, kind, described, more, samples, end, left_over)
    following = _next_file(data, end, form)
    actual = following - samples.body
    remark = disagreement(size / second, actual / second) if size and second else ""
    patches = _patches(data, form, described, size_at, actual)
    return Stretch(kind, (Part(start, following, patches),), following, (remark,) if remark else ())


def _done(
    data: FileBytes,
    start: int,
    place: int,
    kind: str,
    described: dict[bytes, _Chunk],
    more: list[_Chunk],
    samples: _Chunk,
    end: int,
    left_over: int,
) -> Stretch:
    """A file that ends where it says, with further chunks of samples as parts of their own."""
    end = data.size if left_over < LEAST_LEFT_OVER else min(end, data.size)
    if not more:
        return Stretch(kind, (Part(start, end),), end)
    form_chunk = described.get(b"fmt ")
    head = data.at(place, 12) + (data.at(form_chunk.start, form_chunk.next - form_chunk.start) if form_chunk else b"")
    parts = [Part(start, samples.next), *(Part(chunk.start, chunk.next, prefix=head) for chunk in more)]
    remark = f"has {len(parts)} chunks of samples: all of them were examined, one after the other"
    return Stretch(kind, tuple(parts), end, (remark,))


def _chunks(data: FileBytes, start: int, form: Form, until: bytes | None) -> Iterator[_Chunk]:
    """The chunks from `start` on, as far as they are ones, up to the one named `until`."""
    for _ in range(MOST_CHUNKS):
        if len(header := data.at(start, 8)) < 8:
            return
        name, size = header[:4], struct.unpack(form.order + "I", header[4:])[0]
        chunk = _Chunk(name, start, size)
        fits = chunk.body + size <= data.size and (until is not None or all(32 <= byte < 127 for byte in name))
        if name != until and not fits:
            return
        yield chunk
        start = chunk.next
    raise IntricateFile


def _next_file(data: FileBytes, start: int, form: Form) -> int:
    """Where the next file of this form begins, from `start` on; the end of the file, where none does."""
    while (place := data.find(form.outer, start)) >= 0:
        if data.at(place + 8, 4) in form.kinds:
            return place
        start = place + 1
    return data.size


def _bytes_per_second(data: FileBytes, described: dict[bytes, _Chunk], form: Form) -> float:
    """What a second of samples takes; 0 where that is not said."""
    if form is not AIFF:
        body = _body(data, described, b"fmt ", 16)
        if not body:
            return 0.0
        coding, _, rate, second, align = struct.unpack(form.order + "HHIIH", body[:14])
        return float(rate * align if coding in PLAIN else second)
    body = _body(data, described, b"COMM", 18)
    if not body:
        return 0.0
    channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", body)
    if not 16383 <= exponent <= 16383 + 31:  # of a rate from 1 Hz to 2^32
        return 0.0
    return channels * ((bits + 7) // 8) * math.ldexp(mantissa, exponent - 16383 - 63)


def _body(data: FileBytes, described: dict[bytes, _Chunk], name: bytes, count: int) -> bytes:
    body = data.at(described[name].body, count) if name in described else b""
    return body if len(body) == count else b""


def _patches(data: FileBytes, form: Form, described: dict[bytes, _Chunk], size_at: int, size: int) -> dict[int, bytes]:
    """The right size of the samples, where it stands; AIFF counts its frames a second time, in COMM."""
    if form is RF64:
        return {size_at: size.to_bytes(8, "little")} if size_at != described[b"data"].start + 4 else {}
    patches = {size_at: struct.pack(form.order + "I", min(size, 0xFFFFFFFF))}
    body = _body(data, described, b"COMM", 18) if form is AIFF else b""
    if body:
        channels, _, bits = struct.unpack(">HIH", body[:8])
        frames = (size - 8) // max(1, channels * ((bits + 7) // 8))
        patches[described[b"COMM"].body + 2] = struct.pack(">I", frames)
    return patches


def au(data: FileBytes) -> Stretch:
    """A Sun / NeXT AU file, which ends where the file does."""
    header = data.at(0, 24)
    whole = Stretch("AU", (data.whole(),), data.size)
    if len(header) < 24:
        return whole
    _, start, size, coding, rate, channels = struct.unpack(">4s5I", header)
    actual = data.size - start
    second = rate * channels * {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding, 0)
    if size in (actual, 0xFFFFFFFF) or not second or actual <= 0:
        return whole
    remarks = (disagreement(size / second, actual / second),) if size else ()
    patches = {8: struct.pack(">I", actual)} if size < actual else {}
    return Stretch("AU", (Part(0, data.size, patches),), data.size, remarks)
