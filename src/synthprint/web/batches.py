"""Clips of several requests traced together, where they wait at the same time: that costs less than each by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synthprint.extractor.examining import BATCH_CLIPS
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.working import Workers

R = TypeVar("R")
AT_ONCE = 2  # batches: one is decoded while the other is embedded
FEWEST_BESIDE = 4  # clips that are worth a batch beside one that runs: fewer wait until it ends, or for more


@dataclass(frozen=True)
class TraceOptions:
    """How a clip is to be traced: only clips with the same options are traced together; see `Tracer`."""

    gallery: str
    top: int = 5
    nearest: int = 3


@dataclass(frozen=True, eq=False)
class _Waiting:
    options: TraceOptions
    path: Path
    respond: Callable[[Trace | Failure], Any]
    answer: asyncio.Future[Any]


class TraceBatches:
    """What waits to be traced, in the order in which it came; for the event loop alone.

    Args:
        workers: the threads.
        tracer: of some options. It is called in a thread.
    """

    def __init__(self, workers: Workers, tracer: Callable[[TraceOptions], Tracer]) -> None:
        self._workers, self._tracer = workers, tracer
        self._waiting: deque[_Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def trace(self, options: TraceOptions, path: Path, respond: Callable[[Trace | Failure], R]) -> R:
        """Trace a file, with others that wait; whoever calls has a place among what works or waits.

        Args:
            respond: makes an answer of what came of the file, in the thread; what it raises is raised here.

        Raises:
            GalleryError: nothing is enrolled.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(options, path, respond, answer))
        self._start()
        return await answer

    def _start(self) -> None:
        while self._waiting and self._may_start():
            batch = self._take()
            if batch:
                task = asyncio.create_task(self._answer(batch))
                self._running.add(task)

    def _may_start(self) -> bool:
        """Whether another batch may run now: at once where none does, so that a clip by itself waits for nobody."""
        return not self._running or (len(self._running) < AT_ONCE and len(self._waiting) >= FEWEST_BESIDE)

    def _take(self) -> list[_Waiting]:
        """The first that wait, as far as their options are the same; whose client went away is left out."""
        first = self._waiting[0]
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < BATCH_CLIPS and self._waiting[0].options == first.options:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers: Sequence[Any] = await self._workers.begin(self._traced, batch)
        except BaseException as error:  # of the tracer, or of a service that ends: it is theirs all
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():  # its client went away
                continue
            if isinstance(answer, BaseException):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
        self._running.discard(asyncio.current_task())
        self._start()

    def _traced(self, batch: list[_Waiting]) -> list[Any]:
        answers = self._tracer(batch[0].options).trace_many([waiting.path for waiting in batch])
        return [_told(waiting, answer) for waiting, answer in zip(batch, answers, strict=True)]


def _told(waiting: _Waiting, answer: Trace | Failure) -> Any:
    """What is made of an answer, or the error of that, which is no other clip's."""
    try:
        return waiting.respond(answer)
    except Exception as error:
        return error
