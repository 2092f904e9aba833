"""Which clips are answered already: in SQLite, so that memory stays as it is however many there are.

The answers themselves say so, shard by shard. This is an index of them, beside them in a hidden file: what it lacks, as
after a kill, is read from the shards when it is opened, and a damaged one is made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from synthprint.errors import OutputError

NAME = ".answered.sqlite"
KEY_BYTES = 16  # two of 10⁹ clips share one with a probability of 10⁻²¹
TABLES = (
    "CREATE TABLE IF NOT EXISTS clips (key BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS examined (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID",
)


class AnsweredClips:
    """Digests of clips that are answered, and addresses with the stamps that they had.

    Args:
        folder: of the answers. One process at a time may have its index.

    Raises:
        OutputError: another one has it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        try:
            self._open()
        except sqlite3.OperationalError as error:
            reason = "another watch writes its answers there" if "locked" in str(error) else str(error)
            raise OutputError(folder, reason, "name another folder") from None
        except sqlite3.DatabaseError:
            for path in self._path.parent.glob(f"{NAME}*"):
                path.unlink()
            self._open()

    def _open(self) -> None:
        self._base = sqlite3.connect(self._path, timeout=0.0, isolation_level=None)
        try:
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")  # what a crash takes is read from the shards again
            for table in TABLES:
                self._base.execute(table)
            if self._base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
            self._breaks = dict(self._base.execute("SELECT key, times FROM examined"))
        except BaseException:
            self._base.close()
            raise

    def __contains__(self, key: bytes) -> bool:
        return self._base.execute("SELECT 1 FROM clips WHERE key = ?", (key,)).fetchone() is not None

    def has_shard(self, name: str) -> bool:
        """Whether what a shard holds is in it."""
        return self._base.execute("SELECT 1 FROM shards WHERE name = ?", (name,)).fetchone() is not None

    def add(self, keys: Iterable[bytes]) -> None:
        """Take in clips, all or none."""
        self._change("INSERT OR IGNORE INTO clips VALUES (?)", keys)

    def add_shard(self, name: str, keys: Iterable[bytes]) -> None:
        """Take in the digests of a shard that lies on the disk."""
        self.add(keys)
        self._base.execute("INSERT OR IGNORE INTO shards VALUES (?)", (name,))

    def breaks(self, key: bytes | None) -> int:
        """How often a process was ended while it examined the clip of a digest."""
        return self._breaks.get(key, 0)

    def begin(self, keys: Sequence[bytes]) -> None:
        """Put on record that the clips of these digests are examined now."""
        words = "INSERT INTO examined VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1"
        self._change(words, keys)

    def end(self, keys: Sequence[bytes]) -> None:
        """These were examined, and the process lives."""
        self._change("DELETE FROM examined WHERE key = ?", keys)
        for key in keys:
            self._breaks.pop(key, None)

    def _change(self, words: str, keys: Iterable[bytes]) -> None:
        self._base.execute("BEGIN IMMEDIATE")
        self._base.executemany(words, ((key,) for key in keys))
        self._base.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def digest_key(sha256: str) -> bytes:
    """The key of a clip by its content."""
    return bytes.fromhex(sha256)[:KEY_BYTES]


def version_key(address: str, stamp: str | None) -> bytes:
    """The key of what lay at an address, as it was then; both as a row of answers has them."""
    return blake2b(f"{address}\0{stamp or ''}".encode(), digest_size=KEY_BYTES).digest()
