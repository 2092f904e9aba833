"""Metrics against slow second routes that follow their definitions word by word, and what must always hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthprint import metrics
from synthprint.errors import MetricError, SynthprintError
from synthprint.metrics import likelihood_ratios

# Few distinct values, all exact in binary: many ties, and maps of them that do not round.
TIED = arrays(np.float64, st.integers(1, 30), elements=st.integers(-8, 8).map(lambda i: i / 4))
FREE = arrays(np.float64, st.integers(1, 30), elements=st.floats(-100, 100, allow_subnormal=False))
SCORES = st.one_of(TIED, FREE)
RNG = np.random.default_rng(5)
TARGET, NONTARGET = np.round(RNG.normal(1.0, 1.0, 83), 1), np.round(RNG.normal(-0.5, 1.3, 131), 1)


def slow_points(target: np.ndarray, nontarget: np.ndarray) -> list[tuple[float, float]]:
    """(P_miss, P_fa) at each distinct score as a threshold, and for rejecting all."""
    points = []
    for threshold in [*sorted({*target.tolist(), *nontarget.tolist()}), math.inf]:
        missed = sum(1 for score in target if not score >= threshold)
        accepted = sum(1 for score in nontarget if score >= threshold)
        points.append((missed / len(target), accepted / len(nontarget)))
    return points


def slow_eer(target: np.ndarray, nontarget: np.ndarray) -> float:
    """The point of the joined points that lies on P_miss = P_fa."""
    for (miss_a, fa_a), (miss_b, fa_b) in pairwise(slow_points(target, nontarget)):
        if miss_a <= fa_a and miss_b >= fa_b:
            # miss_a + s (miss_b - miss_a) = fa_a + s (fa_b - fa_a)
            s = (fa_a - miss_a) / ((miss_b - miss_a) - (fa_b - fa_a))
            return miss_a + s * (miss_b - miss_a)
    raise AssertionError("the curve does not cross")


def slow_isotonic(scores: np.ndarray, labels: np.ndarray) -> list[float]:
    """The rising fit to the mean label at each distinct score: max over starts of min over ends of the mean."""
    distinct = sorted(set(scores.tolist()))
    groups = [labels[scores == value] for value in distinct]

    def mean(a: int, b: int) -> float:
        return float(np.concatenate(groups[a : b + 1]).mean())

    n = len(groups)
    fit = [max(min(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)]
    return [fit[distinct.index(score)] for score in scores.tolist()]


def test_det_is_the_list_of_points() -> None:
    curve = metrics.det(TARGET, NONTARGET)
    assert list(zip(curve.p_miss.tolist(), curve.p_fa.tolist(), strict=True)) == slow_points(TARGET, NONTARGET)
    assert curve.thresholds.tolist() == [*sorted({*TARGET.tolist(), *NONTARGET.tolist()}), math.inf]


def test_eer_by_hand() -> None:
    # The points are (0, 1) (0, 1/2) (1/3, 1/2) (2/3, 0) (1, 0): it crosses a fifth of the way from the third on.
    assert metrics.eer([2, 3, 4], [1, 3]) == pytest.approx(0.4, abs=1e-15)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_eer_is_the_definition(target: np.ndarray, nontarget: np.ndarray) -> None:
    assert metrics.eer(target, nontarget) == pytest.approx(slow_eer(target, nontarget), abs=1e-12)


@settings(deadline=None)
@given(TIED, TIED, st.randoms(use_true_random=False), st.sampled_from([0.25, 1.0, 8.0]), st.integers(-64, 64))
def test_eer_depends_on_nothing_but_the_order_of_the_scores(
    target: np.ndarray, nontarget: np.ndarray, random, scale: float, shift: int
) -> None:
    eer = metrics.eer(target, nontarget)
    shuffled = [random.sample(scores.tolist(), len(scores)) for scores in (target, nontarget)]
    assert metrics.eer(*shuffled) == eer
    assert metrics.eer(scale * target + shift, scale * nontarget + shift) == eer
    assert metrics.eer(np.repeat(target, 3), np.repeat(nontarget, 3)) == pytest.approx(eer, abs=1e-15)
    assert metrics.eer(-nontarget, -target) == pytest.approx(eer, abs=1e-12)
    assert 0 <= eer <= 1


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(-1e6, 1e6))
def test_eer_at_the_extremes(n_target: int, n_nontarget: int, score: float) -> None:
    equal = np.full(n_target, score), np.full(n_nontarget, score)
    assert metrics.eer(*equal) == 0.5
    assert metrics.eer(equal[0] + 1, equal[1]) == 0.0
    assert metrics.eer(equal[0], equal[1] + 1) == 1.0


@settings(deadline=None)
@given(SCORES, SCORES)
def test_eer_threshold_has_the_closest_rates(target: np.ndarray, nontarget: np.ndarray) -> None:
    threshold = metrics.eer_threshold(target, nontarget)
    gap = abs((target < threshold).mean() - (nontarget >= threshold).mean())
    assert gap == pytest.approx(min(abs(miss - fa) for miss, fa in slow_points(target, nontarget)), abs=1e-12)


def test_eer_threshold_is_of_the_type_of_the_scores() -> None:
    above = metrics.eer_threshold(np.float32([0.5]), np.float32([0.25]))
    assert above == np.nextafter(np.float32(0.25), np.float32(1))


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(0.001, 0.999), st.floats(0.1, 10), st.floats(0.1, 10))
def test_min_dcf_is_the_definition(t: np.ndarray, n: np.ndarray, p_target: float, c_miss: float, c_fa: float) -> None:
    costs = [c_miss * p_target * miss + c_fa * (1 - p_target) * fa for miss, fa in slow_points(t, n)]
    expected = min(costs) / min(costs[0], costs[-1])
    assert metrics.min_dcf(t, n, p_target, c_miss, c_fa) == pytest.approx(expected, rel=1e-9)
    assert metrics.min_dcf(t, n, p_target, c_miss, c_fa) <= 1 + 1e-12


def test_cllr_is_the_definition() -> None:
    slow = sum(math.log2(1 + math.exp(-x)) for x in TARGET) / len(TARGET)
    slow += sum(math.log2(1 + math.exp(x)) for x in NONTARGET) / len(NONTARGET)
    assert metrics.cllr(TARGET, NONTARGET) == pytest.approx(slow / 2, rel=1e-12)
    assert metrics.cllr([0.0], [0.0, 0.0]) == 1.0
    # An LR of 3 for a target and of 1/3 for a nontarget costs log2(1 + 1/3) each.
    assert metrics.cllr([math.log(3)], [-math.log(3)]) == pytest.approx(math.log2(4 / 3), rel=1e-12)
    assert metrics.cllr([1e4], [1e4]) == pytest.approx(1e4 / math.log(2) / 2, rel=1e-9)


@settings(deadline=None)
@given(TIED, TIED)
def test_cllr_min_is_cllr_of_the_isotonic_fit(target: np.ndarray, nontarget: np.ndarray) -> None:
    scores = np.concatenate([target, nontarget])
    labels = np.concatenate([np.ones(len(target)), np.zeros(len(nontarget))])
    posterior = np.clip(slow_isotonic(scores, labels), 1e-15, 1 - 1e-15)
    llr = np.log(posterior / (1 - posterior)) - math.log(len(target) / len(nontarget))
    expected = metrics.cllr(llr[: len(target)], llr[len(target) :])
    assert metrics.cllr_min(target, nontarget) == pytest.approx(expected, abs=1e-10)


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(0.01, 3), st.floats(-3, 3))
def test_no_affine_calibration_beats_cllr_min(t: np.ndarray, n: np.ndarray, scale: float, shift: float) -> None:
    least = metrics.cllr_min(t, n)
    assert least <= metrics.cllr(scale * t + shift, scale * n + shift) + 1e-12
    assert 0 <= least <= 1 + 1e-12


@settings(deadline=None)
@given(SCORES, SCORES)
def test_auroc_counts_pairs(positive: np.ndarray, negative: np.ndarray) -> None:
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert metrics.auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert metrics.auroc(-negative, -positive) == pytest.approx(metrics.auroc(positive, negative), abs=1e-12)


@settings(deadline=None)
@given(SCORES, SCORES, st.sampled_from([0.05, 0.5, 0.9, 0.95, 1.0]))
def test_fpr_at_tpr_tries_every_threshold(positive: np.ndarray, negative: np.ndarray, tpr: float) -> None:
    enough = [t for t in {*positive.tolist(), *negative.tolist()} if (positive >= t).mean() >= tpr - 1e-12]
    expected = min((negative >= t).mean() for t in enough)
    assert metrics.fpr_at_tpr(positive, negative, tpr) == pytest.approx(expected, abs=1e-12)


def test_fpr_at_tpr_needs_19_of_20() -> None:
    positive = np.arange(20.0)
    assert metrics.fpr_at_tpr(positive, [0.5, 1.0, 1.5]) == pytest.approx(2 / 3)  # threshold 1
    assert metrics.fpr_at_tpr([0.0], [1.0]) == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=20), TIED)
def test_oscr_is_the_area_under_its_curve(known: list[tuple[int, bool]], unknown: np.ndarray) -> None:
    scores, correct = np.array([s / 4 for s, _ in known]), np.array([c for _, c in known])
    curve = [(0.0, 0.0)]  # (false positive rate, correct classification rate), from rejecting all
    for threshold in sorted({*scores.tolist(), *unknown.tolist()}, reverse=True):
        curve.append(((unknown >= threshold).mean(), (correct & (scores >= threshold)).mean()))
    area = sum((xb - xa) * (ya + yb) / 2 for (xa, ya), (xb, yb) in pairwise(curve))
    assert metrics.oscr(scores, correct, unknown) == pytest.approx(area, abs=1e-12)
    assert metrics.oscr(scores, correct, unknown) <= correct.mean() + 1e-12


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=20),
    TIED,
    st.sampled_from([0.0, 0.05, 0.3, 0.9]),
)
def test_identification_rate_tries_every_threshold(
    known: list[tuple[int, bool]], unknown: np.ndarray, far: float
) -> None:
    scores, correct = np.array([s / 4 for s, _ in known]), np.array([c for _, c in known])
    cuts = [*scores.tolist(), *unknown.tolist(), math.inf]
    allowed = [cut for cut in cuts if (unknown >= cut).mean() <= far]
    expected = max((correct & (scores >= cut)).mean() for cut in allowed)
    assert metrics.identification_rate(scores, correct, unknown, far) == pytest.approx(expected, abs=1e-12)
    x, y = metrics.oscr_curve(scores, correct, unknown)
    area = float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())
    assert area == pytest.approx(metrics.oscr(scores, correct, unknown), abs=1e-12)


def test_identification_rate_by_hand() -> None:
    # Unknown clips at 1, 2, 3, 4. At most a quarter accepted: threshold above 3. Of the known, 5 and 3.5 are right.
    known, correct = [5.0, 4.5, 3.5, 2.5], [True, False, True, True]
    assert metrics.identification_rate(known, correct, [1, 2, 3, 4], 0.25) == 0.5
    assert metrics.identification_rate(known, correct, [1, 2, 3, 4], 0.0) == 0.25


def test_ece_is_the_definition_and_cllr_at_even_odds() -> None:
    for odds in (-3.0, 0.0, 1.5):
        prior = math.exp(odds) / (1 + math.exp(odds))
        slow = prior * sum(math.log2(1 + math.exp(-x - odds)) for x in TARGET) / len(TARGET)
        slow += (1 - prior) * sum(math.log2(1 + math.exp(x + odds)) for x in NONTARGET) / len(NONTARGET)
        assert metrics.ece(TARGET, NONTARGET, odds)[0] == pytest.approx(slow, rel=1e-12)
    assert metrics.ece(TARGET, NONTARGET, [0.0])[0] == pytest.approx(metrics.cllr(TARGET, NONTARGET), rel=1e-12)
    # Saying nothing leaves the entropy of the prior: at odds of 3 that of 3/4.
    expected = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert metrics.ece([0.0], [0.0], math.log(3))[0] == pytest.approx(expected, rel=1e-12)


def test_pooling_does_not_depend_on_how_many_rounds_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, nontargets = RNG.integers(0, 5, (2, 400))
    targets += (targets + nontargets) == 0
    once = metrics.pool_adjacent_violators(targets, nontargets)
    for rounds in (0, 1, 2):
        monkeypatch.setattr(likelihood_ratios, "POOLING_ROUNDS", rounds)
        for side, other in zip(once, metrics.pool_adjacent_violators(targets, nontargets), strict=True):
            assert side.tolist() == other.tolist()
    # A long rising list whose last score pulls down one block after the other.
    stairs = np.arange(1, 200), np.full(199, 100)
    stairs[0][-1] = 0
    monkeypatch.setattr(likelihood_ratios, "POOLING_ROUNDS", 0)
    slow = metrics.pool_adjacent_violators(*stairs)
    monkeypatch.undo()
    assert [side.tolist() for side in metrics.pool_adjacent_violators(*stairs)] == [side.tolist() for side in slow]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=30))
def test_identification_from_the_confusion_matrix(labels: list[tuple[str, str]]) -> None:
    true, predicted = map(list, zip(*labels, strict=True))
    names = sorted({*true, *predicted})
    confusion = np.array([[labels.count((t, p)) for p in names] for t in names])
    hits, true_n, predicted_n = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    assert metrics.accuracy(true, predicted) == pytest.approx(hits.sum() / len(labels))
    assert metrics.balanced_accuracy(true, predicted) == pytest.approx((hits[true_n > 0] / true_n[true_n > 0]).mean())
    f1 = []
    for hit, n_true, n_predicted in zip(hits, true_n, predicted_n, strict=True):
        precision, recall = hit / max(n_predicted, 1), hit / max(n_true, 1)
        f1.append(0.0 if hit == 0 else 2 * precision * recall / (precision + recall))
    assert metrics.macro_f1(true, predicted) == pytest.approx(np.mean(f1))


VERIFICATION = (
    metrics.det, metrics.eer, metrics.eer_threshold, metrics.min_dcf, metrics.cllr, metrics.cllr_min,
    metrics.auroc, metrics.fpr_at_tpr,
)  # fmt: skip


@pytest.mark.parametrize("metric", VERIFICATION)
def test_what_has_no_answer_is_an_error(metric: Callable[..., object]) -> None:
    for empty in ([], []), ([1.0], []), ([], [1.0]):
        with pytest.raises(MetricError, match="there are no"):
            metric(*empty)
    with pytest.raises(MetricError, match=r"1 of 2 .* are not numbers"):
        metric([0.0, math.nan], [1.0])
    with pytest.raises(MetricError, match="one-dimensional"):
        metric([[0.0]], [1.0])


def test_arguments_out_of_range_are_errors() -> None:
    with pytest.raises(MetricError, match="p_target"):
        metrics.min_dcf([1], [0], p_target=1.0)
    with pytest.raises(MetricError, match="true positive rate"):
        metrics.fpr_at_tpr([1], [0], tpr=0.0)
    with pytest.raises(MetricError, match="false alarm rate"):
        metrics.identification_rate([1.0], [True], [0.0], 1.0)
    with pytest.raises(MetricError, match="as many marks"):
        metrics.oscr([1.0, 2.0], [True], [0.0])
    for metric in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        for true, predicted in (([], []), (["a"], ["a", "b"])):
            with pytest.raises(MetricError, match="as many"):
                metric(true, predicted)
    assert issubclass(MetricError, ValueError)
    assert issubclass(MetricError, SynthprintError)
