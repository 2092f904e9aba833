"""Clips of several requests traced together, where they wait at the same time: that costs less than each by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthprint.errors import AudioError
from synthprint.extractor.examining import BATCH_CLIPS
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.working import Workers

AT_ONCE = 2  # batches: one is decoded while the other is embedded


@dataclass(frozen=True)
class TraceOptions:
    """How a clip is to be traced: only clips with the same options are traced together."""

    gallery: str
    top: int
    nearest: int


@dataclass(frozen=True, eq=False)
class _Waiting:
    options: TraceOptions
    path: Path
    written: Callable[[Trace], str]
    answer: asyncio.Future[str]


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

    async def trace(self, options: TraceOptions, path: Path, written: Callable[[Trace], str]) -> str:
        """Trace a file, with others that wait.

        Args:
            written: makes the answer's text of the trace, in the thread.

        Raises:
            ServiceProblem: too many wait already (429).
            AudioError: it is not usable audio.
            GalleryError: nothing is enrolled.
        """
        with self._workers.place():
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(options, path, written, answer))
            self._start()
            return await answer

    def _start(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            batch = self._take()
            if batch:
                task = asyncio.create_task(self._answer(batch))
                self._running.add(task)

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
            texts: Sequence[str | BaseException] = await self._workers.begin(self._traced, batch)
        except BaseException as error:  # of the tracer, or of a service that ends: it is theirs all
            texts = [error] * len(batch)
        for waiting, text in zip(batch, texts, strict=True):
            if waiting.answer.done():  # its client went away
                continue
            if isinstance(text, BaseException):
                waiting.answer.set_exception(text)
            else:
                waiting.answer.set_result(text)
        self._running.discard(asyncio.current_task())
        self._start()

    def _traced(self, batch: list[_Waiting]) -> list[str | BaseException]:
        answers = self._tracer(batch[0].options).trace_many([waiting.path for waiting in batch])
        return [
            AudioError(waiting.path, answer.error) if isinstance(answer, Failure) else waiting.written(answer)
            for waiting, answer in zip(batch, answers, strict=True)
        ]
