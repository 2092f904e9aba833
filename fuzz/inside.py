"""Inside a worker's process: the door, prepared; its limits of memory; what a case does there is judged.

A case is on the disk before it is opened: where the process dies or hangs, it is still there.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz import faults
from fuzz.door import HERE, Door
from fuzz.faults import Fault
from fuzz.watching import Watch

CASE, DUMP, NOISE, ROOM = "case", "dump.txt", "noise.txt", "room"  # in a worker's folder
ADDRESSES = 3  # times `Door.memory_mb`: what may be reserved, beyond what may be used
MOST_FILE_BYTES = 256 << 20
M_ARENA_MAX = -8  # see mallopt(3): threads shall not reserve 64 MB each
STDOUT, STDERR = 1, 2


class FuzzerError(Exception):
    """The fuzzer itself, or a door's own preparation, does not work."""


class MissingLibrary(FuzzerError):
    """A door cannot be prepared without a library that is not installed."""


@dataclass(frozen=True)
class Answer:
    """What became of a case: a fault, or none; and whether it was refused by an error of synthprint's."""

    fault: Fault | None
    refused: bool = False


def live(door: Door, folder: Path, seed: int, connection: Connection) -> None:
    """The process: never returns."""
    try:
        inside = _Inside(door, folder, seed)
        connection.send(None)
    except ImportError as error:
        connection.send(MissingLibrary(f"{door.name}: left out: {error}"))
        os._exit(3)
    except BaseException:
        connection.send(FuzzerError(f"{door.name}: cannot be prepared:\n{traceback.format_exc()}"))
        os._exit(3)
    while True:
        try:
            case = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            answer: object = inside.open(case)
        except BaseException:
            answer = FuzzerError(f"{door.name}: the fuzzer fails:\n{traceback.format_exc()}")
        connection.send(answer)


class _Inside:
    """The process's side: the door, prepared, and what is watched."""

    def __init__(self, door: Door, folder: Path, seed: int) -> None:
        os.setsid()
        self.door, self.seed, self.folder = door, seed, folder
        self.room = (folder / ROOM).resolve()
        os.chdir(self.room)
        for name in ("HOME", "TMPDIR", "SYNTHPRINT_CACHE"):
            os.environ[name] = str(self.room)
        dump = open(folder / DUMP, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
        faulthandler.enable(dump)
        faulthandler.register(signal.SIGUSR1, dump)
        self.noise = os.open(folder / NOISE, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for descriptor in (STDOUT, STDERR):
            os.dup2(self.noise, descriptor)
        self.state = door.prepare(self.room)
        self.seeds: Sequence[bytes] = door.seeds(self.state)
        self.case_file = self.room / door.file
        self.case_file.parent.mkdir(parents=True, exist_ok=True)
        self._warm_up()
        canary = (Path(__file__).parents[1] / "tests" / "fuzz_seeds" / "pcm16.wav").read_bytes()
        self.watch = Watch(self.room, canary)
        self.names = [door.file, str(self.case_file), *([str(self.room)] if door.names_folder else [])]
        self.most_rss = _peak_rss() + (door.memory_mb << 20)
        self.children_rss = door.memory_mb << 20
        _limit(door.memory_mb << 20)

    def _warm_up(self) -> None:
        """Open the sound seed before anything is watched or limited: so that all that it imports is there."""
        self._lay(self.seeds[0])
        with suppress(Exception):  # when it is opened as a case, it is judged
            self.door.enter(self.state, self.case_file)

    def _lay(self, case: bytes) -> None:
        (self.folder / CASE).write_bytes(case)
        self.case_file.write_bytes(case.replace(HERE, os.fsencode(self.room)))

    def open(self, case: int | bytes) -> Answer:
        """Make the case where it is a number, lay it on the disk, open it, and judge what comes of it."""
        data = self.door.case(self.seeds, self.seed, case) if isinstance(case, int) else case
        self._lay(data)
        os.ftruncate(self.noise, 0)
        os.lseek(self.noise, 0, os.SEEK_SET)
        self.watch.begin()
        fault, refused = self._enter()
        sys.stdout.flush()
        notes = self.watch.end()
        if refused and data == self.seeds[0] and fault is None:
            fault = Fault("refuses a sound file", says=refused)
        return Answer(fault or self._trespass(notes) or self._memory() or self._noise(), bool(refused))

    def _enter(self) -> tuple[Fault | None, str]:
        """A fault or none, and the message of an error of synthprint's."""
        from synthprint.errors import SynthprintError

        try:
            return faults.of_result(self.door.enter(self.state, self.case_file)), ""
        except SynthprintError as error:
            return faults.of_message(error, self.names), str(error) or " "
        except BaseException as error:
            return faults.of_exception(error), ""

    def _trespass(self, notes: Sequence[tuple[str, str]]) -> Fault | None:
        for kind, path in notes:
            if not (self.door.opens_others and kind.startswith("opens")):
                return Fault(kind, "", path)
        return None

    def _memory(self) -> Fault | None:
        own, children = _peak_rss(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
        if own <= self.most_rss and children <= self.children_rss:
            return None
        return Fault(
            "takes too much memory", "", f"{max(own, children) >> 20} MB; {self.door.memory_mb} MB are allowed"
        )

    def _noise(self) -> Fault | None:
        """Lines on stdout or stderr that do not say which file they are of."""
        if not os.fstat(self.noise).st_size:
            return None
        lines = os.pread(self.noise, 1 << 16, 0).decode("utf-8", "replace").splitlines()
        nameless = [line for line in lines if line.strip() and not any(name in line for name in self.names)]
        return Fault("writes to the terminal", "", nameless[0]) if nameless else None


def _peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _limit(memory: int) -> None:
    """What is beyond these limits fails, instead of taking the machine down."""
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES * memory, used + ADDRESSES * memory))
    except (OSError, ValueError):  # not Linux: what is measured must do
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_FILE_BYTES, MOST_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
