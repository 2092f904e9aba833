"""Work ahead of its use: in order, never too far ahead, and an error comes where it belongs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.background import in_order


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
