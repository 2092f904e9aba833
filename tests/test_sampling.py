"""Invariants of the samplers, over random data sets."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.errors import RecipeError
from synthprint.training.batches import BalancedBatches, RandomBatches

SEEDS = st.integers(0, 2**32)


@st.composite
def balanced(draw: st.DrawFn, most: int = 30) -> BalancedBatches:
    m = draw(st.integers(1, 4))
    counts = draw(st.lists(st.integers(m, most), min_size=2, max_size=8))
    n = draw(st.integers(2, len(counts)))
    labels = np.repeat([f"source-{i}" for i in range(len(counts))], counts)
    shuffled = np.random.default_rng(draw(SEEDS)).permutation(labels)
    return BalancedBatches(shuffled, n, m, draw(st.integers(0, 99)), draw(st.integers(m, most)))


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(2, 64), SEEDS, st.booleans())
def test_random_uses_every_utterance_once(size: int, batch_size: int, seed: int, drop_last: bool) -> None:
    sampler = RandomBatches(["a"] * size, batch_size, seed, drop_last)
    for epoch in (0, 1):
        batches = sampler.batches(epoch)
        assert len(batches) == len(sampler)
        used = np.concatenate(batches)
        assert len(set(used.tolist())) == len(used)
        assert used.min() >= 0
        assert used.max() < size
        assert all(len(b) == min(batch_size, size) for b in batches[:-1])
        assert min(map(len, batches)) > 1
        if drop_last and size >= batch_size:
            assert len(used) == size - size % batch_size
            assert len(batches[-1]) == batch_size
        else:
            assert len(used) == size
            assert len(batches[-1]) <= batch_size + 1


@settings(deadline=None)
@given(balanced())
def test_balanced_batches_have_distinct_sources_with_m_utterances_each(sampler: BalancedBatches) -> None:
    labels = np.asarray(sampler.labels)
    n, m = sampler.sources_per_batch, sampler.utterances_per_source
    for epoch in (0, 7):
        batches = sampler.batches(epoch)
        assert len(batches) == len(sampler) > 0
        for batch in batches:
            table = labels[batch].reshape(n, m)  # a source's utterances lie side by side
            assert (table == table[:, :1]).all()
            assert len(set(table[:, 0])) == n
        used = np.concatenate(batches)
        assert len(set(used.tolist())) == len(used)
        assert max(np.unique(labels[used], return_counts=True)[1]) <= sampler.max_per_source


def most_batches(groups: list[int], n: int) -> int:
    """By trying every choice of sources for every batch."""
    choices = [c for c in combinations(range(len(groups)), n) if all(groups[i] for i in c)]
    rest = ([g - (i in c) for i, g in enumerate(groups)] for c in choices)
    return max((1 + most_batches(sorted(left), n) for left in {tuple(sorted(r)): r for r in rest}.values()), default=0)


@settings(max_examples=40, deadline=None)
@given(balanced(most=5))
def test_balanced_fills_as_many_batches_as_can_be(sampler: BalancedBatches) -> None:
    counts = np.unique(np.asarray(sampler.labels), return_counts=True)[1][:5]
    n, m = min(sampler.sources_per_batch, len(counts)), sampler.utterances_per_source
    labels = np.repeat(np.arange(len(counts)), counts)
    sampler = BalancedBatches(labels, n, m, sampler.seed, sampler.max_per_source)
    groups = [min(int(c), sampler.max_per_source) // m for c in counts]
    assert len(sampler.batches(0)) == len(sampler) == most_batches(groups, n)


LABELS = np.repeat(["a", "b", "c", "d"], [40, 30, 20, 10])
SAMPLERS = [RandomBatches(LABELS, 16, seed=3), BalancedBatches(LABELS, 2, 3, seed=3)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["random", "balanced"])
def test_an_epoch_is_a_function_of_seed_and_epoch(sampler: RandomBatches | BalancedBatches) -> None:
    fifth = sampler.batches(5)
    sampler.batches(6)
    for one, two in zip(fifth, replace(sampler).batches(5), strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.concatenate(fifth).tolist() != np.concatenate(sampler.batches(6)).tolist()


def test_seeds_and_samplers_differ() -> None:
    orders = [np.concatenate(RandomBatches(LABELS, 16, seed).batches(0)).tolist() for seed in range(4)]
    assert len({tuple(order) for order in orders}) == 4


def test_random_is_uniform_over_the_utterances() -> None:
    """With 10 of 11 used, each is left out about as often: mean 200, standard deviation 13.5."""
    sampler = RandomBatches(["a"] * 11, 5)
    used = np.bincount(np.concatenate([b for e in range(2200) for b in sampler.batches(e)]), minlength=11)
    assert (abs(2200 - used - 200) < 5 * 13.5).all()


def test_balanced_mixes_sources_of_one_size_evenly() -> None:
    """24 sources of 50 utterances: every pair of sources meets, about as often as any other."""
    labels = np.repeat(np.arange(24), 50)
    together = np.zeros((24, 24))
    for epoch in range(10):
        for batch in BalancedBatches(labels, 12, 2, seed=1).batches(epoch):
            sources = np.unique(labels[batch])
            together[np.ix_(sources, sources)] += 1
    assert len(BalancedBatches(labels, 12, 2)) == 50
    assert (np.diag(together) == 250).all()
    pairs = together[~np.eye(24, dtype=bool)]  # expected: 250 * 11 / 23 = 119.6
    assert pairs.min() > 80
    assert pairs.max() < 160


def test_balanced_takes_other_utterances_of_a_large_source_every_epoch() -> None:
    labels = np.repeat(["large", "small"], [1000, 100])
    sampler = BalancedBatches(labels, 2, 2, max_per_source=100)
    assert len(sampler) == 50
    epochs = [set(np.concatenate(sampler.batches(e)).tolist()) for e in (0, 1)]
    large = [sum(i < 1000 for i in used) for used in epochs]
    assert large == [100, 100]
    assert len(epochs[0] & epochs[1] & set(range(1000))) < 50


def test_paper_sized_epoch() -> None:
    """24 sources, 11,100 utterances, three of the sources above the cap of 500 an epoch."""
    labels = np.repeat(np.arange(24), [2400, 1500, 1500] + [272] * 20 + [260])
    assert len(labels) == 11_100
    assert len(RandomBatches(labels)) == 86
    assert len(RandomBatches(labels, drop_last=False)) == 87
    sampler = BalancedBatches(labels, 12, 3)
    groups = np.minimum(np.bincount(labels), 500) // 3
    assert len(sampler) == groups.sum() // 12 == 198
    assert all(len(b) == 36 for b in sampler.batches(0))


def test_impossible_numbers_and_data_fail_by_name() -> None:
    for build, message in [
        (lambda: RandomBatches(LABELS, 1), "batch_size is 1; it must be 2 or more"),
        (lambda: RandomBatches(LABELS, 4, -1), "seed is -1; it must be 0 or more"),
        (lambda: RandomBatches(["a"], 4), r"1 utterance\(s\) to train on"),
        (lambda: BalancedBatches(LABELS, 1), "sources_per_batch is 1; it must be 2 or more"),
        (lambda: BalancedBatches(LABELS, 2, 0), "utterances_per_source is 0; it must be 1 or more"),
        (lambda: BalancedBatches(LABELS, 2, 3, max_per_source=2), "max_per_source is 2; it must be 3 or more"),
        (lambda: BalancedBatches(LABELS, 2, seed=-1), "seed is -1"),
        (lambda: BalancedBatches(LABELS, 12), r"sources_per_batch is 12 and the data has 4 source\(s\)"),
        (lambda: BalancedBatches([], 2), r"the data has 0 source\(s\)"),
        (
            lambda: BalancedBatches([*LABELS, "e"], 2, 2),
            r"source 'e' has 1 utterance\(s\) and utterances_per_source is 2:",
        ),
        (lambda: BalancedBatches(LABELS, 2, 25), r"source 'c' has 20 .*is 25 \(and 1 more sources have too few\)"),
    ]:
        with pytest.raises(RecipeError, match=message):
            build()
