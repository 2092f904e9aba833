"""Our PAV, Cllr and ELUB against scikit-learn's isotonic regression and the Netherlands Forensic Institute's `lir`.

Where definitions differ the test says how, and checks what must hold in spite of it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lir.algorithms import bayeserror
from lir.algorithms.isotonic_regression import IsotonicCalibrator
from lir.data.models import LLRData
from lir.metrics import cllr as lir_cllr
from lir.metrics import cllr_min as lir_cllr_min
from sklearn.isotonic import IsotonicRegression

from synthprint.calibration.bounds import elub
from synthprint.calibration.maps import pav
from synthprint.figures.ece import optimal_llr
from synthprint.metrics import cllr, cllr_min, weighted

LN10 = np.log(10)
STEP = 0.01  # of `lir` between the thresholds that it tries, in log10
OFF_STEP = 3e-6
CLOSE = 1e-9  # both routes add up the same numbers in another order
TIED = arrays(np.float64, st.integers(1, 25), elements=st.integers(-8, 8).map(lambda i: i / 4))
# No closer than this: scikit-learn takes scores within the rounding of a double for ties, ours only equal ones.
UNTIED = arrays(np.float64, st.integers(1, 25), elements=st.integers(-300_000, 300_000).map(lambda i: i / 100_000))
SIDES = st.one_of(st.tuples(TIED, TIED), st.tuples(UNTIED, UNTIED))
DEGENERATE = {
    "separated": ([2.0, 3.0], [0.0, 1.0]),
    "the wrong way round": ([0.0, 1.0], [2.0, 3.0]),
    "all the same": ([1.0, 1.0, 1.0], [1.0, 1.0]),
    "one of each": ([1.0], [0.0]),
    "one against many": ([0.5], [*np.linspace(-1, 1, 21)]),
}
Side = np.ndarray


def both(target: Side, nontarget: Side) -> tuple[np.ndarray, np.ndarray]:
    """Scores [T + N], and labels: 1 for targets."""
    return np.concatenate([target, nontarget]), np.repeat([1, 0], [len(target), len(nontarget)])


def even(scores: np.ndarray) -> np.ndarray:
    return np.full(len(scores), 1 / len(scores))


def of_sklearn(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of targets that isotonic regression gives each score."""
    shares: np.ndarray = IsotonicRegression().fit(scores, labels, sample_weight=weights).predict(scores)
    return shares


def log10_odds(shares: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        odds: np.ndarray = np.log10(shares) - np.log10(1 - shares)
    return odds


def check_pav(target: Side, nontarget: Side) -> None:
    # One trial more of each kind at either end, each with the weight of one of its kind.
    low, high = min(target.min(), nontarget.min()) - 1, max(target.max(), nontarget.max()) + 1
    scores, labels = both(np.append(target, [low, high]), np.append(nontarget, [low, high]))
    weights = np.where(labels, 1 / (len(target) + 2), 1 / (len(nontarget) + 2))
    shares = of_sklearn(scores, labels, weights)
    seen = (scores > low) & (scores < high)
    ours = pav(target, nontarget, even(target), even(nontarget))(scores[seen])
    assert ours == pytest.approx(log10_odds(shares)[seen], abs=CLOSE)


def check_cllr(target: Side, nontarget: Side) -> None:
    scores, labels = both(target, nontarget)
    # `lir` takes log10 LRs, `metrics.cllr` natural ones.
    theirs = LLRData(features=scores, labels=labels)
    assert cllr(LN10 * target, LN10 * nontarget) == pytest.approx(lir_cllr(theirs), abs=CLOSE)
    least = cllr_min(target, nontarget)
    assert least == pytest.approx(lir_cllr_min(theirs), abs=CLOSE)
    rising, index = np.unique(scores, return_inverse=True)
    counts = [np.bincount(index, labels == kind, len(rising)) for kind in (1, 0)]
    assert weighted.cllr_min(*counts) == pytest.approx(least, abs=CLOSE)
    # The LRs behind it: without added trials, at ends where only one kind is seen they are infinite (ours: cut at 1e3).
    with np.errstate(divide="ignore"):
        llr = IsotonicCalibrator().fit_transform(scores, labels)
    ours = np.concatenate(optimal_llr(target, nontarget)) / LN10
    assert np.clip(ours, -9, 9) == pytest.approx(np.clip(llr, -9, 9), abs=CLOSE)


def rate(target: Side, nontarget: Side, log10_t: np.ndarray) -> np.ndarray:
    """By `lir`: the expected cost at thresholds, with a misleading trial of each kind, over that of saying nothing."""
    scores, labels = both(target, nontarget)
    cost = bayeserror.calculate_expected_utility(10**scores, labels, 10**log10_t, 1)
    return np.asarray(cost / np.minimum(1, 10**log10_t))


def check_elub(target: Side, nontarget: Side) -> None:
    # `lir` accepts LR > t, we LR >= t: the two differ at the LRs that occur, so these keep off the thresholds it tries.
    target, nontarget = target + OFF_STEP, nontarget + OFF_STEP
    one = (1 / len(target), 1 / len(nontarget))
    lower, upper = elub(target, nontarget, even(target), even(nontarget), one)
    scores, labels = both(target, nontarget)
    theirs = bayeserror.elub(scores.copy(), labels)  # a copy: it cuts extreme values in place
    # It takes the last of its steps before the rate passes 1; ours is where that is. What is narrower than a step it
    # can pass over: so ours are no wider, but for the step.
    assert theirs[0] <= lower + STEP + CLOSE
    assert upper <= theirs[1] + STEP + CLOSE
    # Nowhere within our bounds does its rate pass 1; just beyond, it has reached it.
    inside = np.setdiff1d(np.linspace(lower, upper, 1001)[1:-1], scores)
    inside = inside[(inside > lower + CLOSE) & (inside < upper - CLOSE)]
    assert not inside.size or (rate(target, nontarget, inside) <= 1 + CLOSE).all()
    beyond = np.array([lower - 1e-7, upper + 1e-7])
    assert (rate(target, nontarget, beyond) >= 1 - 1e-6).all()


CHECKS = {"pav": check_pav, "cllr": check_cllr, "elub": check_elub}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_trials(check: str, case: str) -> None:
    target, nontarget = (np.array(side) for side in DEGENERATE[case])
    CHECKS[check](target, nontarget)


@pytest.mark.parametrize("check", CHECKS)
@settings(deadline=None, max_examples=60)
@given(sides=SIDES)
def test_any_trials(check: str, sides: tuple[Side, Side]) -> None:
    CHECKS[check](*sides)


@pytest.mark.parametrize("check", CHECKS)
def test_many_trials(check: str) -> None:
    rng = np.random.default_rng(7)
    CHECKS[check](rng.normal(0.7, 0.8, 400), rng.normal(-0.7, 0.8, 2500))


def test_bounds_of_many_trials_are_a_step_apart_at_most() -> None:
    """Where no crossing is narrower than a step both bounds agree to a step of `lir`."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        target, nontarget = rng.normal(0.7, 0.8, 300), rng.normal(-0.7, 0.8, 500)
        ours = elub(target, nontarget, even(target), even(nontarget), (1 / 300, 1 / 500))
        theirs = bayeserror.elub(*both(target, nontarget), step_size=STEP / 100)
        assert ours == pytest.approx(theirs, abs=STEP)


@given(sides=SIDES, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_weighted_pav(sides: tuple[Side, Side], seed: int) -> None:
    target, nontarget = sides
    rng = np.random.default_rng(seed)
    sums = [rng.integers(1, 5, len(side)).astype(float) for side in sides]
    scores, labels = both(target, nontarget)
    index = np.unique(scores, return_inverse=True)[1]
    mass = [w / w.sum() for w in sums]
    shares = of_sklearn(scores, labels, np.concatenate(mass))
    with np.errstate(divide="ignore"):
        cost = -(mass[0] @ np.log2(shares[: len(target)]) + mass[1] @ np.log2(1 - shares[len(target) :])) / 2
    part = np.split(index, [len(target)])
    ours = weighted.cllr_min(*(np.bincount(i, w, index.max() + 1) for i, w in zip(part, mass, strict=True)))
    assert ours == pytest.approx(cost, abs=CLOSE)
