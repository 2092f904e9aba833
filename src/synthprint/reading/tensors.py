"""Tensors of a safetensors file from a stranger: the header is believed only as far as the file bears it out.

The format: 8 bytes with the header's length, the header as JSON (name -> dtype, shape, place of its bytes), the bytes.
Length and places are checked against what is there before memory is taken, and so is each tensor's size; the file is
opened once, and what was checked is what is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Meta

from synthprint.reading.doors import PIECE_BYTES, JsonReader, open_regular
from synthprint.reading.schemas import Refused, checked, short

MOST_HEADER_BYTES = 16 << 20
MOST_RANK = 16
LENGTH_BYTES = 8
# The format's names of dtypes -> numpy's; it has others that numpy has no type for.
DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
FLOATS, WHOLE, BYTES = ("F32", "F64", "F16"), ("I64", "I32"), ("U8",)

Size = Annotated[int, Meta(ge=0, le=1 << 50)]


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """What a header says of a tensor: its dtype and shape, and where its bytes start and end behind the header."""

    dtype: Annotated[str, Meta(max_length=16, pattern=r"\A[!-~]*\Z")]  # it is told in errors
    shape: Annotated[list[Size], Meta(max_length=MOST_RANK)]
    data_offsets: tuple[Size, Size]


@dataclass(frozen=True)
class Column:
    """A tensor that a file must have: the dtypes that it may be of, and its number of dimensions."""

    dtypes: tuple[str, ...]
    rank: int


class Tensors:
    """An open file: what its header says, and its tensors when they are asked for.

    Attributes:
        metadata: texts by name.
        places: name -> what the header says of that tensor.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.metadata, self.places, self._start = _header(file)

    def get(self, name: str) -> np.ndarray:
        """One tensor.

        Raises:
            Refused: there is none of that name, numpy has no such type, or the file was cut meanwhile.
        """
        if name not in self.places:
            raise Refused(f"tensor {short(name)} is missing")
        place = self.places[name]
        if place.dtype not in DTYPES:
            raise Refused(f"tensor {short(name)} is of dtype {place.dtype}, which numpy does not have")
        values = np.empty(place.shape, np.dtype(DTYPES[place.dtype]).newbyteorder("<"))
        self._file.seek(self._start + place.data_offsets[0])
        if values.nbytes and self._file.readinto(values.reshape(-1).view(np.uint8)) != values.nbytes:  # type: ignore[attr-defined]
            raise Refused(f"tensor {short(name)} ends before it should; the file was cut off")
        return values

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of one tensor, a piece at a time.

        Raises:
            Refused: there is none of that name, or the file was cut meanwhile.
        """
        if name not in self.places:
            raise Refused(f"tensor {short(name)} is missing")
        first, last = self.places[name].data_offsets
        self._file.seek(self._start + first)
        while first < last:
            piece = self._file.read(min(PIECE_BYTES, last - first))
            if not piece:
                raise Refused(f"tensor {short(name)} ends before it should; the file was cut off")
            first += len(piece)
            yield piece

    def take(self, wanted: Mapping[str, Column], optional: Collection[str] = ()) -> dict[str, np.ndarray]:
        """The tensors of a kind of file.

        Args:
            wanted: name -> what it must be.
            optional: of these, those that need not be there.

        Raises:
            Refused: one is missing, or of another dtype or rank.
        """
        names = [name for name in wanted if name in self.places or name not in optional]
        for name in names:
            place, column = self.places.get(name), wanted[name]
            if place and (len(place.shape) != column.rank or place.dtype not in column.dtypes):
                wants = f"{' or '.join(column.dtypes)} of {column.rank} dimension{'s' * (column.rank != 1)}"
                raise Refused(f"tensor {short(name)} must be {wants}, not {place.dtype} {place.shape}")
        return {name: self.get(name) for name in names}


@contextmanager
def open_tensors(path: str | os.PathLike[str]) -> Iterator[Tensors]:
    """Open a safetensors file.

    Raises:
        OSError: see `doors.open_regular`.
        Refused: it is none, or its header does not fit what is there.
    """
    with open_regular(path) as file:
        yield Tensors(file)


def check_tensors(path: str | os.PathLike[str]) -> dict[str, str]:
    """Make sure that a file may be given to a library that opens it by its name; returns its metadata.

    Raises:
        OSError, Refused: see `open_tensors`.
    """
    with open_tensors(path) as file:
        return file.metadata


def _header(file: BinaryIO) -> tuple[dict[str, str], dict[str, Place], int]:
    """Metadata, places, and where the tensors' bytes start."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    start = LENGTH_BYTES + length
    if size < LENGTH_BYTES or not 2 <= length <= MOST_HEADER_BYTES or start > size:
        raise Refused("is no safetensors file, or is cut off: its header does not fit in it")
    data = file.read(length)
    try:
        header = JsonReader().checked(data, dict[str, Any])
        metadata = checked(header.pop("__metadata__", {}), dict[str, str], ("__metadata__",))
        places = checked(header, dict[str, Place])
    except Refused as error:
        raise Refused(f"its header will not do: {error}") from None
    _check_places(places, size - start)
    return metadata, places, start


def _check_places(places: Mapping[str, Place], size: int) -> None:
    """The tensors must lie one behind the other, without a gap, up to the end of the file."""
    end = 0
    for name, place in sorted(places.items(), key=lambda item: item[1].data_offsets):
        first, last = place.data_offsets
        if first != end or last < first or last > size:
            raise Refused(f"tensor {short(name)} lies at {first:,} to {last:,} of {size:,} bytes, not behind the last")
        if place.dtype in DTYPES and math.prod(place.shape) * np.dtype(DTYPES[place.dtype]).itemsize != last - first:
            raise Refused(f"tensor {short(name)} of {place.dtype} {place.shape} does not fit in {last - first:,} bytes")
        end = last
    if end != size:
        raise Refused(f"has {size:,} bytes of tensors where its header says {end:,}; it is cut off, or no such file")
