"""What the benchmarks share: paired timings, peak memory, and the file that a result is kept in."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from synthprint.background import processors

VERSIONS = ("synthprint", "numpy", "scipy", "numba", "torch", "onnxruntime", "soundfile", "soxr")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: the thing measured, with its size, in words.
        value, unit: the median; "s", "ms", "MB", "clips/s", …
        ratio: how that compares with `against`, from the same run; how many times as long, as fast or as large is
            said by `against`.
        against: what the ratio is to, in words: "x the time of the matrix products".
        spread: smallest and largest of the runs' ratios (of their values, where there is no ratio).
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Topic:
    """What a module of this folder gives: figures, how they were made, and details (curves, profiles) for the file."""

    figures: Sequence[Figure]
    settings: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


class Paired(NamedTuple):
    """Two things timed in turn: medians in seconds, the median of a / b pair by pair, and its smallest and largest."""

    a_s: float
    b_s: float
    ratio: float
    spread: tuple[float, float]


def seconds(work: Callable[[], Any]) -> float:
    """How long one call takes on the wall clock."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(a: Callable[[], Any], b: Callable[[], Any], runs: int, warm_up: bool = True) -> Paired:
    """Time two things in turn, a b a b …, so that a machine whose speed drifts is fair to both."""
    if warm_up:
        a()
        b()
    times = [(seconds(a), seconds(b)) for _ in range(runs)]
    ratios = [one / other for one, other in times]
    a_s, b_s = (statistics.median(column) for column in zip(*times, strict=True))
    return Paired(a_s, b_s, statistics.median(ratios), (min(ratios), max(ratios)))


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a module's function in a new process; what it returns, and the process's peak memory in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_with_peak, (work, arguments))


def _with_peak(work: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float]:
    return work(*arguments), _peak_mb()


def _peak_mb() -> float:
    """Of this process. On Linux `getrusage` counts what the parent held when it forked."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cores() -> int:
    """How many this process may use."""
    return processors()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {"cpu": model, "cores": cores(), "memory_gb": round(memory_gb, 1), "system": platform.platform(terse=True)}


def versions() -> dict[str, str]:
    """Of Python and of what does the work."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write(topic: str, result: Topic, folder: Path) -> Path:
    """Keep a result as FOLDER/TOPIC.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{topic}.json"
    made = datetime.now(UTC).date().isoformat()
    content = {"topic": topic, "made": made, "machine": machine(), "versions": versions(), **asdict(result)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
