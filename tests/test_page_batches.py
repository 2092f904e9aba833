"""Batches of whole page groups, and clips of one source from several publishers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TINY_RECIPE
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import SamplerChoice
from synthprint.training.batches import BalancedBatches
from synthprint.training.page_batches import PageBatches, turns
from synthprint.training.samplers import make_sampler
from synthprint.types import Manifest, Utterance

# Publisher p has page group p with sources p, p + 1 and p + 2 of 12; source 12 + p is its own, in no group.
PUBLISHERS, CLIPS = 10, 6
ROWS = [
    (source, publisher, publisher if source < 12 else -1)
    for publisher in range(PUBLISHERS)
    for source in (publisher, publisher + 1, publisher + 2, 12 + publisher)
    for _ in range(CLIPS)
]
LABELS, OF, GROUPS = (np.array(column) for column in zip(*ROWS, strict=True))


def sampler(**changes: int | bool) -> PageBatches:
    values = {"sources_per_batch": 8, "utterances_per_source": 3, "page_groups": 2, "seed": 5} | changes
    return PageBatches(LABELS, GROUPS, OF, **values)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(6, 14), st.integers(1, 4), st.booleans(), st.integers(4, 30), st.integers(0, 99))
def test_a_batch_has_distinct_sources_with_m_utterances_each(
    pages: int, n: int, m: int, across: bool, most: int, seed: int
) -> None:
    batches_of = sampler(
        sources_per_batch=n, utterances_per_source=m, page_groups=pages, across_publishers=across,
        max_per_source=most, seed=seed,
    )  # fmt: skip
    for epoch in (0, 3):
        batches = batches_of.batches(epoch)
        assert len(batches) == len(batches_of) > 0
        for batch in batches:
            table = LABELS[batch].reshape(n, m)
            assert (table == table[:, :1]).all()
            assert len(set(table[:, 0])) == n
            assert len(set(batch.tolist())) == n * m  # each source has six clips or more


def test_a_batch_holds_whole_page_groups() -> None:
    for batch in sampler().batches(0):
        first, second = GROUPS[batch].reshape(8, 3)[[0, 3]][:, 0]
        assert (GROUPS[batch][:9] == first).all()
        assert set(LABELS[batch][:9]) == set(LABELS[first == GROUPS])
        # Of the second those sources that the first does not have.
        left = set(LABELS[second == GROUPS]) - set(LABELS[first == GROUPS])
        assert second != first
        assert set(LABELS[batch][9 : 9 + 3 * len(left)]) == left
    few = sampler(sources_per_group=2, page_groups=1)
    for batch in few.batches(0):
        first = GROUPS[batch].reshape(8, 3)[:2]
        assert (first == first[0, 0]).all()  # the page group comes first, and two sources of it


def test_every_page_group_comes_before_one_comes_again() -> None:
    one = sampler(page_groups=1)
    first = [int(GROUPS[batch][0]) for batch in one.batches(2)][:PUBLISHERS]
    assert sorted(first) == list(range(min(PUBLISHERS, len(one))))


def test_crossing_sources_fill_the_rest_first() -> None:
    """In the first batch nothing was drawn before: of the sources beside the page group, all have two publishers."""
    batch = sampler(page_groups=1, sources_per_batch=10).batches(0)[0]
    others = LABELS[batch].reshape(10, 3)[3:, 0]
    assert all(1 <= source <= 10 for source in others)  # sources 0, 11 and those of no group have one


def test_no_source_is_drawn_much_more_often_than_it_may_be() -> None:
    capped = sampler(max_per_source=6)
    counts = Counter(np.concatenate(capped.batches(1)).tolist())
    drawn = Counter(LABELS[np.concatenate(capped.batches(1))].tolist())
    assert max(drawn.values()) <= 6
    assert set(counts.values()) <= {1, 2}
    assert len(drawn) >= 20


def test_several_publishers_wherever_there_are() -> None:
    for batch in sampler(across_publishers=True, utterances_per_source=2).batches(0):
        for source, publishers, groups in zip(
            LABELS[batch].reshape(8, 2)[:, 0], OF[batch].reshape(8, 2), GROUPS[batch].reshape(8, 2), strict=True
        ):
            assert len(set(publishers)) == min(2, len(set(OF[source == LABELS])))
            assert groups[0] >= 0 or source >= 12
    alone = sampler(utterances_per_source=2, page_groups=1).batches(0)
    assert any(len(set(OF[batch][:2])) == 1 and LABELS[batch][0] in range(1, 11) for batch in alone)


def test_balanced_batches_take_several_publishers_wherever_there_are() -> None:
    balanced = BalancedBatches(LABELS, 6, 3, seed=1, publishers=OF)
    plain = BalancedBatches(LABELS, 6, 3, seed=1)
    assert len(balanced) == len(plain)
    for epoch in (0, 4):
        used = np.concatenate(balanced.batches(epoch))
        assert len(set(used.tolist())) == len(used)
        for row in used.reshape(-1, 3):
            there = len(set(OF[LABELS[row[0]] == LABELS]))
            assert len(set(OF[row])) == min(3, there)
    assert any(len(set(OF[row])) == 1 for row in np.concatenate(plain.batches(0)).reshape(-1, 3)
               if 2 <= LABELS[row[0]] <= 9)  # fmt: skip
    pairs = [
        {tuple(sorted(OF[row].tolist())) for row in np.concatenate(balanced.batches(e)).reshape(-1, 3)
         if len(set(OF[row])) == 2}
        for e in range(4)
    ]  # fmt: skip
    assert len(set.union(*pairs)) > len(pairs[0]) // 2


@pytest.mark.parametrize(
    "made", [sampler(), sampler(across_publishers=True), BalancedBatches(LABELS, 4, 2, publishers=OF)]
)
def test_an_epoch_is_a_function_of_seed_and_epoch(made: PageBatches | BalancedBatches) -> None:
    fifth = made.batches(5)
    made.batches(6)
    for one, two in zip(fifth, replace(made).batches(5), strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.concatenate(fifth).tolist() != np.concatenate(made.batches(6)).tolist()
    assert np.concatenate(fifth).tolist() != np.concatenate(replace(made, seed=77).batches(5)).tolist()


def test_turns_count_what_stood_before() -> None:
    assert turns(np.array([3, 1, 3, 3, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]


def test_impossible_numbers_and_data_fail_by_name() -> None:
    for changes, message in [
        ({"page_groups": 0}, "page_groups is 0; it must be 1 or more"),
        ({"page_groups": 5}, "5 page_groups of two sources or more do not fit into sources_per_batch = 8"),
        ({"sources_per_group": 1}, "sources_per_group is 1; it must be 0"),
        ({"sources_per_group": 5}, r"from 2 to sources_per_batch / page_groups = 4"),
        ({"max_per_source": 2}, "max_per_source is 2; it must be 3 or more"),
        ({"sources_per_batch": 30}, r"the data has 22 source\(s\)"),
        ({"utterances_per_source": 7}, r"has 6 utterance\(s\) and utterances_per_source is 7"),
    ]:
        with pytest.raises(RecipeError, match=message):
            sampler(**changes)
    with pytest.raises(RecipeError, match="no page group has two sources: give the manifest the column group"):
        PageBatches(LABELS, np.where(GROUPS == 0, LABELS, -1), OF, 4, 2)


def test_a_recipe_names_them() -> None:
    rows = tuple(
        Utterance(str(i), f"{i}.wav", f"s{source}", publisher=f"p{of}", group=None if group < 0 else "page")
        for i, (source, of, group) in enumerate(ROWS)
    )
    manifest = Manifest(rows, Path("/"))
    choice = SamplerChoice("pages", sources_per_batch=8, utterances_per_source=2, across_publishers=True)
    recipe = replace(TINY_RECIPE, sampler=choice)
    by_recipe = make_sampler(recipe, manifest)
    assert isinstance(by_recipe, PageBatches)
    by_hand = PageBatches([u.source for u in rows], GROUPS, OF, 8, 2, 2, 0, True, recipe.seed)
    for one, two in zip(by_recipe.batches(1), by_hand.batches(1), strict=True):
        np.testing.assert_array_equal(one, two)
    balanced = make_sampler(replace(recipe, sampler=replace(choice, name="balanced")), manifest)
    assert isinstance(balanced, BalancedBatches)
    assert balanced.publishers is not None
    bare = Manifest(tuple(replace(u, publisher=None, group=None) for u in rows), Path("/"))
    with pytest.raises(RecipeError, match="across_publishers is true, and no clip has a publisher"):
        make_sampler(recipe, bare)
    with pytest.raises(RecipeError, match="no page group has two sources"):
        make_sampler(replace(recipe, sampler=replace(choice, across_publishers=False)), bare)
    with pytest.raises(RecipeError, match="page_groups = 0 must be at least 1"):
        SamplerChoice("pages", page_groups=0)
