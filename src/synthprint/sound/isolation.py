"""Files are decoded in child processes with limits, so that what a stranger's bytes break is not this process.

    with DecodingPool(workers=2) as pool, isolated(pool):
        tracer.trace("clip.wav")

Whatever then asks `audio` for a wave gets the same bits, or the same error, as without; a file that its decoder takes
too much time or memory for, or that breaks it, is an AudioError, and the next file gets a new child. What the limits
are is in `confinement`. A child may read any file that this process may: the limits keep what it read from going
anywhere but into the answer.
"""

from __future__ import annotations

import base64
import errno
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import synthprint
from synthprint import temporaries
from synthprint.errors import AudioError, MissingDependency
from synthprint.reading.schemas import construct
from synthprint.sound import audio, confinement
from synthprint.sound.audio import AudioInfo
from synthprint.sound.channels import AUTO
from synthprint.sound.conversation import NOISE, DecodingAnswer
from synthprint.sound.decoding import LongSound, Sound
from synthprint.sound.decoding_worker import STOPPED, DecodingWorker
from synthprint.sound.tracks import check_unchanged, file_stamp

MEMORY_BYTES = 1 << 30  # of address space, of which a child without a file takes some 120 MB
LEAST_MEMORY_BYTES = 256 << 20
SECONDS = 120.0
FILES = 200  # of one child: what a decoder leaks, or a file has planted, does not stay
NO_FILE = Path(os.devnull)
CLOSING_S = 10.0
LONGEST_NAME = 8000  # characters; a system has at most 4096 bytes, and a request must fit into a pipe


class DecodingPool:
    """Child processes that decode; many threads may ask at once, and wait for a free one.

    Args:
        workers: how many children.
        memory_bytes: of address space that each, and each program that it starts, may take.
        seconds: on a clock that a file may take.
        files_per_worker: after which a child is replaced.

    Attributes:
        replaced: how many children were, for whatever reason.
    """

    def __init__(
        self, workers: int, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS, files_per_worker: int = FILES
    ) -> None:
        if workers < 1 or files_per_worker < 1 or not seconds > 0:
            raise ValueError("workers, files_per_worker and seconds must be more than 0")
        if memory_bytes < LEAST_MEMORY_BYTES:
            raise ValueError(f"memory_bytes must be at least {LEAST_MEMORY_BYTES:,}: a child takes half of it")
        self.workers, self.memory_bytes, self.seconds = workers, memory_bytes, seconds
        self.files_per_worker, self.replaced = files_per_worker, 0
        self._all: list[DecodingWorker] = []
        self._free: list[DecodingWorker] = []
        self._changed = threading.Condition()
        self._is_open = False
        self._files = ExitStack()
        self._confinement: confinement.Confinement | None = None

    # --- Open and closed ----------------------------------------------------------------------------------------------

    def __enter__(self) -> DecodingPool:
        """Start the children; nothing waits for them.

        Raises:
            MissingDependency: this system has no POSIX processes.
            OSError: there is no room for temporary files, or for processes.
        """
        if os.name != "posix":
            raise MissingDependency("decoding in child processes needs a POSIX system, such as Linux")
        place = Path(tempfile.gettempdir()) / "decoding"
        folder = self._files.enter_context(temporaries.temporary(place, folder=True))
        folder.chmod(0o700)
        program = confinement.call_filter(_starts_programs())
        setup = {
            "packages": _packages(),
            "memory_bytes": self.memory_bytes,
            "filter": base64.b64encode(program).decode(),
        }
        self._all = [DecodingWorker(folder, setup, self.seconds) for _ in range(self.workers)]
        self._free, self._is_open = list(self._all), True
        try:
            for worker in self._all:
                worker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all children at once; who waits for one gets an AudioError."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for worker in self._all:
            worker.stop()
        until = time.monotonic() + CLOSING_S
        with self._changed:
            while len(self._free) < len(self._all) and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(left_s)
            workers, self._all, self._free = self._all, [], []
        for worker in workers:
            worker.end()
        self._files.close()

    @property
    def filtered(self) -> bool:
        """Whether the children's system calls are filtered, as the first of them that was ready says; waits for it.

        Raises:
            AudioError: no child starts; where an error has the name of a file, this one has that of the null device.
        """
        return self._limits().filtered

    @property
    def folder_only(self) -> bool:
        """Whether the children can write only into a folder of their own; as `filtered`."""
        return self._limits().folder_only

    def _limits(self) -> confinement.Confinement:
        if self._confinement is None:
            with self._worker(NO_FILE) as worker:
                self._confinement = worker.prepare(NO_FILE)
        return self._confinement

    @contextmanager
    def _worker(self, path: Path) -> Iterator[DecodingWorker]:
        """A child for a file, when one is free; afterwards it is free again, or another in its place."""
        with self._changed:
            while self._is_open and not self._free:
                self._changed.wait()
            if not self._is_open:
                raise AudioError(path, STOPPED)
            worker = self._free.pop()
        try:
            yield worker
        finally:
            self._give_back(worker)

    def _give_back(self, worker: DecodingWorker) -> None:
        if worker.files >= self.files_per_worker:
            worker.end()
        is_new = not worker.runs
        if is_new and self._is_open:
            with suppress(OSError):  # then whoever takes it tries again, and says so
                worker.start()
        with self._changed:
            self.replaced += is_new
            # One that has only just been started comes last: it may be ready when it is needed.
            self._free.insert(0 if is_new else len(self._free), worker)
            self._changed.notify_all()

    # --- Decoding -----------------------------------------------------------------------------------------------------

    def decode(self, path: str | Path, channel: str = AUTO, in_memory: bool = False) -> Sound:
        """All audio of a file, as `decoding.decode` gives it.

        Raises:
            AudioError: as there; or its child took too long, too much memory, or broke off.
            LongSound: it was given up.
        """
        path = Path(path)
        request = {"kind": "decode", "channel": channel, "in_memory": in_memory}
        stamp = file_stamp(path)  # our own: what the child reads lies between the two looks
        with self._asked(path, request) as (worker, answer):
            if answer.is_long and in_memory:
                raise LongSound
            wave = worker.wave(path, answer.samples)
        check_unchanged(path, stamp)
        assert stamp is not None
        return Sound(wave, answer.remarks, stamp)

    def info(self, path: str | Path) -> AudioInfo:
        """What a file's header says, as `audio.info` gives it.

        Raises:
            AudioError: as there, and as `decode`.
        """
        path = Path(path)
        with self._asked(path, {"kind": "info"}) as (_, answer):
            if answer.info is None:
                raise AudioError(path, NOISE)
            return construct(AudioInfo, answer.info)

    def load(
        self, path: str | Path, start_s: float = 0.0, duration_s: float | None = None, channel: str = AUTO
    ) -> np.ndarray:
        """A part of a file, float32 [T] at 16 kHz, as `audio.load` gives it.

        Raises:
            AudioError: as there, and as `decode`.
        """
        path = Path(path)
        request = {"kind": "load", "start_s": start_s, "duration_s": duration_s, "channel": channel}
        with self._asked(path, request) as (worker, answer):
            return np.asarray(worker.wave(path, answer.samples)[:])

    @contextmanager
    def _asked(self, path: Path, request: dict[str, Any]) -> Iterator[tuple[DecodingWorker, DecodingAnswer]]:
        """A child, and what it says of a file; it is ours for the block, and so are the samples that it wrote."""
        name = os.fsencode(path.absolute()).decode("utf-8", "surrogateescape")  # the child's names are UTF-8
        if len(name) > LONGEST_NAME:
            raise AudioError(path, f"cannot be read: {os.strerror(errno.ENAMETOOLONG)}")
        with self._worker(path) as worker:
            yield worker, worker.ask(path, {**request, "path": name})


def isolated(pool: DecodingPool) -> AbstractContextManager[None]:
    """While the block runs, `audio.decode`, `decoded`, `info` and `load` go through `pool`, in all threads."""
    return audio.decoding_by(pool)


def _starts_programs() -> bool:
    """Whether a child must start programs, to decode what libsndfile does not read."""
    with suppress(ImportError, ValueError):
        if importlib.util.find_spec("av"):
            return True
    return bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


def _packages() -> list[str]:
    """Where a child finds what this process has imported, in the same order; nowhere below the folder it stands in."""
    places = [place for place in sys.path if Path(place).is_absolute()]
    return list(dict.fromkeys([*places, str(Path(synthprint.__file__).absolute().parents[1])]))
