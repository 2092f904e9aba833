"""A smaller case with the same fault, in bounded time."""

from __future__ import annotations

import time

from fuzz.faults import Fault
from fuzz.worker import Worker

WANDERING = ("takes", "killed")  # faults with these first words need not be met at the same line each time


def minimised(worker: Worker, case: bytes, fault: Fault, until: float) -> tuple[bytes, bool]:
    """The smallest case that was met until then (`time.monotonic`), and whether the fault came again at all.

    Parts are left out, first large ones, then smaller ones, as in delta debugging (Zeller and Hildebrandt 2002).
    """
    if not _same(worker, case, fault):
        return case, False
    part = len(case) // 2
    while part and time.monotonic() < until:
        start, shorter = 0, False
        while start < len(case) and time.monotonic() < until:
            without = case[:start] + case[start + part :]
            if _same(worker, without, fault):
                case, shorter = without, True
            else:
                start += part
        if not shorter or part > len(case):
            part //= 2
    return case, True


def _same(worker: Worker, case: bytes, fault: Fault) -> bool:
    other = worker.open_alone(case).fault
    if other is None or other.kind != fault.kind:
        return False
    return other.place == fault.place or fault.kind.split()[0] in WANDERING
