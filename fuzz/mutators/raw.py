"""Changes of bytes, whatever they mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# What length fields and counters break at, as (value, bytes).
INTEGERS = tuple(
    (value % (1 << 8 * size), size)
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, 0x7F, 0xFFFF, 1 << 15, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 36, 1 << 63, (1 << 63) - 1)
    if value < 1 << 8 * size
)
LONGEST = 4096  # bytes that are put in, taken out or repeated at a time


def raw(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One of the changes below."""
    return rng.choice(CHANGES)(rng, data, others)


def flip_bits(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A few bits, anywhere."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[_place(rng, len(changed) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A run of bytes by random ones, or by one byte."""
    start, stop = _run(rng, data)
    filling = rng.randbytes(stop - start) if rng.random() < 0.5 else bytes([rng.choice((0, 255))]) * (stop - start)
    return data[:start] + filling + data[stop:]


def overwrite_integer(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A number that length fields break at, in either order of bytes."""
    value, size = rng.choice(INTEGERS)
    start = _place(rng, max(0, len(data) - size))
    return data[:start] + value.to_bytes(size, rng.choice(("little", "big"))) + data[start + size :]


def insert(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Random bytes."""
    start = _place(rng, len(data))
    return data[:start] + rng.randbytes(rng.choice((1, 2, 7, 64, LONGEST))) + data[start:]


def delete(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A run of bytes is taken out."""
    start, stop = _run(rng, data)
    return data[:start] + data[stop:]


def duplicate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A run of bytes is repeated, now and then many times."""
    start, stop = _run(rng, data)
    return data[:start] + data[start:stop] * rng.choice((2, 2, 3, 50)) + data[stop:]


def truncate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Only the beginning, now and then only the end."""
    cut = rng.randint(0, len(data))
    return data[cut:] if rng.random() < 0.2 else data[:cut]


def splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one file and the end of another, or the two joined."""
    other = rng.choice(others)
    if rng.random() < 0.3:
        return data + other
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


CHANGES: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    flip_bits, overwrite, overwrite_integer, insert, delete, duplicate, truncate, splice,
)  # fmt: skip


def _place(rng: random.Random, last: int) -> int:
    """Somewhere from 0 to `last`; half of the time near the beginning, where headers are."""
    return rng.randint(0, min(last, 256) if rng.random() < 0.5 else last) if last > 0 else 0


def _run(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(rng, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 256, LONGEST)))
