"""The one way in which a file from a stranger is read: what it is, how large, and what stands in it, seen at the door.

*What it is.* Only regular files are opened, and none is waited for: a FIFO, a device, a socket or a folder is refused.
*How large.* What is read is counted, not what the folder says; nothing is taken into memory beyond the bound.
*What stands in it.* JSON and TOML become what a schema says (see `schemas`), or `Refused` names the field. Numbers are
finite and of 64 bits, no key occurs twice, nothing is nested deeper than MOST_DEPTH. A BOM is passed over. Half a
character (a lone surrogate) is text: so a file's name that is not UTF-8 is written.

Nothing here knows what a file is for. A door turns `Refused`, and the OSError of a file that cannot be opened, into an
error of its own, with the file's name and what to do.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from synthprint.errors import SynthprintError
from synthprint.reading.schemas import Odd, Refused, checked, refuse_odd, short

MOST_DEPTH = 64  # lists and objects in each other
MOST_DIGITS = 19  # of a whole number of 64 bits
PIECE_BYTES = 1 << 20
FILE_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_IN_TOML = re.compile(r"([\w.\"'-]+)\s*=\s*[+-]?[0-9_]{1000}")
# Without waiting for whoever writes into a pipe. Windows has neither of the first two, and would else read text.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_SEEKING = threading.Lock()
Wanted = TypeVar("Wanted")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file to be read; a link to one will do.

    Raises:
        OSError: there is none, or it is something else; `strerror` says what, also of a link that leads nowhere.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except ValueError:
        raise OSError(errno.EINVAL, "its name has a zero byte", str(path)) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            check_link(path)
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "it is a socket, not a regular file", str(path)) from error
        raise
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {FILE_KINDS.get(kind, 'something else')}, not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_at(descriptor: int, count: int, start: int) -> bytes:
    """Up to `count` bytes of an open file from `start` on, also while other threads read it."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, start)
    with _SEEKING:  # on Windows
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, count)


def check_link(path: str | os.PathLike[str]) -> None:
    """Say of a link that leads nowhere that it is one; of anything else nothing.

    Raises:
        FileNotFoundError: `path`, or a folder that it lies in, is such a link.
    """
    for link in (Path(path), *Path(path).parents):
        if link.is_symlink() and not link.exists():
            words = f"{short(str(link)) if link != Path(path) else 'it'} is a link to {short(str(link.readlink()))}"
            raise FileNotFoundError(errno.ENOENT, f"{words}, which is not there", str(path))


@contextmanager
def ending_in(
    error: type[SynthprintError], path: str | os.PathLike[str], remedy: str = "", command: str | None = None
) -> Iterator[None]:
    """Turn what the functions here raise of `path` into a door's own error, with what to do, and what does it."""
    then = f"; {remedy}" if remedy else ""
    try:
        yield
    except Refused as refused:
        raise error(f"{path}: {refused}{then}", command=command) from refused
    except OSError as failed:
        raise error(f"{path}: cannot be read ({failed.strerror or failed}){then}", command=command) from failed


def read_bytes(path: str | os.PathLike[str], most_bytes: int, kind: str = "such file") -> bytes:
    """All bytes of a regular file; `kind` says of what it is.

    Raises:
        OSError: see `open_regular`.
        Refused: there are more than `most_bytes`.
    """
    with open_regular(path) as file:
        wanted = min(os.fstat(file.fileno()).st_size, most_bytes) + 1  # a guess: what is read counts
        data = file.read(wanted)
        if len(data) == wanted <= most_bytes:  # it has grown, or is of a kind that tells no size
            data += file.read(most_bytes + 1 - wanted)
    if len(data) > most_bytes:
        raise Refused(f"is larger than any {kind}: more than {most_bytes:,} bytes")
    return data


def sha256(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a regular file's bytes.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path) as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def decoded(data: bytes) -> str:
    """UTF-8 as text, without a BOM.

    Raises:
        Refused: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"is not UTF-8 text (byte {error.start}); save it again as UTF-8") from None


# --- JSON -------------------------------------------------------------------------------------------------------------


class JsonReader:
    """Parses JSON, a text at a time."""

    def __init__(self) -> None:
        self._odd = False
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_table,
            parse_int=self._whole,
            parse_float=self._number,
            parse_constant=self._constant,
        )

    def __call__(self, data: bytes | str) -> Any:
        """What stands in `data`; `Odd` where a number is none, or too large.

        Raises:
            Refused: it is not JSON, has a key twice, or is nested too deep.
        """
        try:
            text = data if isinstance(data, str) else data.decode("utf-8-sig")
            if text.count("[") + text.count("{") > MOST_DEPTH:  # else it cannot be deep
                _check_depth(text.encode("utf-8", "surrogatepass"))
            return self._decoder.decode(text)
        except json.JSONDecodeError as error:
            raise Refused(f"is not JSON ({error})") from None
        except UnicodeDecodeError as error:
            raise Refused(f"is not JSON (byte {error.start:,} is not UTF-8)") from None
        except RecursionError:
            raise Refused("is nested too deep") from None

    def checked(self, data: bytes | str, schema: type[Wanted]) -> Wanted:
        """What stands in `data`, in the form of `schema`.

        Raises:
            Refused: as above, or it does not fit the schema.
        """
        self._odd = False
        value = self(data)
        wanted = checked(value, schema)
        if self._odd:
            refuse_odd(value)
        return wanted

    def _whole(self, text: str) -> int | Odd:
        if len(text.lstrip("-")) <= MOST_DIGITS:
            return int(text)
        self._odd = True
        return Odd(f"a number of {len(text.lstrip('-'))} digits")

    def _number(self, text: str) -> float | Odd:
        value = float(text)
        return value if abs(value) != float("inf") else self._constant(text)

    def _constant(self, text: str) -> Odd:
        self._odd = True
        return Odd(short(text).strip("'"))


def read_json(path: str | os.PathLike[str], schema: type[Wanted], most_bytes: int, kind: str = "such file") -> Wanted:
    """The JSON of a file, in the form of `schema`; see `read_bytes`.

    Raises:
        OSError: see `open_regular`.
        Refused: it is too large, not JSON, or does not fit.
    """
    return JsonReader().checked(read_bytes(path, most_bytes, kind), schema)


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise Refused(f"has the key {twice([key for key, _ in pairs])} twice in one object")
    return table


def twice(names: list[str]) -> str:
    """The first of `names` that is among them more than once, as it stands in a message."""
    return short(next(name for name, count in Counter(names).items() if count > 1))


def _check_depth(data: bytes) -> None:
    brackets = np.frombuffer(_STRING.sub(b"", data).translate(None, _NO_BRACKETS), np.uint8)
    depth = 0
    for start in range(0, len(brackets), PIECE_BYTES):
        piece = brackets[start : start + PIECE_BYTES]
        opening = (piece == ord("[")) | (piece == ord("{"))
        depths = depth + np.cumsum(np.where(opening, 1, -1))
        if depths.max() > MOST_DEPTH:
            raise Refused(f"is nested more than {MOST_DEPTH} deep")
        depth = int(depths[-1])


# --- TOML -------------------------------------------------------------------------------------------------------------


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; `Odd` where a whole number has more than 64 bits.

    Raises:
        Refused: it is not TOML, or nested too deep.
    """
    try:
        return {key: _bounded(value) for key, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"is not TOML ({error})") from None
    except RecursionError:
        raise Refused("is nested too deep") from None
    except ValueError:  # a number of more digits than Python reads
        field = _LONG_IN_TOML.search(text)
        raise Refused("is a number of too many digits", (field[1].strip("\"'"),) if field else ()) from None


def _bounded(value: Any, depth: int = 1) -> Any:
    if depth > MOST_DEPTH:
        raise Refused(f"is nested more than {MOST_DEPTH} deep")
    if isinstance(value, dict):
        return {key: _bounded(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_bounded(inner, depth + 1) for inner in value]
    if isinstance(value, int) and value.bit_length() > 64:
        return Odd(short(value))
    return value
