"""The exact EER over all pairs of a set, for many curves at once, in bounded memory.

A curve is a selection of trials: all of them, those of one source, ... Its EER follows from how many target and
nontarget trials lie below, at, and above one score, the one at which P_miss reaches P_fa. That score is found as a
radix sort would find it, without holding the scores:

1. The guess. A sample of the pairs tells, for every curve, a window of scores in which it probably crosses. The
   target pairs are few, so the sample has all of them, and a few utterances in the nontarget pairs of all others.
2. The pass over all pairs. It counts them in equal bins over -1 ... 1, and keeps the scores that lie in a window.
3. The search. The bins say in which of them a curve crosses. The scores there are counted again in finer bins, until
   a bin holds a single float32: mostly from what was kept, otherwise in a further pass over the pairs of that curve.

So a wrong guess costs time alone; and so does a guess that was not made, or scores too many to be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from synthprint.metrics import crossing, threshold_at
from synthprint.scoring.bins import key_values, windows_on
from synthprint.scoring.kernels import BALANCED, NONTARGET, KeyWindows
from synthprint.scoring.passes import MOST_KEPT, Pairs, StoredScores

FINE_BYTES = 128 << 20  # for the windows of all threads, at most
MOST_COUNTERS = 1 << 20  # for a window
SAMPLE_FROM = 4_096  # utterances; two passes over fewer take no time
SAMPLE_STEP = 32  # one utterance in so many, as long as these are
SAMPLE_LEAST = 512
MOST_TARGETS = 1 / 8  # of all pairs, for the sample to have them all
# The window of a curve, in standard deviations of a rate in a sample drawn at random. One spread evenly over the
# sources has about a third of that for a source, and a tenth for what many sources have a part in.
SLACK_OF_SOURCE, SLACK = 1.0, 0.4


Intervals = Mapping[int, tuple[int, int]]  # by curve: the keys low ... high - 1


class Crossed(NamedTuple):
    """Where a curve crosses P_miss = P_fa."""

    eer: float
    threshold: float


def crossings(pairs: Pairs, wanted: Sequence[int]) -> tuple[dict[int, Crossed], np.ndarray]:
    """Where the `wanted` curves cross, those that have trials of both kinds; and the counts of all curves.

    The counts [2, C, bins] are of target and nontarget trials in equal bins over -1 ... 1.
    """
    guess = _guess(pairs, wanted)
    coarse, kept = pairs.count(_windows(guess, pairs))
    searches = {curve: _Search(coarse[:, curve].sum(axis=1)) for curve in wanted if _has_both(coarse[:, curve])}
    for curve, search in searches.items():
        search.narrow(coarse[:, curve], pairs.edges)
    known = {curve for curve, window in guess.items() if kept.complete and searches[curve].is_within(*window)}
    while pending := {curve: search for curve, search in searches.items() if search.crossed is None}:
        _narrow({curve: search for curve, search in pending.items() if curve in known}, pairs, kept)
        _narrow({curve: search for curve, search in pending.items() if curve not in known}, pairs)
    return {curve: search.crossed for curve, search in searches.items() if search.crossed}, coarse


class _Search:
    """Closes in on the score at which a curve crosses: its key is one of low ... high - 1.

    Args:
        totals: [2] all target and all nontarget trials of the curve.
    """

    def __init__(self, totals: np.ndarray) -> None:
        self.totals = totals
        self.below = np.zeros(2, np.int64)  # trials of each kind with a key under `low`
        self.low = self.high = 0
        self.crossed: Crossed | None = None

    def is_within(self, low: int, high: int) -> bool:
        """Whether the curve crosses among the keys low ... high - 1."""
        return low <= self.low and self.high <= high

    def narrow(self, counts: np.ndarray, keys: np.ndarray) -> None:
        """Choose the interval in which the curve crosses, from the trials [2, I] in the intervals between `keys`."""
        below = self.below[:, None] + np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
        found = crossing(*rates(below, self.totals))
        self.low, self.high = int(keys[found.end - 1]), int(keys[found.end])
        self.below = below[:, found.end - 1]
        if self.high == self.low + 1:
            self.crossed = Crossed(found.eer, threshold_at(key_values(np.array([self.low]))[0], found))


def rates(below: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa) of thresholds that have `below` [2, I] of the `totals` [2] targets and nontargets below them."""
    return below[0] / totals[0], (totals[1] - below[1]) / totals[1]


def _has_both(counts: np.ndarray) -> bool:
    """Whether a curve [2, bins] has trials of both kinds."""
    return bool(counts.any(axis=1).all())


def _narrow(searches: Mapping[int, _Search], pairs: Pairs, kept: StoredScores | None = None) -> None:
    """Count the scores where some curves cross in finer bins: those of all pairs, or those that were kept."""
    if not searches:
        return
    windows = _windows({curve: (search.low, search.high) for curve, search in searches.items()}, pairs)
    fine = pairs.count_finely(windows) if kept is None else pairs.count_stored(kept, windows)
    for curve, search in searches.items():
        keys = np.append(np.arange(search.low, search.high, 1 << int(windows.shift[curve])), search.high)
        start = int(windows.offset[curve])
        search.narrow(fine[:, start : start + len(keys) - 1], keys)


def _windows(intervals: Intervals, pairs: Pairs) -> KeyWindows:
    """With as many counters as the memory for them allows."""
    each = FINE_BYTES // (2 * 8 * pairs.threads * max(1, len(intervals)))
    return windows_on(intervals, pairs.n_curves, pairs.edges, max(2, min(MOST_COUNTERS, each)))


def _guess(pairs: Pairs, wanted: Sequence[int]) -> Intervals:
    """Where each curve probably crosses, from a sample; without those of which the sample has no trial of a kind."""
    if len(pairs) < SAMPLE_FROM:
        return {}
    some = pairs.every(max(1, min(SAMPLE_STEP, len(pairs) // SAMPLE_LEAST)))
    counts = _sample(pairs, some)
    drawn = np.full(pairs.n_curves, len(some))  # utterances, by curve
    in_quadrant = np.bincount(some.quadrant[some.quadrant >= 0])
    drawn[BALANCED + 1 : BALANCED + 1 + len(in_quadrant)] = in_quadrant
    curves = [curve for curve in wanted if _has_both(counts[:, curve])]
    slack = np.full(pairs.n_curves, SLACK)
    slack[pairs.source_curve[pairs.source_curve >= 0]] = SLACK_OF_SOURCE
    for narrowing in 0.8 ** np.arange(10):
        bins = {curve: _near(counts[:, curve], narrowing * slack[curve], drawn[curve]) for curve in curves}
        # A pair of the pooled curve is in the sample twice, which makes up for the balanced curve.
        found = sum(counts[NONTARGET, curve, slice(*bins[curve])].sum() for curve in curves if curve != BALANCED)
        if found * (len(pairs) / len(some)) <= MOST_KEPT:
            break
    return {curve: (int(pairs.edges[first]), int(pairs.edges[last])) for curve, (first, last) in bins.items()}


def _sample(pairs: Pairs, some: Pairs) -> np.ndarray:
    """[2, C, bins] the target pairs of all utterances, or of evenly chosen ones; nontarget pairs of `some` with all."""
    size = np.bincount(pairs.source)
    share = (size * (size - 1)).sum() / (len(pairs) * (len(pairs) - 1))
    step = int(np.ceil(np.sqrt(share / MOST_TARGETS)))
    counts = (pairs.every(step) if step > 1 else pairs).count_targets()
    counts[NONTARGET] = pairs.count_against(some)[NONTARGET]
    return counts


def _near(counts: np.ndarray, slack: float, drawn: int) -> tuple[int, int]:
    """The first bin in which a curve [2, bins] probably crosses, and the end of the last.

    Args:
        slack: in standard deviations of a rate among as many utterances as were `drawn`.
    """
    below = np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
    p_miss, p_fa = rates(below, below[:, -1])
    found = crossing(p_miss, p_fa)
    rate = max(found.eer, 1 / drawn)
    near = np.flatnonzero(np.abs(p_miss - p_fa) <= slack * np.sqrt(rate * (1 - rate) / drawn))
    return min([found.end - 1, *near[:1]]), max([found.end, *near[-1:]])
