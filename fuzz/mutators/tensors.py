"""Changes of safetensors files that know the header: 8 bytes of length, JSON, then the tensors' bytes."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from fuzz.mutators.raw import INTEGERS, raw
from fuzz.mutators.text import JSON, structured

BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
         "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}  # fmt: skip
_header_text = structured(JSON)


def safetensors(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One of the changes below; of what is no safetensors file any more, one of bytes."""
    try:
        size = int.from_bytes(data[:8], "little")
        header, body = data[8 : 8 + size], data[8 + size :]
        tables = json.loads(header)
        assert all(isinstance(table, dict) for table in tables.values())
    except (ValueError, AttributeError, AssertionError, RecursionError):
        return raw(rng, data, others)
    if rng.random() < 0.4:
        header = _header_text(rng, header, others)
        return len(header).to_bytes(8, "little") + header + body
    if rng.random() < 0.1:
        return rng.choice(INTEGERS)[0].to_bytes(8, "little") + header + body
    try:
        return file_of(*rng.choice(_CHANGES)(rng, tables, body))
    except (LookupError, TypeError, ValueError, ZeroDivisionError):  # an earlier change left nothing to go by
        return raw(rng, data, others)


def file_of(tables: Any, body: bytes) -> bytes:
    """Header and tensors as a file."""
    header = json.dumps(tables).encode()
    return len(header).to_bytes(8, "little") + header + body


def _retype(rng: random.Random, tables: Any, body: bytes) -> tuple[Any, bytes]:
    """Another type of number: of the same size, so that the file stays sound, or of any."""
    table = _tensor(rng, tables)
    size = BYTES.get(str(table.get("dtype")), 1)
    same = [name for name, other in BYTES.items() if other == size]
    table["dtype"] = rng.choice(same if rng.random() < 0.8 else [*BYTES, "C64", "F4", ""])
    return tables, body


def _reshape(rng: random.Random, tables: Any, body: bytes) -> tuple[Any, bytes]:
    """The same numbers in another shape; now and then one that does not fit them."""
    table = _tensor(rng, tables)
    count = 1
    for length in table.get("shape", ()):
        count *= length if isinstance(length, int) else 1
    table["shape"] = rng.choice(
        ([count], [1, count], [count, 1], [], [0], [1, 1, count], [count, 0], [1 << 40, 1 << 40], [-1], [count + 1])
    )
    return tables, body


def _resize(rng: random.Random, tables: Any, body: bytes) -> tuple[Any, bytes]:
    """Rows are taken off a tensor, or it is emptied; the file stays sound."""
    table = _tensor(rng, tables)
    start, stop = table["data_offsets"]
    rows = table["shape"][0]
    rows_left = rng.randint(0, rows)
    cut = (rows - rows_left) * ((stop - start) // rows)
    table["shape"] = [rows_left, *table["shape"][1:]]
    for other in tables.values():
        if "data_offsets" in other and other is not table and other["data_offsets"][0] >= stop:
            other["data_offsets"] = [place - cut for place in other["data_offsets"]]
    table["data_offsets"] = [start, stop - cut]
    return tables, body[: stop - cut] + body[stop:]


def _poison(rng: random.Random, tables: Any, body: bytes) -> tuple[Any, bytes]:
    """NaN, infinity or an extreme value among the numbers of a tensor."""
    table = _tensor(rng, tables)
    start, stop = table.get("data_offsets", (0, len(body)))
    value = rng.choice((float("nan"), float("inf"), -float("inf"), 3e38, 1e-45, 0.0))
    wide = table.get("dtype") == "F64"
    data = rng.choice((struct.pack("<d" if wide else "<f", value), b"\xff" * 8, b"\0" * 8, b"\n" * 4, b"\x80" * 4))
    place = start + rng.randrange(max(1, (stop - start) // len(data))) * len(data)
    return tables, body[:place] + data + body[place + len(data) :]


def _drop(rng: random.Random, tables: Any, body: bytes) -> tuple[Any, bytes]:
    """A tensor, or the metadata, is not listed any more, or under another name."""
    name = rng.choice(list(tables))
    table = tables.pop(name)
    if rng.random() < 0.5:
        tables[rng.choice(("other", "", "vectors", "__metadata__"))] = table
    return tables, body


_CHANGES: tuple[Callable[[random.Random, Any, bytes], tuple[Any, bytes]], ...] = (
    _retype, _reshape, _resize, _poison, _poison, _drop,
)  # fmt: skip


def _tensor(rng: random.Random, tables: Any) -> Any:
    return rng.choice([table for name, table in tables.items() if name != "__metadata__"])
