"""Writing without loss: everything goes to a temporary name first and is then moved into place."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20
_UMASK_LOCK = threading.Lock()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending is kept: several writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.tmp{path.suffix}")
    try:
        yield temporary
        if temporary.is_file():  # some writers make files that only their owner can read
            temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    with _UMASK_LOCK:  # it can only be read by setting it, and it belongs to the whole process
        current = os.umask(0o022)
        os.umask(current)
        return current


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of `folder` (made where it does not exist) while the block runs; the kernel frees it at a kill.

    Yields:
        Whether the lock is held: with `wait`, always; without, false where another process holds it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write `text` as UTF-8, atomically; `errors` as in `str.encode`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of cells as CSV, a line each."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A path that is not UTF-8 holds lone surrogates; their escapes are JSON's own.
    write_text(path, text + "\n", errors="backslashreplace")


def cache_folder() -> Path:
    """Where what can be made again is kept: $SYNTHPRINT_CACHE, or ~/.cache/synthprint."""
    return Path(os.environ.get("SYNTHPRINT_CACHE") or Path.home() / ".cache" / "synthprint")


def stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in ns: what changes when a file does. None where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
