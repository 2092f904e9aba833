"""A process of its own that opens cases at one door, with limits of memory; its parent watches the time.

A case is on the disk before it is opened: where the process dies or hangs, `Worker.case` still has it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz import faults
from fuzz.door import HERE, Door
from fuzz.faults import Fault
from fuzz.watching import Watch

CASE, DUMP, NOISE, ROOM = "case", "dump.txt", "noise.txt", "room"  # in a worker's folder
PREPARATION_S = 60.0
LAST_WORDS_S = 0.2  # to say where it hangs, before it is killed
ADDRESSES = 3  # times `Door.memory_mb`: what may be reserved, beyond what may be used
MOST_FILE_BYTES = 256 << 20
M_ARENA_MAX = -8  # see mallopt(3): threads shall not reserve 64 MB each
STDOUT, STDERR = 1, 2


class FuzzerError(Exception):
    """The fuzzer itself, or a door's own preparation, does not work."""


@dataclass(frozen=True)
class Answer:
    """What became of a case: a fault, or none; and whether it was refused by an error of synthprint's."""

    fault: Fault | None
    refused: bool = False


class Worker:
    """The parent's side: starts the process, gives it one case at a time, ends it.

    Args:
        door: what it opens cases at.
        folder: for its files; made anew at each start.
        seed: of the run, from which cases are made.
    """

    def __init__(self, door: Door, folder: Path, seed: int) -> None:
        self.door, self.folder, self.seed = door, folder, seed
        self._pid = 0
        self._since = 0.0
        self._limit_s = PREPARATION_S
        self.connection: Connection

    @property
    def case(self) -> bytes:
        """The case that was opened last."""
        return (self.folder / CASE).read_bytes()

    def start(self) -> None:
        """Start the process, which prepares its door and then waits."""
        _emptied(self.folder)
        (self.folder / ROOM).mkdir()
        self.connection, theirs = Pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self.connection.close()
            _live(self.door, self.folder, self.seed, theirs)
        theirs.close()
        self._ask_time(PREPARATION_S)

    def ask(self, case: int | bytes) -> None:
        """Have a case opened, by its number or as it is; see `answer`."""
        self.connection.send(case)
        self._ask_time(self.door.limit_s)

    def overdue(self) -> bool:
        """Whether what was asked takes too long."""
        return time.monotonic() - self._since > self._limit_s

    def answer(self) -> Answer | None:
        """What it says; None once, when it is ready for cases. A death is an answer.

        Raises:
            FuzzerError: it cannot work.
        """
        try:
            said = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return Answer(self._death())
        if isinstance(said, str):
            self.stop()
            raise FuzzerError(f"{self.door.name}: {said}")
        return said

    def give_up(self) -> Answer:
        """End a process that is overdue; where it hung is its fault."""
        os.kill(self._pid, signal.SIGUSR1)
        time.sleep(LAST_WORDS_S)
        self.stop()
        dump = self._dump()
        return Answer(Fault("takes too long", faults.place_in_dump(dump), f"more than {self._limit_s:g} s", dump))

    def stop(self) -> None:
        """End the process, and what it started."""
        if self._pid:
            for end in (os.killpg, os.kill):
                try:
                    end(self._pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            os.waitpid(self._pid, 0)
            self._pid = 0
            self.connection.close()

    def open_alone(self, case: int | bytes) -> Answer:
        """Open one case and wait for the answer; the process is started where it does not run.

        Raises:
            FuzzerError: it cannot work.
        """
        if not self._pid:
            self.start()
            self._wait()
        self.ask(case)
        return self._wait() or Answer(None)

    def _wait(self) -> Answer | None:
        while not self.connection.poll(0.2):
            if self.overdue():
                return self.give_up()
        return self.answer()

    def _ask_time(self, limit_s: float) -> None:
        self._since, self._limit_s = time.monotonic(), limit_s

    def _death(self) -> Fault:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        self.connection.close()
        dump = self._dump()
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return Fault(f"killed by {name}", faults.place_in_dump(dump), "", dump)
        return Fault("ends the process", faults.place_in_dump(dump), f"exit status {os.WEXITSTATUS(status)}", dump)

    def _dump(self) -> str:
        return (self.folder / DUMP).read_text(encoding="utf-8", errors="replace")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _live(door: Door, folder: Path, seed: int, connection: Connection) -> None:
    """The process: never returns."""
    try:
        inside = _Inside(door, folder, seed)
        connection.send(None)
    except BaseException:
        connection.send("cannot be prepared:\n" + traceback.format_exc())
        os._exit(3)
    while True:
        try:
            case = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            answer: object = inside.open(case)
        except BaseException:
            answer = "the fuzzer fails:\n" + traceback.format_exc()
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


def name_of(case: bytes) -> str:
    """A short name for the bytes of a case."""
    return hashlib.sha256(case).hexdigest()[:8]
