"""A process of its own that opens cases at one door: this side starts it, watches the time, and ends it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz import faults
from fuzz.door import Door
from fuzz.faults import Fault
from fuzz.inside import CASE, DUMP, ROOM, Answer, FuzzerError, live

PREPARATION_S = 60.0
LAST_WORDS_S = 0.2  # to say where it hangs, before it is killed


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
            live(self.door, self.folder, self.seed, theirs)
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
            MissingLibrary, FuzzerError: it cannot work.
        """
        try:
            said: Answer | FuzzerError | None = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return Answer(self._death())
        if isinstance(said, FuzzerError):
            self.stop()
            raise said
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
            if unready := self._wait():
                return unready
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


def name_of(case: bytes) -> str:
    """A short name for the bytes of a case."""
    return hashlib.sha256(case).hexdigest()[:8]
