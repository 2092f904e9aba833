"""A run: every door gets its share of the time, on as many workers as there are cores; faults are sorted and kept."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.door import Door
from fuzz.faults import Fault
from fuzz.inside import Answer, MissingLibrary
from fuzz.minimising import minimised
from fuzz.worker import Worker, name_of

TICK_S = 0.05
IN_MEMORY = Path("/dev/shm")  # each case is a file, or two: on a disk they would take most of the time
MINIMISING_SHARE = 0.5  # of the time of the run, for all faults
LEAST_MINIMISING_S = 10.0
FATAL = ("takes", "killed", "ends")  # faults with these first words leave a process that is of no more use
DOUBTFUL = ("takes",)  # a machine that is busy can be the reason: only what happens again counts


@dataclass
class Catch:
    """A fault, and the first case that it was met with."""

    door: Door
    fault: Fault
    case: bytes
    times: int = 1
    repeats: bool = True
    file: Path | None = None


@dataclass
class Tally:
    """What one door has seen."""

    door: Door
    cases: int = 0
    refused: int = 0
    spent_s: float = 0.0
    catches: dict[tuple[str, str], Catch] = field(default_factory=dict)

    def line(self) -> str:
        """For people."""
        speed = self.cases / self.spent_s if self.spent_s else 0.0
        return f"{self.door.name:<28}{self.cases:>9,}{speed:>10,.0f}{self.refused:>9,}{len(self.catches):>8}"


HEADER = f"{'door':<28}{'cases':>9}{'a second':>10}{'refused':>9}{'faults':>8}"


@dataclass
class Plan:
    """What a run is to do.

    Attributes:
        seconds: how long, over all doors.
        seed: which cases.
        cases: of each door, at most; None: as many as the time allows.
        workers: processes at a time.
        minimise_s: how long a faulty case is made smaller.
        out: folder for faulty cases.
        say: where a line goes.
    """

    seconds: float
    seed: int
    cases: int | None
    workers: int
    minimise_s: float
    out: Path
    say: Callable[[str], None]


class _Lane:
    """A worker at one door, and how long it stays."""

    def __init__(self, tally: Tally, plan: Plan, folder: Path, stay_s: float) -> None:
        self.tally, self.plan, self.stay_s = tally, plan, stay_s
        self.worker = Worker(tally.door, folder, plan.seed)
        self._asked = time.monotonic()
        self.worker.start()

    def go_on(self, ready: bool) -> bool:
        """Take the answer where it is there, or give up what takes too long; false when the door's time is over."""
        if ready:
            return self._take(self.worker.answer())
        return not self.worker.overdue() or self._take(self.worker.give_up())

    def _take(self, answer: Answer | None) -> bool:
        """Note an answer and ask for the next case."""
        if answer is not None:
            self.tally.cases += 1
            self.tally.spent_s += time.monotonic() - self._asked
            self.tally.refused += answer.refused
            if answer.fault:
                self._catch(answer.fault)
            over = self.plan.cases is not None and self.tally.cases >= self.plan.cases
            if over or self.tally.spent_s > self.stay_s:
                self.worker.stop()
                return False
            if answer.fault and answer.fault.kind.split()[0] in FATAL:
                self.worker.stop()
                self.worker.start()
                return True
        self._asked = time.monotonic()
        self.worker.ask(self.tally.cases)
        return True

    def _catch(self, fault: Fault) -> None:
        known = self.tally.catches.get(fault.signature)
        if known:
            known.times += 1
        else:
            self.tally.catches[fault.signature] = Catch(self.tally.door, fault, self.worker.case)


def run(doors: Sequence[Door], plan: Plan) -> list[Catch]:
    """Open cases at the doors, say what was seen, keep the faulty cases in `plan.out`; returns the faults."""
    with scratch_folder(plan.out) as scratch:
        plan.say(HEADER)
        tallies = _explore(doors, plan, scratch)
        cases, spent_s = sum(t.cases for t in tallies), sum(t.spent_s for t in tallies)
        plan.say(f"{'all':<28}{cases:>9,}{cases / max(spent_s, 1e-9):>10,.0f}")
        return _sift([catch for tally in tallies for catch in tally.catches.values()], plan, scratch)


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """A folder for the files of workers, removed at the end: in memory where that can be, else in `out`."""
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else out
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="fuzz-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _explore(doors: Sequence[Door], plan: Plan, scratch: Path) -> list[Tally]:
    tallies = [Tally(door) for door in doors]
    waiting, lanes = deque(tallies), dict[int, _Lane]()
    end = time.monotonic() + plan.seconds
    try:
        while waiting or lanes:
            for number in range(plan.workers):
                if number not in lanes and waiting:
                    stay_s = _share(waiting, max(0.0, end - time.monotonic()) * plan.workers)
                    lanes[number] = _Lane(waiting.popleft(), plan, scratch / f"worker-{number}", stay_s)
            ready = wait([lane.worker.connection for lane in lanes.values()], TICK_S)
            for number, lane in list(lanes.items()):
                try:
                    stays = lane.go_on(lane.worker.connection in ready)
                except MissingLibrary as error:
                    plan.say(str(error))
                    del lanes[number]
                    continue
                if not stays:
                    plan.say(lanes.pop(number).tally.line())
    finally:
        for lane in lanes.values():
            lane.worker.stop()
    return tallies


def _share(waiting: Sequence[Tally], seconds: float) -> float:
    """The time of the first of the doors, if `seconds` are shared among them."""
    return seconds * waiting[0].door.weight / sum(tally.door.weight for tally in waiting)


def _sift(catches: Sequence[Catch], plan: Plan, scratch: Path) -> list[Catch]:
    """See which faults come again in a fresh process, make their cases smaller, and keep them."""
    end = time.monotonic() + max(LEAST_MINIMISING_S, MINIMISING_SHARE * plan.seconds)
    certain = []
    for catch in catches:
        worker = Worker(catch.door, scratch / "minimising", plan.seed)
        try:
            until = min(end, time.monotonic() + plan.minimise_s)
            catch.case, catch.repeats = minimised(worker, catch.case, catch.fault, until)
        finally:
            worker.stop()
        if catch.repeats or catch.fault.kind.split()[0] not in DOUBTFUL:
            certain.append(catch)
            keep(catch, plan)
    return certain


def keep(catch: Catch, plan: Plan) -> None:
    """Write the case, and beside it what it does and how to see it again; says so."""
    kind = "".join(c if c.isalnum() else "-" for c in catch.fault.kind)
    folder = plan.out / catch.door.name
    folder.mkdir(parents=True, exist_ok=True)
    catch.file = folder / f"{kind}-{name_of(catch.case)}{Path(catch.door.file).suffix}"
    catch.file.write_bytes(catch.case)
    near = catch.file.relative_to(Path.cwd()) if catch.file.is_relative_to(Path.cwd()) else catch.file
    again = f"python -m fuzz --replay {near}"
    doubt = "" if catch.repeats else " (not again in a fresh process: it needs the cases before it)"
    lines = [f"{catch.door.name}: {catch.fault}{doubt}", f"  met {catch.times} times, {len(catch.case)} bytes: {again}"]
    text = "\n".join([*lines, "", catch.fault.trace])
    catch.file.with_name(catch.file.name + ".txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    for line in lines:
        plan.say(line)
