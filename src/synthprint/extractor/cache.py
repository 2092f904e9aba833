"""Utterance embeddings that were made before, found by content: a second run decodes and embeds nothing.

    FOLDER/embeddings-WINDOW.bin   a header, then records of one size: SHA-256 of the content, vector, check

The file only grows, by whole blocks and under a lock, so several processes may share it and any may be killed. A
record is taken for what it says only where its check fits; one that is damaged, or was cut short, is not there, and
is made and appended again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import files
from synthprint.errors import OutputError
from synthprint.reading import doors

MAGIC = b"synthprint embeddings 1".ljust(32)
CONTENT_BYTES, CHECK_BYTES = 32, 8
HEADER_BYTES = len(MAGIC) + hashlib.sha256().digest_size


class EmbeddingCache:
    """The embeddings that one extractor gave, by content; a content is named by its SHA-256, 32 bytes.

    It takes 16 bytes of memory a record. A folder that cannot be read or written counts as empty: that is logged
    once, and stops nobody.

    Args:
        folder: where the file lies; it is made at the first `add`.
        made_by: text that names all that a vector depends on beside the content; a file of another text is not read.
        window_samples: length of the extractor's windows.
        dim: size D of a vector.
    """

    def __init__(self, folder: Path, made_by: str, window_samples: int, dim: int) -> None:
        self.path = folder / f"embeddings-{window_samples}.bin"
        self._header = MAGIC + hashlib.sha256(f"{made_by} {window_samples} {dim}".encode()).digest()
        content = [("start", "<u8"), ("rest", f"V{CONTENT_BYTES - 8}")]
        self._record = np.dtype([*content, ("vector", "<f4", (dim,)), ("check", f"V{CHECK_BYTES}")])
        self._usable = True
        self._records = self._open()
        starts = np.array(self._records["start"])
        self._order = np.argsort(starts, kind="stable")
        self._starts = starts[self._order]

    def __len__(self) -> int:
        """Records, when it was opened."""
        return len(self._records)

    def get(self, content: bytes) -> np.ndarray | None:
        """The vector [D] of a content, or None; what other processes add after the opening is not seen."""
        start = np.uint64(int.from_bytes(content[:8], "little"))
        first, last = (int(np.searchsorted(self._starts, start, side)) for side in ("left", "right"))
        for row in self._order[first:last]:
            record = self._records[row].tobytes()
            if record.startswith(content) and _check(record[:-CHECK_BYTES]) == record[-CHECK_BYTES:]:
                return np.frombuffer(record[CONTENT_BYTES:-CHECK_BYTES], "<f4").astype(np.float32)
        return None

    def add(self, contents: Sequence[bytes], vectors: np.ndarray) -> None:
        """Append the vectors [N, D] of N contents."""
        if not self._usable or not len(contents):
            return
        bodies = [c + np.asarray(v, "<f4").tobytes() for c, v in zip(contents, vectors, strict=True)]
        block = b"".join(body + _check(body) for body in bodies)
        try:
            with files.locked(self.path.parent):
                self._append(block)
        except (OSError, OutputError) as error:
            self._give_up(error)

    def _append(self, block: bytes) -> None:
        if not self._is_ours():
            with files.atomic(self.path) as temporary:
                temporary.write_bytes(self._header + block)
            return
        with open(self.path, "r+b") as file:
            records = (file.seek(0, os.SEEK_END) - HEADER_BYTES) // self._record.itemsize
            file.truncate(file.seek(HEADER_BYTES + records * self._record.itemsize))  # what a kill left half written
            file.write(block)

    def _open(self) -> Any:
        """The whole records of the file."""
        try:
            if self._is_ours():
                records = (self.path.stat().st_size - HEADER_BYTES) // self._record.itemsize
                if records:
                    return np.memmap(self.path, self._record, mode="r", offset=HEADER_BYTES, shape=(records,))
        except OSError as error:
            self._give_up(error)
        return np.zeros(0, self._record)

    def _is_ours(self) -> bool:
        try:
            with doors.open_regular(self.path) as file:
                return file.read(HEADER_BYTES) == self._header
        except FileNotFoundError:
            return False

    def _give_up(self, error: OSError | OutputError) -> None:
        self._usable = False
        reason = error.reason if isinstance(error, OutputError) else error.strerror
        logging.getLogger(__name__).warning(
            "%s: embeddings cannot be kept here (%s); they will be made again the next time", self.path, reason
        )


def default_folder(digest: str) -> Path:
    """Where the embeddings of the extractor with this digest are kept; see `files.cache_folder`."""
    return files.cache_folder() / "embeddings" / digest[:16]


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECK_BYTES).digest()
