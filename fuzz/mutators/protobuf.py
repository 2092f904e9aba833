"""Changes of protocol buffers, as ONNX graphs are, that leave the lengths of what is around a change right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fuzz.mutators.raw import INTEGERS, raw

VARINT, WIDE, NESTED, NARROW = 0, 1, 2, 5
FIXED = {WIDE: 8, NARROW: 4}
DEEPEST = 8
OPERATORS = ("Add", "Sub", "Div", "Exp", "Log", "Sqrt", "Relu", "Cast", "Tile", "Expand", "Range", "Loop", "If", "Scan",
             "Pad", "Resize", "ConstantOfShape", "OneHot", "Gather", "NonZero", "Transpose", "Identity", "MatMul",
             "Einsum", "Where", "SequenceConstruct", "RandomNormal", "StringNormalizer", "Custom")  # fmt: skip
NAMES = ("", "waveform", "embedding", "parts", "rows", "axes", "keepdims", "to", "a.stranger", "ai.onnx", "ai.onnx.ml",
         "com.microsoft", "canary.wav", "../canary.wav", "location", "\xff")  # fmt: skip


@dataclass
class Field:
    """A field of a message: its number, its type on the wire, and its value; of NESTED, bytes or the fields in them."""

    number: int
    wire: int
    value: int | bytes | list[Field]


def protobuf(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A field is changed, taken out, repeated, or put elsewhere; of what is no message any more, bytes."""
    message = parsed(data)
    if not message:
        return raw(rng, data, others)
    messages = [message]
    for fields in messages:  # grows while it is walked
        messages += [field.value for field in fields if isinstance(field.value, list)]
    fields = rng.choice([fields for fields in messages if fields])
    place = rng.randrange(len(fields))
    change = rng.random()
    if change < 0.6:
        field = rng.choice([field for fields in messages for field in fields if not isinstance(field.value, list)])
        _set(rng, field)
    elif change < 0.7:
        del fields[place]
    elif change < 0.8:
        fields[place:place] = [fields[place]] * rng.choice((1, 1, 2, 100))
    elif change < 0.9:
        fields[place].number = rng.choice((*range(1, 16), 20, 1 << 28))
    else:
        field = fields[place]
        as_it_is = written(field.value) if isinstance(field.value, list) else field.value  # it may go into itself
        rng.choice(messages).append(Field(field.number, field.wire, as_it_is))
    return written(message)


def _set(rng: random.Random, field: Field) -> None:
    """Another value of the same type."""
    if isinstance(field.value, int):
        field.value = rng.choice((rng.randrange(24), rng.choice(INTEGERS)[0]))
    elif isinstance(field.value, bytes) and field.wire == NESTED:
        word = rng.choice((rng.choice(OPERATORS), rng.choice(NAMES))).encode("latin-1")
        field.value = word if rng.random() < 0.7 else raw(rng, field.value, [field.value])
    elif isinstance(field.value, bytes):
        field.value = rng.randbytes(len(field.value))


def parsed(data: bytes, depth: int = 0) -> list[Field] | None:
    """The fields of a message; None where it is none. What could be text stays bytes."""
    fields: list[Field] = []
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        wire = tag & 7
        if tag < 8 or (wire not in FIXED and wire not in (VARINT, NESTED)):
            return None
        if wire == VARINT:
            value, place = _number(data, place)
            fields.append(Field(tag >> 3, wire, value))
            continue
        size, place = (FIXED[wire], place) if wire in FIXED else _number(data, place)
        part, place = data[place : place + size], place + size
        if len(part) < size:
            return None
        inner = parsed(part, depth + 1) if wire == NESTED and depth < DEEPEST and not _is_text(part) else None
        fields.append(Field(tag >> 3, wire, inner or part))
    return fields if place == len(data) else None


def _is_text(part: bytes) -> bool:
    return all(32 <= byte < 127 for byte in part)


def _number(data: bytes, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends; beyond the end of `data` where it is cut off."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    return value, len(data) + 1


def written(fields: Sequence[Field]) -> bytes:
    """The message of these fields."""
    parts = []
    for field in fields:
        parts.append(_coded(field.number << 3 | field.wire))
        if isinstance(field.value, int):
            parts.append(_coded(field.value))
            continue
        value = field.value if isinstance(field.value, bytes) else written(field.value)
        parts += [_coded(len(value)), value] if field.wire == NESTED else [value]
    return b"".join(parts)


def _coded(value: int) -> bytes:
    value %= 1 << 64
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes((*coded, value))
