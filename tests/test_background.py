"""Work ahead of its use: in order, never too far ahead, and an error comes where it belongs."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.background import in_order, processors


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 6))
def test_results_come_in_order(count: int, workers: int, ahead: int) -> None:
    def slow_at_first(i: int) -> int:
        time.sleep(0.002 if i % 3 == 0 else 0.0)
        return i * i

    assert list(in_order(slow_at_first, range(count), workers, ahead)) == [i * i for i in range(count)]


def test_no_more_than_so_many_wait() -> None:
    asked = []

    def items() -> Iterator[int]:
        for i in range(100):
            asked.append(i)
            yield i

    results = in_order(lambda i: i, items(), 2, 5)
    for taken in range(20):
        assert next(results) == taken
        assert len(asked) <= taken + 1 + 5
    results.close()
    assert len(asked) <= 26


def test_an_error_comes_in_its_place() -> None:
    results = in_order(lambda i: 1 // (3 - i), range(10), 2, 4)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_threads_end_with_the_last_result() -> None:
    before = threading.active_count()
    assert len(list(in_order(str, range(10), 3, 3))) == 10
    assert threading.active_count() == before


def test_processors_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)  # Python 3.13 and later
    assert processors() == 3
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert processors() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS, Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1


def test_nobody_else_counts_processors() -> None:
    root = Path(__file__).parents[1]
    counting = re.compile(r"cpu_count|sched_getaffinity")
    files = [path for folder in ("src", "benchmarks", "fuzz") for path in (root / folder).rglob("*.py")]
    assert [path.stem for path in files if counting.search(path.read_text(encoding="utf-8"))] == ["background"]
