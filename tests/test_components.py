"""The component of a clip from the scores of its neighbours: by hand, and where nothing may be said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthprint.errors import GalleryError
from synthprint.gallery.components import answer, component_scores
from synthprint.types import IdentificationTrials

VALUES = ("hifigan", "melgan", "hifigan", None)
SCORES = np.array([0.2, 0.5, 0.7, 0.1])


def test_a_component_scores_as_its_best_source() -> None:
    names, scores = component_scores(np.stack([SCORES, -SCORES], axis=1), VALUES)
    assert names == ("hifigan", "melgan", None)
    assert scores == pytest.approx(np.array([[0.7, -0.2], [0.5, -0.5], [0.1, -0.1]]))


def test_the_answer_and_its_ranking() -> None:
    found = answer(SCORES, VALUES)
    assert found.value == "hifigan"
    assert found.ranked == (("hifigan", 0.7), ("melgan", 0.5), (None, 0.1))


@pytest.mark.parametrize(
    ("threshold", "margin", "value"),
    [(0.7, 0.0, "hifigan"), (0.71, 0.0, None), (0.0, 0.19, "hifigan"), (0.0, 0.21, None)],
)
def test_what_is_too_far_or_too_close_is_not_known(threshold: float, margin: float, value: str | None) -> None:
    assert answer(SCORES, VALUES, threshold, margin).value == value


def test_a_closest_source_without_a_record_leaves_it_open() -> None:
    assert answer(SCORES, ("hifigan", "melgan", None, "melgan")).value is None


def test_a_single_value_has_no_rival() -> None:
    assert answer(SCORES, ("hifigan",) * 4, margin=1.0).value == "hifigan"


@given(st.integers(0, 2**32))
def test_sources_in_any_order_and_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((int(rng.integers(1, 9)), 5))
    values = [[None, "a", "b", "c"][k] for k in rng.integers(0, 4, len(scores))]
    names, found = component_scores(scores, values)
    by_hand = {(v, t): max(s for s, w in zip(scores[:, t], values, strict=True) if w == v)
               for v in set(values) for t in range(5)}  # fmt: skip
    assert {(v, t): found[c, t] for c, v in enumerate(names) for t in range(5)} == by_hand
    order = rng.permutation(len(scores))
    assert component_scores(scores[order], [values[i] for i in order])[0] == names
    for t in range(5):
        assert dict(answer(scores[order, t], [values[i] for i in order]).ranked) == {v: by_hand[v, t] for v in names}


def test_read_as_sources_are() -> None:
    names, scores = component_scores(np.stack([SCORES, SCORES[::-1]], axis=1), VALUES)
    read = IdentificationTrials.from_matrix(scores, np.zeros(2, int), ["x", "y"], "made")
    assert names[0] == "hifigan"
    assert read.scores.tolist() == [0.7, 0.7]
    assert read.leads == pytest.approx([0.2, 0.2])
    assert read.correct.tolist() == [True, False]


@pytest.mark.parametrize("values", [(), ("a",) * 3])
def test_refuses_values_that_do_not_fit(values: tuple[str, ...]) -> None:
    with pytest.raises(GalleryError, match="need as many component values"):
        component_scores(SCORES[: len(SCORES) if values else 0, None], values)
