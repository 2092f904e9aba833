"""Work done in threads or processes a little ahead of its use: decoding files, preparing batches, …"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def processors() -> int:
    """How many processors this process may use: a container or `taskset` may leave it fewer than the machine has."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13 and later; on any system, and heeds `-X cpu_count`
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Iterator[R]:
    """`function` of each of `items`, in their order, on `workers` threads.

    At most `ahead` results wait to be taken, so memory stays bounded however many items there are.
    """
    with ThreadPoolExecutor(workers) as pool:
        yield from _in_order(pool, function, items, ahead)


def in_processes(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Iterator[R]:
    """As `in_order`, on `workers` processes of their own, to which `function` is sent once; with one worker, on none.

    It is for what holds Python's lock. A script that comes to it needs `if __name__ == "__main__":` around what it
    does, as always where processes are started anew.
    """
    if workers == 1:
        yield from map(function, items)
        return
    anew = multiprocessing.get_context("spawn")  # a forked process may hold a lock of a thread that it does not have
    with ProcessPoolExecutor(workers, anew, _keep, (function,)) as pool:
        yield from _in_order(pool, _call_kept, items, ahead)


_KEPT: list[Callable[[Any], Any]] = []  # what a process of `in_processes` was started for


def _keep(function: Callable[[Any], Any]) -> None:
    _KEPT.append(function)


def _call_kept(item: Any) -> Any:
    return _KEPT[0](item)


def _in_order(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    remaining = iter(items)
    pending: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(remaining, ahead))
    try:
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        for future in pending:
            future.cancel()
