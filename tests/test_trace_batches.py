"""Clips of several requests traced together: what is in a batch, whose error is whose, and who has left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from synthprint.errors import AudioError
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure, Trace
from synthprint.web.batches import AT_ONCE, FEWEST_BESIDE, TraceBatches, TraceOptions
from synthprint.web.working import Workers

CALM_S = 60.0
ONE = TraceOptions("one")


class Tracing:
    """Notes what is traced together, and does not go on before it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.going = threading.Event()

    def trace_many(self, paths: Sequence[Path]) -> Iterator[Failure]:
        self.batches.append([path.name for path in paths])
        assert self.going.wait(CALM_S)
        return iter([Failure(str(path), f"no {path.name}") for path in paths])


def told(answered: Trace | Failure) -> str:
    """What `Tracing` gives, in a word."""
    assert isinstance(answered, Failure)
    return answered.error


def run(work: Callable[[TraceBatches, Tracing], Awaitable[Any]]) -> Tracing:
    """Do the work, with batches whose tracer is a `Tracing`."""
    tracing, workers = Tracing(), Workers(4, 64)

    async def whole() -> None:
        await asyncio.wait_for(cast(Any, work(TraceBatches(workers, lambda _: cast(Tracer, tracing)), tracing)), CALM_S)

    try:
        with ThreadPoolExecutor(1) as apart:  # the loop of a browser's tests may run in this thread
            apart.submit(lambda: asyncio.run(whole())).result()
    finally:
        tracing.going.set()
        workers.close()
    return tracing


async def started(batches: TraceBatches, names: Sequence[str], options: TraceOptions = ONE) -> list[asyncio.Task[str]]:
    """A request for each, of which all have come."""
    tasks = [asyncio.ensure_future(batches.trace(options, Path(name), told)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def busy(batches: TraceBatches, tracing: Tracing) -> list[asyncio.Task[str]]:
    """As many batches as may run; what comes now has to wait."""
    tasks = await started(batches, ["first"])
    for number in range(1, AT_ONCE):
        tasks += await started(batches, [f"beside {number} {i}" for i in range(FEWEST_BESIDE)])
    while len(tracing.batches) < AT_ONCE:
        await asyncio.sleep(0.001)
    return tasks


def test_what_waits_is_traced_together_and_each_gets_its_own() -> None:
    async def work(batches: TraceBatches, tracing: Tracing) -> None:
        first = await busy(batches, tracing)
        later = await started(batches, [f"clip {i}" for i in range(20)])
        other = await started(batches, ["other"], TraceOptions("two"))
        tracing.going.set()
        assert await asyncio.gather(*later) == [f"no clip {i}" for i in range(20)]
        assert (await asyncio.gather(*first, *other))[:: len(first)] == ["no first", "no other"]

    batches = run(work).batches[AT_ONCE:]
    assert sorted(map(len, batches)) == [1, 4, 16]
    assert ["other"] in batches  # its options are others


def test_a_few_clips_wait_for_more_while_a_batch_runs_and_for_nobody_else() -> None:
    async def work(batches: TraceBatches, tracing: Tracing) -> None:
        first = await started(batches, ["first"])
        few = await started(batches, [f"clip {i}" for i in range(FEWEST_BESIDE - 1)])
        while not tracing.batches:
            await asyncio.sleep(0.001)
        assert tracing.batches == [["first"]]
        enough = await started(batches, ["the last"])
        while len(tracing.batches) < 2:
            await asyncio.sleep(0.001)
        tracing.going.set()
        await asyncio.gather(*first, *few, *enough)

    assert run(work).batches == [["first"], [*(f"clip {i}" for i in range(FEWEST_BESIDE - 1)), "the last"]]


def test_an_error_of_one_is_no_other_clips() -> None:
    def refusing(answered: Trace | Failure) -> str:
        raise AudioError("bad.wav", told(answered))

    async def work(batches: TraceBatches, tracing: Tracing) -> None:
        await busy(batches, tracing)
        bad = asyncio.ensure_future(batches.trace(ONE, Path("bad"), refusing))
        (good,) = await started(batches, ["good"])
        tracing.going.set()
        assert await good == "no good"
        with pytest.raises(AudioError, match="no bad"):
            await bad

    assert ["bad", "good"] in run(work).batches


def test_who_left_is_left_out() -> None:
    async def work(batches: TraceBatches, tracing: Tracing) -> None:
        await busy(batches, tracing)
        gone, stays = await started(batches, ["gone", "stays"])
        gone.cancel()
        await asyncio.sleep(0)
        tracing.going.set()
        assert await stays == "no stays"

    assert ["stays"] in run(work).batches
