"""Writing without loss: everything goes to a temporary name first and is then moved into place (see `temporaries`)."""

from __future__ import annotations

import csv
import errno
import importlib
import io
import json
import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from synthprint import temporaries
from synthprint.errors import OutputError
from synthprint.reading import doors

_UMASK_LOCK = threading.Lock()


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError in the block, unless it names a file elsewhere, is that `path` cannot be written.

    Raises:
        OutputError: there was one.
    """
    try:
        yield
    except OSError as error:
        if not _concerns(error, Path(path)):
            raise
        raise OutputError.from_os_error(path, error) from error


def _concerns(error: OSError, path: Path) -> bool:
    """Whether it names no file, or one on the way to `path`, in it, or beside it."""
    named = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str | os.PathLike)]
    return not named or any(path.is_relative_to(name) or name.is_relative_to(path.parent) for name in named)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, an empty file; it becomes `path` when the block ends without an error.

    Raises:
        OutputError: it cannot be written, or is something else than a file.
    """
    path = Path(path)
    with writing(path):
        _check_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporaries.temporary(path) as temporary:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # some writers make files that only their owner can read
            os.replace(temporary, path)


def check_place(path: Path, folder: bool = False) -> None:
    """Refuse what can be known to be no place for a file, or a `folder`, before there is anything to write.

    Raises:
        OutputError: something else is there, or its folder cannot be written or made.
    """
    with writing(path):
        if folder:
            _check_folder(path)
        else:
            _check_file(path)
        above = next(place for place in (path, *path.absolute().parents) if place.is_dir() or place.is_file())
        if above.is_file() and above != path:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        place = above.absolute().parent if above.is_file() else above
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _try(place)


def _try(folder: Path) -> None:
    """Make sure that something can be made in `folder`: there are some, as /proc, where rights do not say that.

    Raises:
        OSError: it cannot, with no name of a file.
    """
    try:
        with temporaries.temporary(folder / "try"):
            return
    except OSError as error:
        raise OSError(error.errno, error.strerror) from error


def _check_folder(path: Path) -> None:
    doors.check_link(path)
    if path.exists() and not path.is_dir():
        raise OutputError(path, "it is a file", "name a folder")
    if path.name == ".." and not path.exists():  # else the folder above it would be made
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _check_file(path: Path) -> None:
    if not path.is_symlink():  # which is replaced, wherever it leads
        doors.check_link(path)
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise OutputError(path, "it is a folder", "name a file")
    if not stat.S_ISREG(mode):  # a device, such as /dev/null, would be replaced by a file
        raise OutputError(path, "it is a device or a pipe", "name a file")


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; what was written into it is put into `folder` when the block ends without an error.

    A new folder appears whole, in one move. Into one that exists the files are moved when all of them are written, in
    the order in which they were; where one cannot be moved, those before it are moved back. Other files in it stay.

    Raises:
        OutputError: a file cannot be written or moved; it is named as it was to be, in `folder`.
    """
    folder = Path(folder)
    with writing(folder):
        _check_folder(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporaries.temporary(folder, folder=True, inside=folder.is_dir()) as temporary:
            try:
                yield temporary
            except OutputError as error:
                if not Path(error.path).is_relative_to(temporary):
                    raise
                place = folder / Path(error.path).relative_to(temporary)
                raise OutputError(place, error.reason, error.remedy) from error
            if temporary.parent != folder:
                try:
                    temporary.rename(folder)
                    return
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # by now it is there
                        raise
            _move_all(temporary, folder)


def _move_all(source: Path, folder: Path) -> None:
    """Move the files below `source` to their places below `folder`: all, or none."""
    moves = [(path, folder / path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
    moves.sort(key=lambda move: (move[0].stat().st_mtime_ns, move[1]))
    for _, place in moves:
        _check_file(place)
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
    with temporaries.temporary(folder, folder=True, inside=True) as before, ExitStack() as undoing:
        for number, (path, place) in enumerate(moves):
            with writing(place):
                new, old = not place.exists(), before / str(number)
                if not new:
                    with suppress(OSError):  # a file system without links: then it cannot be moved back
                        os.link(place, old)
                os.replace(path, place)
                if new:
                    undoing.callback(place.unlink, missing_ok=True)
                elif old.exists():
                    undoing.callback(os.replace, old, place)
        undoing.pop_all()


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

    Raises:
        OutputError: the folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = temporaries.acquire(folder / ".lock", wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Have the turn at `path`, which need not exist, while the block runs: others that want it wait.

    Raises:
        OutputError: the folder it is in cannot be made or written.
    """
    with ExitStack() as held:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporaries.sweep(path.parent)
            held.enter_context(temporaries.turn(path))
        yield


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write `text` as UTF-8, atomically; `errors` as in `str.encode`.

    Raises:
        OutputError: it cannot be written; or has what is no text, and `errors` is "strict".
    """
    with atomic(path) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8", errors=errors)
        except UnicodeEncodeError as error:
            name = text[: error.end].rpartition("\n")[2]
            raise OutputError(path, f"{name!r} is not UTF-8, as this format must be", "rename it") from None


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write `data`, atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, atomically: the same bytes for the same content.

    Args:
        path: the file.
        tensors: by name; numpy arrays, or torch tensors.
        metadata: texts for its header.
    """
    from safetensors import SafetensorError

    of_torch = any(type(tensor).__module__.partition(".")[0] == "torch" for tensor in tensors.values())
    library = importlib.import_module("safetensors.torch" if of_torch else "safetensors.numpy")
    with atomic(path) as temporary:
        try:
            library.save_file(dict(tensors), temporary, dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise _system_error(error) from error
        if metadata:
            _sort_metadata(temporary)


def _system_error(error: Exception) -> OSError:
    """What the system said, of which safetensors gives the text alone."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))


def _sort_metadata(path: Path) -> None:
    """Sort the metadata in the header of a safetensors file, which come in another order each time."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        file.seek(8)
        file.write(text.ljust(size))


def csv_text(rows: Iterable[Iterable[Any]], end: str = "\n") -> str:
    """Rows of cells as CSV, a line each, which `end` ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """What `write_json` writes."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A path that is not UTF-8 holds lone surrogates; their escapes are JSON's own.
    return f"{text}\n".encode("utf-8", "backslashreplace")


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
