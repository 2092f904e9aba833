"""Calibration against slow second routes and hand examples: maps, bounds, folds, words, and a stranger's file."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthprint import metrics
from synthprint.calibration.bounds import elub
from synthprint.calibration.calibration import Calibration
from synthprint.calibration.fitting import cross_fitted, fit
from synthprint.calibration.maps import LN10, METHODS, Knots, Line, kde, logistic, pav
from synthprint.calibration.verbal import strength, times, verbal
from synthprint.errors import CalibrationError
from synthprint.types import ScoredTrials

TIED = arrays(np.float64, st.integers(2, 25), elements=st.integers(-8, 8).map(lambda i: i / 4))
RNG = np.random.default_rng(11)


def even(scores: np.ndarray) -> np.ndarray:
    return np.full(len(scores), 1 / len(scores))


def fitted(method: str, target: np.ndarray, nontarget: np.ndarray) -> Line | Knots:
    return METHODS[method](target, nontarget, even(target), even(nontarget))


def source_trials(n_sources: int = 12, clips: int = 5, spread: float = 1.0, seed: int = 0) -> ScoredTrials:
    """All pairs of clips on a line: each source has a place of its own; a score is minus the distance."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(n_sources), clips)
    at = 3 * rng.normal(size=n_sources)[owners] + spread * rng.normal(size=len(owners))
    first, second = np.triu_indices(len(owners), 1)
    sides = owners[first], owners[second]
    names = tuple(f"source {i}" for i in range(n_sources))
    return ScoredTrials(
        -np.abs(at[first] - at[second]), sides[0] == sides[1], *sides, names, "test", "line", len(owners)
    )


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_calibrated_already_stay_what_they_are(method: str) -> None:
    # LLRs of two normal densities of mean ±d²/2 and variance d² are their own log-likelihood ratios.
    rng, d = np.random.default_rng(3), 2.0
    target, nontarget = rng.normal(d * d / 2, d, 40_000), rng.normal(-d * d / 2, d, 40_000)
    inner = np.linspace(-3, 3, 25)
    found = fitted(method, target, nontarget)(inner) * LN10
    assert np.abs(found - inner).max() < {"logistic": 0.05, "pav": 0.35, "kde": 0.25}[method]
    shifted = fitted(method, (target - 7) / 3, (nontarget - 7) / 3)((inner - 7) / 3) * LN10
    assert shifted == pytest.approx(found, abs=0.02)


def test_logistic_is_the_minimum_of_a_slow_search() -> None:
    target, nontarget = RNG.normal(1, 1, 60), RNG.normal(-1, 1.5, 90)
    a, b = len(target), len(nontarget)

    def cost(slope: float, intercept: float) -> float:
        total = 0.0
        for score in target:
            z = slope * score + intercept
            total += ((a + 1) / (a + 2) * math.log(1 + math.exp(-z)) + 1 / (a + 2) * math.log(1 + math.exp(z))) / a
        for score in nontarget:
            z = slope * score + intercept
            total += ((b + 1) / (b + 2) * math.log(1 + math.exp(z)) + 1 / (b + 2) * math.log(1 + math.exp(-z))) / b
        return total

    best, step = (1.0, 0.0), 0.5
    while step > 1e-7:  # walk to whichever neighbour is better, with ever smaller steps
        around = [(best[0] + i * step, best[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        better = min(around, key=lambda line: cost(*line))
        best, step = better, (step if better != best else step / 2)
    line = fitted("logistic", target, nontarget)
    assert isinstance(line, Line)
    assert (line.slope * LN10, line.intercept * LN10) == pytest.approx(best, abs=1e-5)


def test_logistic_is_finite_on_separated_scores_and_flat_on_useless_ones() -> None:
    line = fitted("logistic", np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert isinstance(line, Line)
    assert 0 < line.slope < 10
    assert fitted("logistic", np.array([0.0, 1.0]), np.array([2.0, 3.0])) == Line(0.0, 0.0)  # scores that fall
    assert fitted("logistic", np.ones(3), np.ones(4)) == Line(0.0, 0.0)


def test_pav_by_hand() -> None:
    # With a target and a nontarget added at each end, of 2 and 2: shares of targets at -inf 1/2, at 0 0/1, at 1 1/1, at
    # 2 0/1, at 3 1/1, at inf 1/2. Pooled: {-inf, 0} 1 of 3, {1, 2} 1 of 2, {3, inf} 2 of 3. LRs 1/2, 1, 2.
    knots = fitted("pav", np.array([1.0, 3.0]), np.array([0.0, 2.0]))
    assert isinstance(knots, Knots)
    assert knots.scores == (0.0, 1.0, 2.0, 3.0)
    assert knots.log10_lr == pytest.approx((math.log10(1 / 2), 0, 0, math.log10(2)), abs=1e-12)
    assert knots(np.array([-9.0, 0.5, 1.5, 9.0])) == pytest.approx([-0.30103, -0.150515, 0, 0.30103], abs=1e-6)


@settings(deadline=None)
@given(TIED, TIED)
def test_pav_is_the_isotonic_fit_of_the_trials_and_the_four_added(target: np.ndarray, nontarget: np.ndarray) -> None:
    # max over starts of min over ends of the share of targets, both kinds of equal weight.
    scores = sorted({*target.tolist(), *nontarget.tolist()})
    weights = [
        ((target == s).sum() / len(target), (nontarget == s).sum() / len(nontarget)) for s in (-99.0, *scores, 99.0)
    ]
    weights[0] = weights[-1] = (1 / len(target), 1 / len(nontarget))
    weights = [(t / (1 + 2 / len(target)), n / (1 + 2 / len(nontarget))) for t, n in weights]

    def share(a: int, b: int) -> float:
        t, n = (sum(pair[side] for pair in weights[a : b + 1]) for side in (0, 1))
        return t / (t + n)

    k = len(weights)
    fit_ = [max(min(share(a, b) for b in range(i, k)) for a in range(i + 1)) for i in range(1, k - 1)]
    expected = [math.log10(p / (1 - p)) for p in fit_]
    assert fitted("pav", target, nontarget)(np.array(scores)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(TIED, TIED)
def test_no_line_beats_pav_in_hindsight(target: np.ndarray, nontarget: np.ndarray) -> None:
    line = fitted("logistic", target, nontarget)
    cost = metrics.cllr(line(target) * LN10, line(nontarget) * LN10)
    assert metrics.cllr_min(target, nontarget) <= cost + 1e-9


@settings(deadline=None, max_examples=40)
@given(TIED, TIED, st.sampled_from(sorted(METHODS)))
def test_maps_rise_are_finite_and_know_no_prior(target: np.ndarray, nontarget: np.ndarray, method: str) -> None:
    found = fitted(method, target, nontarget)
    values = found(np.linspace(-5, 5, 101))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= -1e-12).all()


def test_kde_is_the_ratio_of_two_sums_of_kernels_where_that_rises() -> None:
    target, nontarget = RNG.normal(2, 1, 300), RNG.normal(-2, 1, 200)
    found = fitted("kde", target, nontarget)

    def density(scores: np.ndarray, x: float) -> float:
        width = 1.06 * scores.std() * len(scores) ** -0.2
        return sum(math.exp(-0.5 * ((x - s) / width) ** 2) for s in scores) / (len(scores) * width)

    inner = np.linspace(-1, 1, 13)  # further out the added trials are pooled in
    # The added trials at the ends take a share of the weights: (1 + 2/T) and (1 + 2/N).
    shift = math.log10((1 + 2 / 200) / (1 + 2 / 300))
    expected = [math.log10(density(target, x) / density(nontarget, x)) + shift for x in inner]
    assert found(inner) == pytest.approx(expected, abs=0.02)


def test_weights_are_repetitions() -> None:
    target, nontarget = RNG.normal(1, 1, 8), RNG.normal(0, 1, 9)
    often = np.array([1, 2, 1, 3, 1, 1, 4, 1])
    weighted = kde(target, nontarget, often / often.sum(), even(nontarget))
    plain = kde(np.repeat(target, often), nontarget, even(np.repeat(target, often)), even(nontarget))
    assert np.abs(weighted(target) - plain(target)).max() < 0.3  # the effective number differs, and so the bandwidth
    for method in (logistic, pav):
        rule = method(target, nontarget, often / often.sum(), even(nontarget))(target)
        other = method(np.repeat(target, often), nontarget, even(np.repeat(target, often)), even(nontarget))(target)
        assert rule == pytest.approx(other, abs=0.35)  # the rule of succession counts trials, not weights


# --- bounds -----------------------------------------------------------------------------------------------------------


def slow_upper(target: np.ndarray, nontarget: np.ndarray) -> float:
    """The first of many thresholds from 1 upwards at which the normalised Bayes error rate reaches 1, one by one."""
    for log_t in np.arange(0, 4, 0.0005):
        t = 10**log_t * (1 + 1e-9)
        missed = sum(1 for x in target if 10**x < t) + 1  # the added misleading target lies below every threshold
        accepted = sum(1 for x in nontarget if 10**x >= t) + 1
        p_target = 1 / (1 + t)
        rate = p_target * missed / (len(target) + 1) + (1 - p_target) * accepted / (len(nontarget) + 1)
        if rate / min(p_target, 1 - p_target) >= 1:
            return float(log_t)
    raise AssertionError("the rate never reaches 1")


def one_by_one(target: np.ndarray, nontarget: np.ndarray) -> tuple[float, float]:
    return elub(target, nontarget, even(target), even(nontarget), (1 / len(target), 1 / len(nontarget)))


@pytest.mark.parametrize("seed", range(6))
def test_bounds_are_where_the_normalised_error_rate_reaches_1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(5, 60, 2)
    target, nontarget = rng.normal(1, 1, n), rng.normal(-1, 1, m)
    lower, upper = one_by_one(target, nontarget)
    assert upper == pytest.approx(slow_upper(target, nontarget), abs=0.002)
    assert -lower == pytest.approx(slow_upper(-nontarget, -target), abs=0.002)


def test_bounds_by_hand() -> None:
    # 4 targets at LR 1000 and 9 nontargets at LR 1/1000. Up to t = 1000: P_miss = 1/5, P_fa = 1/10, so that
    # 1/5 + t/10 = 1 at t = 8. Downwards P_miss / t + P_fa = 1 at t = (1/5) / (9/10) = 2/9.
    lower, upper = one_by_one(np.full(4, 3.0), np.full(9, -3.0))
    assert (10**lower, 10**upper) == pytest.approx((2 / 9, 8))
    # No LR beyond what was seen: all targets at LR 2.
    assert one_by_one(np.full(4, math.log10(2)), np.full(9, -3.0))[1] == pytest.approx(math.log10(2))


@settings(deadline=None)
@given(TIED, TIED)
def test_bounds_lie_around_1_and_within_what_the_numbers_allow(target: np.ndarray, nontarget: np.ndarray) -> None:
    lower, upper = one_by_one(target, nontarget)
    assert -math.log10(len(target) + 1) - 1e-9 <= lower <= 0 <= upper <= math.log10(len(nontarget) + 1) + 1e-9


# --- fitting ----------------------------------------------------------------------------------------------------------


def test_a_tested_trial_was_never_near_what_its_map_was_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, seen = source_trials(), []

    def spy(target: np.ndarray, nontarget: np.ndarray, *weights: np.ndarray) -> Line:
        seen.append(np.concatenate([target, nontarget]))
        return logistic(target, nontarget, *weights)

    monkeypatch.setattr("synthprint.calibration.fitting.METHODS", {"spy": spy})
    crossed = cross_fitted(trials, "spy", "trials", folds=4)
    place = {score: i for i, score in enumerate(trials.scores.tolist())}
    sources = [
        {int(s) for score in scores for s in (trials.first[place[score]], trials.second[place[score]])}
        for scores in seen
    ]
    assert len(seen) == 4
    tested: set[int] = set()
    for trained in sources:
        own = set(range(12)) - trained
        assert len(own) == 3
        within = [i for i in crossed.index if {trials.first[i], trials.second[i]} <= own]
        tested |= set(within)
    assert tested == set(crossed.index.tolist())
    assert len(crossed.index) == len(tested) == 4 * (15 * 14 // 2)


def test_quality_is_that_of_the_tested_trials() -> None:
    trials = source_trials(20)
    for weighting in ("trials", "sources"):
        crossed = cross_fitted(trials, "logistic", weighting)
        quality = fit(trials, "logistic", weighting).quality
        assert quality == crossed.quality(weighting)
        llr, target = LN10 * crossed.log10_lr, crossed.trials.target
        if weighting == "trials":
            assert quality.cllr == pytest.approx(metrics.cllr(llr[target], llr[~target]))
            assert quality.cllr_min == pytest.approx(metrics.cllr_min(llr[target], llr[~target]))
            assert quality.eer == pytest.approx(metrics.eer(llr[target], llr[~target]))
        else:
            per_source = [np.logaddexp(0, -llr[target & (crossed.trials.first == s)]).mean() for s in range(20)]
            first, second = crossed.trials.first, crossed.trials.second
            other = [np.logaddexp(0, llr)[(first != second) & ((first == s) | (second == s))] for s in range(20)]
            sides = [cost.mean() for cost in other]
            expected = (np.mean(per_source) + np.mean(sides)) / (2 * math.log(2))
            assert quality.cllr == pytest.approx(expected)


def test_a_huge_source_decides_little_where_sources_count_alike() -> None:
    rng = np.random.default_rng(5)
    sizes = [60, *[4] * 9]
    owners = np.repeat(np.arange(10), sizes)
    first, second = np.triu_indices(len(owners), 1)
    same = owners[first] == owners[second]
    # The huge source's own pairs score low, as if it were several systems.
    scores = np.where(same, np.where(owners[first] == 0, -1.0, 2.0), -2.0) + 0.5 * rng.normal(size=len(first))
    sides = owners[first], owners[second]
    trials = ScoredTrials(scores, same, *sides, tuple(map(str, range(10))), "test")
    by_source, by_trial = (fit(trials, weighting=w).map(np.array([-1.0]))[0] for w in ("sources", "trials"))
    assert by_trial > by_source + 0.5
    weights = trials.weights("sources").each
    for s in range(10):
        assert weights[same & (owners[first] == s)].sum() == pytest.approx(0.1)
    assert weights[~same].sum() == pytest.approx(1)


def test_bounds_know_how_many_sources_there_were() -> None:
    few, many = (fit(source_trials(n, 6, spread=0.02), "kde") for n in (6, 30))
    assert 0 < few.upper <= math.log10(15 + 1)  # 15 pairs of sources
    assert -math.log10(7) <= few.lower < 0
    assert few.upper < many.upper <= math.log10(30 * 29 / 2 + 1)


def test_apply_stays_within_the_bounds_and_says_how_often_it_was_cut() -> None:
    made = replace(fit(source_trials()), map=Line(1.0, 0.0), lower=-1.0, upper=2.0)
    scores = np.array([[-3.0, -1.0, 0.5], [2.0, 2.5, 1e9]])
    assert made.apply(scores).tolist() == [[-1.0, -1.0, 0.5], [2.0, 2.0, 2.0]]
    assert made.clipped(scores).tolist() == [[-1, 0, 0], [0, 1, 1]]
    assert made.apply(math.inf) == 2.0
    with pytest.raises(CalibrationError, match="1 of 2 scores are not numbers"):
        made.apply([0.0, math.nan])


def test_too_few_sources_are_an_error() -> None:
    with pytest.raises(CalibrationError, match="4 sources or more"):
        fit(source_trials(3))
    with pytest.raises(CalibrationError, match="no target trial"):
        fit(source_trials()[np.arange(50) * 0 + 5])
    with pytest.raises(CalibrationError, match="not one of: logistic, pav, kde"):
        fit(source_trials(), "magic")
    with pytest.raises(CalibrationError, match="not one of: sources, trials"):
        fit(source_trials(), weighting="magic")


# --- in a file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_is_the_same_after_a_file(method: str) -> None:
    made = fit(source_trials(), method)
    again = Calibration.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert again == made
    scores = np.linspace(-9, 1, 50)
    assert again.apply(scores).tobytes() == made.apply(scores).tobytes()


BROKEN = [
    ("format", "synthprint-calibration-0", "of this version"),
    ("method", "magic", "method"),
    ("weighting", 3, "weighting"),
    ("lower", 0.5, "bounds"),
    ("upper", math.nan, "upper must be a finite number"),
    ("upper", True, "upper must be a finite number"),
    ("upper", "2", "upper must be a finite number"),
    ("map", None, "map is missing"),
    ("map", {"slope": -1.0, "intercept": 0.0}, "is no calibration"),
    ("map", {"slope": 1.0}, "intercept"),
    ("map", {"scores": [0.0, 1.0], "log10_lr": [1.0, 0.0]}, "must rise"),
    ("map", {"scores": [1.0, 1.0], "log10_lr": [0.0, 1.0]}, "must rise"),
    ("map", {"scores": [0.0], "log10_lr": [0.0, 1.0]}, "as many"),
    ("map", {"scores": [0.0] * 5000, "log10_lr": [0.0] * 5000}, "knots"),
    ("map", {"scores": [0.0] * 100_000, "log10_lr": []}, "of length at most 65536"),
    ("map", {"scores": [math.inf], "log10_lr": [0.0]}, "finite"),
    ("map", {"scores": [], "log10_lr": []}, "knots"),
    ("population", [], "population is missing"),
    ("quality", {}, "cllr"),
]


@pytest.mark.parametrize(("entry", "value", "told"), BROKEN)
def test_a_strangers_calibration_is_checked(entry: str, value: object, told: str) -> None:
    good = fit(source_trials()).to_dict()
    with pytest.raises(CalibrationError, match=told):
        Calibration.from_dict({**good, entry: value})
    with pytest.raises(CalibrationError):
        Calibration.from_dict({key: kept for key, kept in good.items() if key != entry})


def test_texts_and_counts_of_a_stranger_are_checked() -> None:
    good = fit(source_trials()).to_dict()
    for entry, value in (("data", "x" * 2000), ("clips", -1), ("clips", 1.5), ("sources", "9"), ("backend", None)):
        with pytest.raises(CalibrationError, match=entry):
            Calibration.from_dict({**good, "population": {**good["population"], entry: value}})
    for junk in (None, [], "x", 3):
        with pytest.raises(CalibrationError, match="calibration is missing"):
            Calibration.from_dict(junk)


# --- in words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lr", "word"),
    [(1, "no"), (1.9, "no"), (2.1, "weak"), (10, "weak"), (11, "moderate"), (100, "moderate"),
     (101, "moderately strong"), (5000, "strong"), (10_001, "very strong"), (10**6, "very strong"),
     (2 * 10**6, "extremely strong")],
)  # fmt: skip
def test_words_are_those_of_the_scale_in_both_directions(lr: float, word: str) -> None:
    assert strength(math.log10(lr)) == strength(-math.log10(lr)) == word


def test_words_name_both_sides() -> None:
    assert verbal(2.5) == "moderately strong support for the same source over different sources"
    assert verbal(-1.5) == "moderate support for different sources over the same source"
    assert verbal(0.1).startswith("no support")
    assert (
        verbal(-3.5, ("an enrolled source", "none of them"))
        == "strong support for none of them over an enrolled source"
    )


@pytest.mark.parametrize(
    ("lr", "text"), [(1, "1.0"), (1.49, "1.4"), (1 / 1.49, "1/1.4"), (12.9, "12"), (345, "340"), (0.001, "1/1,000"),
                     (99.9, "99"), (123_456, "120,000")],
)  # fmt: skip
def test_numbers_are_rounded_towards_1(lr: float, text: str) -> None:
    assert times(math.log10(lr)) == text


def test_a_statement_never_exceeds_the_bounds() -> None:
    made = replace(fit(source_trials()), map=Line(1.0, 0.0), lower=-1.0, upper=2.0)
    assert made.statement(1.5) == (
        "31 times more probable with the same source than with different sources: "
        "moderate support for the same source over different sources"
    )
    assert made.statement(8.0) == (
        "100 times more probable with the same source than with different sources (the most that 12 validation "
        "sources support): moderate support for the same source over different sources"
    )
    assert made.statement(-8.0).startswith("10 times more probable with different sources than with the same source")
    assert "weak support for different sources" in made.statement(-8.0)
