"""Thresholds and margins against a slow second route; trials that never score a clip against itself."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint import shelves
from synthprint.backends.centroid import Centroid
from synthprint.errors import GalleryError
from synthprint.gallery.rules import (
    DEFAULT_MARGIN,
    EQUAL_ERROR,
    MAX_WRONG,
    OperatingPoint,
    Rule,
    rule,
    set_margin,
    threshold_at,
)
from synthprint.gallery.trials import component_trials, evidence_trials, held_out, trials
from synthprint.types import Embeddings, IdentificationTrials, Labelled, TrialCount
from synthprint.vectors.directions import unit


def trial_set(best: list[float], sources: list[str]) -> IdentificationTrials:
    return IdentificationTrials(np.array(best), np.ones(len(best)), np.ones(len(best), bool), sources, "test")


@st.composite
def trial_sets(draw: st.DrawFn) -> IdentificationTrials:
    n = draw(st.integers(1, 12))
    best = draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n))
    return trial_set([b / 4 for b in best], draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n)))


def rate(trials: IdentificationTrials, threshold: float, named: bool) -> Fraction:
    """Mean over sources of the share of clips that are named, or are not, counted one by one."""
    shares = []
    for source in set(trials.sources):
        own = [b for b, s in zip(trials.scores.tolist(), trials.sources, strict=True) if s == source]
        shares.append(Fraction(sum((b >= threshold) == named for b in own), len(own)))
    return sum(shares, Fraction()) / len(shares)


def all_rates(known: IdentificationTrials, unknown: IdentificationTrials) -> list[tuple[Fraction, Fraction]]:
    """What every threshold would do: (false rejection, false acceptance)."""
    cuts = [-99.0, *(b + 1e-3 for b in [*known.scores, *unknown.scores])]
    return [(rate(known, cut, False), rate(unknown, cut, True)) for cut in cuts]


@settings(deadline=None)
@given(trial_sets(), trial_sets())
def test_equal_error_has_the_least_larger_error(known: IdentificationTrials, unknown: IdentificationTrials) -> None:
    threshold, false_rejection, false_acceptance = threshold_at(known, unknown, EQUAL_ERROR)
    assert false_rejection == pytest.approx(float(rate(known, threshold, False)))
    assert false_acceptance == pytest.approx(float(rate(unknown, threshold, True)))
    best = min(max(pair) for pair in all_rates(known, unknown))
    assert max(false_rejection, false_acceptance) == pytest.approx(float(best))


@settings(deadline=None)
@given(trial_sets(), trial_sets(), st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.9]))
def test_a_given_rate_is_kept_and_the_other_error_is_the_least(
    known: IdentificationTrials, unknown: IdentificationTrials, at_most: float
) -> None:
    pairs = all_rates(known, unknown)
    threshold, rejected, accepted = threshold_at(known, unknown, OperatingPoint("false rejection", at_most))
    assert (rejected, accepted) == pytest.approx(
        (float(rate(known, threshold, False)), float(rate(unknown, threshold, True)))
    )
    assert rejected <= at_most + 1e-9
    assert accepted == pytest.approx(
        float(min(fa for fr, fa in pairs if fr <= Fraction(at_most).limit_denominator(99)))
    )
    _, rejected, accepted = threshold_at(known, unknown, OperatingPoint("false acceptance", at_most))
    assert accepted <= at_most + 1e-9
    assert rejected == pytest.approx(
        float(min(fr for fr, fa in pairs if fa <= Fraction(at_most).limit_denominator(99)))
    )


def test_separated_trials_are_parted_half_way() -> None:
    threshold, *rates = threshold_at(trial_set([0.8, 0.9], ["a", "b"]), trial_set([0.1, 0.4], ["x", "y"]), EQUAL_ERROR)
    assert threshold == pytest.approx(0.6)
    assert rates == [0, 0]


def test_a_source_with_many_clips_weighs_no_more() -> None:
    known = trial_set([0.1] * 90 + [0.9] * 10, ["many"] * 90 + ["few"] * 10)
    _, rejected, _ = threshold_at(known, trial_set([0.5], ["x"]), OperatingPoint("false acceptance", 0.0))
    assert rejected == pytest.approx(0.5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 3)), min_size=1, max_size=15))
def test_margin_is_the_least_that_keeps_wrong_names_rare(clips: list[tuple[int, bool, int]]) -> None:
    lead, right, weights = (np.array(column) for column in zip(*clips, strict=True))
    margin, ambiguous, wrong = set_margin(lead / 8, right, weights / weights.sum())

    def measured(at: float) -> tuple[float, float]:
        certain = [(w, ok) for x, ok, w in zip(lead / 8, right, weights, strict=True) if x >= at]
        total = sum(w for w, _ in certain)
        return 1 - total / weights.sum(), sum(w for w, ok in certain if not ok) / total

    assert (ambiguous, wrong) == pytest.approx(measured(margin), abs=1e-9)
    possible = [measured(at) for at in sorted({*(lead / 8).tolist(), 0.0}) if at <= lead.max() / 8]
    reached = min(max(share, MAX_WRONG) for _, share in possible)
    assert max(wrong, MAX_WRONG) == pytest.approx(reached)
    assert ambiguous == pytest.approx(min(a for a, share in possible if max(share, MAX_WRONG) <= reached + 1e-9))


def test_margin_of_one_source_and_of_nothing() -> None:
    assert set_margin(np.array([np.inf, np.inf]), np.array([True, True]), np.array([0.5, 0.5])) == (0, 0, 0)
    assert set_margin(np.zeros(0), np.zeros(0, bool), np.zeros(0)) == (DEFAULT_MARGIN, 0, 0)


def development(vectors: np.ndarray, sources: list[str], data: str) -> Labelled:
    return Labelled(Embeddings(tuple(map(str, range(len(vectors)))), vectors), sources, data)


def enrolled(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Clips [N, D] of four sources with 1, 2, 3 and 4 clips, each around a direction of its own."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(4), np.arange(1, 5))
    return unit(np.eye(6)[owners] + 0.4 * rng.standard_normal((10, 6))), owners, list("abcd")


@pytest.mark.parametrize("name", shelves.names("backends"))
def test_held_out_trials_leave_the_clip_or_the_source_out(name: str) -> None:
    vectors, owners, names = enrolled()
    embeddings = Embeddings(tuple(map(str, range(len(vectors)))), vectors.astype(np.float32))
    backend = shelves.find("backends", name)().fit(embeddings, [names[owner] for owner in owners])
    known, unknown = held_out(backend, vectors, owners, names)
    best_known, best_unknown, right = [], [], []
    for clip, owner in enumerate(owners):
        others = owners != owner
        position = {source: i for i, source in enumerate(sorted(set(owners[others])))}
        rest = backend.enrol(vectors[others], np.array([position[o] for o in owners[others]]))(vectors[[clip]])
        best_unknown.append(rest.max())
        left = np.arange(len(owners)) != clip
        if (owners[left] == owner).any():
            scores = backend.enrol(vectors[left], owners[left])(vectors[[clip]])[:, 0]
            best_known.append(scores.max())
            right.append(scores.argmax() == owner)
    assert known.scores == pytest.approx(best_known, abs=1e-6)
    assert known.correct.tolist() == right
    assert list(known.sources) == list("bbcccdddd")  # the only clip of "a" cannot be left out
    assert unknown.scores == pytest.approx(best_unknown, abs=1e-6)
    assert list(unknown.sources) == list("abbcccdddd")


def test_development_clips_are_known_where_their_source_is_enrolled() -> None:
    vectors, owners, names = enrolled()
    rng = np.random.default_rng(1)
    test = unit(np.eye(6)[[0, 1, 4, 5]] + 0.1 * rng.standard_normal((4, 6)))
    known, unknown = trials(Centroid(), vectors, owners, names, development(test, ["a", "b", "new", "new"], "dev"))
    assert list(known.sources) == ["a", "b"]
    assert known.correct.all()
    assert unknown.count == TrialCount(2, 1, "dev")
    assert unknown.scores.max() < known.scores.min()


def test_what_development_data_lack_is_held_out() -> None:
    vectors, owners, names = enrolled()
    known, unknown = trials(Centroid(), vectors, owners, names, development(vectors[:1], ["new"], "dev"))
    assert "left out" in known.data
    assert unknown.data == "dev"


def test_identified_reads_best_and_lead() -> None:
    scores = np.array([[0.9, 0.2], [0.5, 0.1], [0.6, 0.7]])
    found = IdentificationTrials.from_matrix(scores, np.array([0, 1]), ["a", "b"])
    assert found.scores == pytest.approx([0.9, 0.7])
    assert found.leads == pytest.approx([0.3, 0.5])
    assert found.correct.tolist() == [True, False]


def test_a_rule_needs_both_kinds_of_trials() -> None:
    some, none = trial_set([0.5], ["a"]), trial_set([], [])
    with pytest.raises(GalleryError, match="no known trials"):
        rule(none, some, EQUAL_ERROR, 2)
    with pytest.raises(GalleryError, match="no unknown trials"):
        rule(some, none, EQUAL_ERROR, 2)
    with pytest.raises(GalleryError, match="no unknown trials"):
        rule(*held_out(Centroid(), np.ones((2, 2)), np.zeros(2, int), ["only"]), EQUAL_ERROR, 1)


def test_a_rule_says_how_it_was_set() -> None:
    known = IdentificationTrials(
        np.array([0.9, 0.8, 0.3]), np.array([0.4, 0.2, 0.1]), np.array([True, True, False]), list("aab"), "k"
    )
    found = rule(known, trial_set([0.5, 0.1], ["x", "y"]), EQUAL_ERROR, 7)
    assert found.false_rejection == found.false_acceptance == pytest.approx(0.5)
    assert found.accuracy == pytest.approx(0.5)
    assert (found.operating_point, found.enrolled) == ("equal error", 7)
    assert (found.known, found.unknown) == (TrialCount(3, 2, "k"), TrialCount(2, 2, "test"))


@pytest.mark.parametrize(
    ("kind", "at_most"),
    [("accuracy", None), ("equal error", 0.1), ("false rejection", None), ("false rejection", 1.0),
     ("false acceptance", -0.1), ("false acceptance", float("nan"))],
)  # fmt: skip
def test_senseless_operating_points_are_refused(kind: str, at_most: float | None) -> None:
    with pytest.raises(GalleryError):
        OperatingPoint(kind, at_most)


def test_a_rule_holds_numbers() -> None:
    count = TrialCount(1, 1, "")
    with pytest.raises(GalleryError, match="finite"):
        Rule(float("nan"), 0.1, "equal error", 0, 0, 1, 0, 0, count, count, 2)


def test_component_trials_take_the_clips_own_source_out() -> None:
    """b and c share a vocoder, a has one of its own, and of d none is on record."""
    vectors, owners, names = enrolled()
    vocoder = {"a": "x", "b": "y", "c": "y"}
    test = development(vectors, [names[owner] for owner in owners], "enrolled clips")
    known, unknown = component_trials(Centroid(), vectors, owners, names, vocoder, test)
    centroids = {name: unit(vectors[owners == i].mean(axis=0)[None])[0] for i, name in enumerate(names)}
    expected: dict[str, list[tuple[float, bool]]] = {name: [] for name in vocoder}
    for vector, owner in zip(vectors, owners, strict=True):
        own = names[owner]
        scores = {name: float(vector @ centroids[name]) for name in vocoder if name != own}
        if own in vocoder:
            best = max(scores, key=lambda name: scores[name])
            expected[own].append((scores[best], vocoder[best] == vocoder[own]))
    assert list(known.sources) == ["b"] * 2 + ["c"] * 3
    assert list(unknown.sources) == ["a"]
    assert known.scores == pytest.approx([best for best, _ in expected["b"] + expected["c"]], abs=1e-6)
    assert known.correct.tolist() == [right for _, right in expected["b"] + expected["c"]]
    assert unknown.scores == pytest.approx([expected["a"][0][0]], abs=1e-6)


def test_trials_of_the_best_score_can_be_calibrated_on() -> None:
    known, unknown = trial_set([0.9, 0.8, 0.3], ["a", "a", "b"]), trial_set([0.4, 0.1], ["b", "c"])
    trials_found = evidence_trials(known, unknown, "centroid", "e" * 64)
    assert trials_found.scores.tolist() == [0.9, 0.8, 0.3, 0.4, 0.1]
    assert trials_found.target.tolist() == [True, True, True, False, False]
    assert [trials_found.sources[i] for i in trials_found.first] == ["a", "a", "b", "b", "c"]
    assert (trials_found.first == trials_found.second).all()
    assert (trials_found.data, trials_found.backend, trials_found.extractor) == ("test", "centroid", "e" * 64)


def test_a_higher_share_of_wrong_answers_takes_a_smaller_margin() -> None:
    lead, right = np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, False, True, True])
    weights = np.full(4, 0.25)
    assert [set_margin(lead, right, weights, most)[0] for most in (0.05, 0.25)] == pytest.approx([0.25, 0.0])
