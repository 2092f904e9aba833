"""Figures from weights: those of `metrics` where the weights are counts, and of repeated trials where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint import metrics
from synthprint.metrics import weighted

COUNTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12).filter(
    lambda pairs: all(sum(side) for side in zip(*pairs, strict=True))
)


@settings(deadline=None)
@given(COUNTS, st.sampled_from([1.0, 0.37]), st.sampled_from([0.5, 0.95, 1.0]), st.sampled_from([0.01, 0.5]))
def test_whole_counts_give_the_figures_of_the_list(
    pairs: list[tuple[int, int]], scale: float, tpr: float, prior: float
) -> None:
    targets, nontargets = (np.array(side) for side in zip(*pairs, strict=True))
    rising = np.arange(len(pairs)) / 3
    t, n = np.repeat(rising, targets), np.repeat(rising, nontargets)
    a, b = scale * targets, 2 * scale * nontargets
    assert weighted.eer(a, b) == pytest.approx(metrics.eer(t, n), abs=1e-9)
    assert weighted.min_dcf(a, b, prior) == pytest.approx(metrics.min_dcf(t, n, prior), abs=1e-9)
    assert weighted.auroc(a, b) == pytest.approx(metrics.auroc(t, n), abs=1e-9)
    assert weighted.cllr_min(a, b) == pytest.approx(metrics.cllr_min(t, n), abs=1e-9)
    assert weighted.fpr_at_tpr(a, b, tpr) == pytest.approx(metrics.fpr_at_tpr(t, n, tpr), abs=1e-9)
    turned = weighted.fpr_at_tpr(b[::-1], a[::-1], tpr)
    assert turned == pytest.approx(metrics.fpr_at_tpr(-n, -t, tpr), abs=1e-9)


@settings(deadline=None)
@given(COUNTS, st.lists(st.booleans(), min_size=60, max_size=60), st.sampled_from([0.0, 0.05, 0.5]))
def test_identification_rate_is_that_of_the_list(pairs: list[tuple[int, int]], marks: list[bool], far: float) -> None:
    known_n, unknown_n = (np.array(side) for side in zip(*pairs, strict=True))
    rising = np.arange(len(pairs)) / 3
    known, unknown = np.repeat(rising, known_n), np.repeat(rising, unknown_n)
    right = np.array(marks[: len(known)])
    right_n = np.array([(right & (known == score)).sum() for score in rising])
    found = weighted.identification_rate(0.4 * right_n, 0.4 * len(known), 3.0 * unknown_n, far)
    assert found == pytest.approx(metrics.identification_rate(known, right, unknown, far), abs=1e-9)
