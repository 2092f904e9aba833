"""Directions, and the search for the closest clips: exact, and the same to the last bit whatever stands beside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.vectors import closest_clips
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import exact_cosines, unit

SEEDS = st.integers(0, 2**32)


def crowd(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips [N, D] of sources with 1 to 60 clips, some of them twins or nearly so; owners [N]; test [T, D]."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 61, rng.integers(1, 8))
    owners = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    dim = int(rng.choice([1, 2, 3, 16, 50, 64, 65, 192]))
    clips = rng.standard_normal((len(sizes), dim))[owners] + rng.choice([0, 1e-8, 0.3]) * rng.standard_normal(
        (len(owners), dim)
    )
    clips[rng.integers(0, len(clips), 5)] = clips[0]
    test = np.concatenate([clips[rng.integers(0, len(clips), 3)], rng.standard_normal((int(rng.integers(0, 20)), dim))])
    return clips.astype(np.float32), owners, test.astype(np.float32)


def slowly(clips: np.ndarray, owners: np.ndarray, test: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the k largest cosines with each source [S, T], and all cosines [T, N]: in float64, and sorted."""
    directions = unit(clips).astype(np.float64)
    cosines = (unit(test).astype(np.float64) @ directions.T).clip(-1, 1)
    best = [np.sort(cosines[:, owners == source], axis=1)[:, -k:].mean(axis=1) for source in range(owners.max() + 1)]
    return np.array(best), cosines


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 7), st.integers(1, 9))
def test_the_search_equals_a_full_sort(seed: int, k: int, nearest: int) -> None:
    clips, owners, test = crowd(seed)
    scores, found, similar = ClosestClips(clips, owners, k).search(test, nearest)
    expected, cosines = slowly(clips, owners, test, k)
    assert scores == pytest.approx(expected, abs=1e-7)
    assert similar == pytest.approx(-np.sort(-cosines, axis=1)[:, :nearest], abs=1e-7)
    assert similar == pytest.approx(np.take_along_axis(cosines, found, axis=1), abs=1e-7)
    for row, values in zip(found, similar, strict=True):
        assert len(set(row.tolist())) == len(row) == min(nearest, len(clips))
        assert all(a < b for a, b, same in zip(row, row[1:], np.diff(values) == 0, strict=False) if same)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 7))
def test_company_order_and_threads_change_no_bit(seed: int, k: int) -> None:
    clips, owners, test = crowd(seed)
    scores, found, similar = ClosestClips(clips, owners, k).search(test, 4)
    alone = [ClosestClips(clips, owners, k).search(one[None], 4) for one in test]
    assert np.array_equal(np.concatenate([a for a, _, _ in alone], axis=1), scores)
    assert np.array_equal(np.concatenate([a for _, a, _ in alone]), found)
    order = np.random.default_rng(seed).permutation(len(clips))
    shuffled = ClosestClips(clips[order], owners[order], k).search(test, 4)
    assert np.array_equal(shuffled[0], scores)
    assert np.array_equal(shuffled[2], similar)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closest_clips, "BLOCK_ROWS", 7)
        patch.setattr(closest_clips, "CACHED_ROWS", 5)
        patch.setattr(closest_clips, "PRODUCTS_READ", 2 * len(clips))
        in_blocks = ClosestClips(clips, owners, k)
        assert np.array_equal(in_blocks(test), scores)
        assert np.array_equal(in_blocks.search(test[:1], 4)[1], found[:1])


def test_products_that_are_off_by_their_rounding_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clips, owners, test = crowd(3)
    search = ClosestClips(clips, owners, 3)
    expected = search.search(test, 5)
    products, rng = ClosestClips._products, np.random.default_rng(0)

    def disturbed(self: ClosestClips, some: np.ndarray) -> np.ndarray:
        exact = products(self, some)
        off: np.ndarray = exact + rng.uniform(-1, 1, exact.shape) * some.shape[1] * 2.0**-24
        return off.astype(np.float32)

    monkeypatch.setattr(ClosestClips, "_products", disturbed)
    for mine, theirs in zip(search.search(test, 5), expected, strict=True):
        assert np.array_equal(mine, theirs)


def test_many_clips_that_are_all_alike() -> None:
    clips = np.ones((5000, 3), np.float32)
    scores, found, similar = ClosestClips(clips, np.repeat([0, 1], 2500), 5).search(np.ones((2, 3), np.float32), 3)
    assert scores == pytest.approx(np.ones((2, 2)))
    assert found.tolist() == [[0, 1, 2]] * 2
    assert similar == pytest.approx(np.ones((2, 3)))


def test_no_test_utterance_and_a_zero_one() -> None:
    search = ClosestClips(np.eye(4, dtype=np.float32), np.array([0, 1, 1, 2]), 2)
    scores, found, similar = search.search(np.zeros((0, 4), np.float32), 2)
    assert (scores.shape, found.shape, similar.shape) == ((3, 0), (0, 2), (0, 2))
    assert search(np.zeros((1, 4), np.float32)).tolist() == [[0], [0], [0]]
    assert search.search(np.zeros((1, 4), np.float32), 9)[1].tolist() == [[0, 1, 2, 3]]


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_exact_cosines_do_not_depend_on_company(seed: int) -> None:
    clips, _, test = crowd(seed)
    together = exact_cosines(clips, test)
    assert together == pytest.approx(slowly(clips, np.zeros(len(clips), int), test, 1)[1].T, abs=1e-7)
    for i, one in enumerate(clips):
        assert np.array_equal(exact_cosines(one[None], test)[0], together[i])
    assert np.array_equal(exact_cosines(test, clips), together.T)
    assert np.array_equal(unit(clips[:1]), unit(clips)[:1])


def test_unit_leaves_zero_and_does_not_hide_what_is_not_finite() -> None:
    directions = unit(np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1]], np.float32))
    np.testing.assert_allclose(directions[0], [0.6, 0.8], rtol=1e-6)
    assert not directions[1].any()
    assert np.isnan(directions[2:]).any(axis=1).all()
