"""Work that takes its time, in threads: so many at once, so many waiting, and one more is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from synthprint.progress import silent
from synthprint.web.problems import ServiceProblem

P = ParamSpec("P")
R = TypeVar("R")
RETRY_S = 2


class Workers:
    """Threads with a bounded queue.

    Args:
        count: how many work at once.
        queue: how many may wait.

    Attributes:
        count, queue: the same.
        pending: how many work or wait.
    """

    def __init__(self, count: int, queue: int) -> None:
        self.count, self.queue = count, queue
        self.pending = 0
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(count, "worker")

    def check_room(self) -> None:
        """Refuse what would have to wait behind a full queue, before it is received.

        Raises:
            ServiceProblem: it is full (429, with Retry-After).
        """
        if self.pending >= self.count + self.queue:
            raise ServiceProblem(
                429,
                "the service has as much to do as it can queue: try again later",
                headers={"Retry-After": str(RETRY_S)},
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among what works or waits.

        Raises:
            ServiceProblem: none is free (429).
        """
        with self._guard:
            self.check_room()
            self.pending += 1
        try:
            yield
        finally:
            with self._guard:
                self.pending -= 1

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Desk.run`."""
        with self.place():
            return await self.run_in_place(function, *args, **kwargs)

    async def run_in_place(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """As `run`, for whoever has a place already."""
        future = self._pool.submit(_quietly, partial(function, *args, **kwargs))
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if not future.cancel():  # it has begun: its files must stay until it ends
                await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)
            raise

    def begin(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Call a function in one of the threads, for those who have a place already."""
        return asyncio.wrap_future(self._pool.submit(_quietly, partial(function, *args, **kwargs)))

    def close(self) -> None:
        """Drop what waits, and wait for what works."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _quietly(function: Callable[[], R]) -> R:
    with silent():
        return function()
