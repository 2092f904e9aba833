"""A form as it comes in: each file written while it comes, and counted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from synthprint.addresses import AUDIO_ENDINGS
from synthprint.web.problems import ServiceProblem
from synthprint.wording import printable

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONGEST_LABEL = 255  # characters
LONGEST_FIELD = 10_000  # bytes of a field that is no file
MOST_FIELDS = 50


@dataclass(frozen=True)
class ReceivedFile:
    """A file as it was received.

    Attributes:
        field: of the form.
        name: the client's, cleaned; no two of a request have the same.
        path: where it lies.
        sha256: of its bytes, hex.
        bytes: how many there are.
    """

    field: str
    name: str
    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class UploadLimits:
    """How many files a request may bring, how large each and all of them, and which fields they may be of.

    Attributes:
        files: field -> how many files at least and at most (None: as many as a request may bring).
        fields: the names of those that are text.
        most_files: of all fields.
        most_bytes: of a file.
        most_total_bytes: of all files.
    """

    files: Mapping[str, tuple[int, int | None]]
    fields: tuple[str, ...]
    most_files: int
    most_bytes: int
    most_total_bytes: int


async def body(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, piece by piece.

    Raises:
        ServiceProblem: it is too large, or comes too slowly; see `BoundedBody`.
        ClientDisconnect: the client went away.
    """
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body", False):
            return


class Receiver:
    """What a parser of multipart/form-data calls: writes each file as it comes, and counts.

    Args:
        limits: of the request.
        folder: in which the files are written, by number.

    Attributes:
        files: that came, in order.
        fields: text field -> what it holds.
        ended: whether the form came to its end.
    """

    def __init__(self, limits: UploadLimits, folder: Path) -> None:
        self.files: list[ReceivedFile] = []
        self.fields: dict[str, str] = {}
        self.ended = False
        self._limits, self._folder = limits, folder
        self._names: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._part_begin()

    def callbacks(self) -> MultipartCallbacks:
        """By the names that the parser has for them."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            self._file.close()

    def _end(self) -> None:
        self.ended = True

    def _part_begin(self) -> None:
        self._headers = {}
        self._field, self._label = "", ""
        self._file: BinaryIO | None = None
        self._path = self._folder
        self._digest, self._size, self._text = hashlib.sha256(), 0, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._field = printable(options.get(b"name", b"").decode("utf-8", "replace")[:80])
        wanted = self._limits.files if b"filename" in options else self._limits.fields
        if self._field not in wanted:
            what = "file" if b"filename" in options else "text"
            there = ", ".join((*self._limits.files, *self._limits.fields))
            words = f"the form has no {what} called {self._field!r}; there are: {there}"
            raise ServiceProblem(422, words, field=self._field)
        if b"filename" in options:
            self._start_file(options[b"filename"].decode("utf-8", "replace"))

    def _start_file(self, name: str) -> None:
        self._counts[self._field] += 1
        most = self._limits.files[self._field][1]
        if most is not None and self._counts[self._field] > most:
            words = f"only {most} may be sent as {self._field!r}: send the others each for itself"
            raise ServiceProblem(422, words, field=self._field)
        if len(self.files) >= self._limits.most_files:
            words = f"there are more than {self._limits.most_files:,} files: send fewer at a time"
            raise ServiceProblem(413, words, field=self._field)
        self._label = self._distinct(label(name))
        ending = PurePosixPath(self._label).suffix.lower()
        number = len(self.files) + 1
        self._path = self._folder / f"{number:06d}{ending if ending in AUDIO_ENDINGS else ''}"
        self._file = open(self._path, "xb")  # noqa: SIM115 - it is written piece by piece, and closed by `close`

    def _distinct(self, name: str) -> str:
        while True:
            self._names[name] += 1
            if self._names[name] == 1:
                return name
            name = f"{name} ({self._names[name]})"

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        self._size += len(piece)
        if self._file is None:
            if self._size > LONGEST_FIELD:
                words = f"the field {self._field!r} has more than {LONGEST_FIELD:,} bytes"
                raise ServiceProblem(413, words, field=self._field)
            self._text += piece
            return
        self._total += len(piece)
        if self._size > self._limits.most_bytes:
            words = f"the file has more than {self._limits.most_bytes:,} bytes: send a part of it"
            raise ServiceProblem(413, words, file=self._label, field=self._field)
        if self._total > self._limits.most_total_bytes:
            words = f"the files have more than {self._limits.most_total_bytes:,} bytes in all: send fewer at a time"
            raise ServiceProblem(413, words)
        self._digest.update(piece)
        self._file.write(piece)

    def _part_end(self) -> None:
        if self._file is None:
            if len(self.fields) >= MOST_FIELDS:
                raise ServiceProblem(413, f"the form has more than {MOST_FIELDS} fields")
            self.fields[self._field] = self._text.decode("utf-8", "replace")
            return
        self._file.close()
        self._file = None
        digest = self._digest.hexdigest()
        self.files.append(ReceivedFile(self._field, self._label, self._path, digest, self._size))


def label(name: str) -> str:
    """What a client calls a file, as it is told: without what leads elsewhere, or acts on a terminal or page."""
    parts = [part for part in re.split(r"[/\\]+", name) if part.strip(". ")]
    text = printable("/".join(parts).replace("%22", '"')).strip()
    return text[-LONGEST_LABEL:] or "clip"
