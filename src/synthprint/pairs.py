"""The exact EER over all pairs of a set, for many curves at once, in bounded memory.

A curve is a selection of target and nontarget trials: all of them, those of one source, ... Its EER follows from
how many trials of each kind lie below, at, and above one score: the one at which P_miss reaches P_fa. That score is
found as a radix sort would find it, without ever holding the scores: a pass over all pairs counts them in equal bins
over -1 ... 1; the bin in which the curve crosses is counted again in finer bins, until a bin holds one float32.

The second pass is mostly spared: a sample of the utterances tells about where each curve will cross, and the first
pass counts a window around there finely at once. A wrong guess costs time, never exactness.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from synthprint.metrics import crossing, threshold_at
from synthprint.pair_kernels import BALANCED, N_COLUMNS, Layout, Windows, count_block

N_BINS = 4096
MIN_BINS = 64
COARSE_BYTES = 128 << 20  # at most, over all threads
FINE_BYTES = 128 << 20
WEIGHT = 1 << 60  # of all trials of a kind on the source-balanced curve: whole numbers add up alike in any order
SAMPLE_FROM = 16_384  # utterances; fewer are counted twice sooner than sampled
SAMPLE_SIZE = 4_096
SLACK = 0.01  # a window holds what is this close to P_miss = P_fa in the sample
FIRST_KEY, LAST_KEY = 0x3FFF_FFFF, 0xC000_0000  # of -2 and 2: no cosine is beyond them


class Crossed(NamedTuple):
    """Where a curve crosses P_miss = P_fa."""

    eer: float
    threshold: float


class Pairs:
    """All pairs of N utterances, ready to be counted.

    Args:
        vectors: [N, D] float32 of length one.
        source: [N] index of each utterance's source.
        quadrant: [N] index of each utterance's quadrant, or -1.
        source_curve: [number of sources] which curve has the trials of a source, or -1.
        n_curves: the pooled and the source-balanced one, one for each quadrant, one for each source that has one.
        threads: how many to use.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        source: np.ndarray,
        quadrant: np.ndarray,
        source_curve: np.ndarray,
        n_curves: int,
        threads: int,
    ) -> None:
        self.order = np.lexsort((quadrant, source))
        self.source, self.quadrant = source[self.order], quadrant[self.order]
        self.source_curve, self.n_curves, self.threads = source_curve, n_curves, threads
        self.rows, self.blocks = _packed(vectors[self.order])
        changes = np.flatnonzero((np.diff(self.source) != 0) | (np.diff(self.quadrant) != 0)) + 1
        starts = np.concatenate([[0], changes, [len(source)]]).astype(np.int64)
        cell_source, cell_quadrant = self.source[starts[:-1]], self.quadrant[starts[:-1]]
        size = np.bincount(source, minlength=len(source_curve)).astype(np.int64)
        self.source_targets = size * (size - 1) // 2
        self.source_nontargets = size * (len(source) - size)
        counted = (source_curve >= 0) & (self.source_targets > 0) & (self.source_nontargets > 0)
        self.target_weight, self.nontarget_weight = (
            np.where(counted, WEIGHT // (max(1, counted.sum()) * np.maximum(trials, 1)), 0)
            for trials in (self.source_targets, self.source_nontargets)
        )
        self.layout = Layout(
            self.rows,
            starts,
            cell_source,
            source_curve[cell_source],
            np.where(cell_quadrant >= 0, cell_quadrant + BALANCED + 1, -1),
            self.target_weight[cell_source],
            self.nontarget_weight[cell_source],
        )

    def __len__(self) -> int:
        return len(self.source)

    def every(self, step: int) -> Pairs:
        """The pairs of every `step`-th utterance, with the same curves."""
        chosen = slice(step // 2, len(self), step)
        return Pairs(
            self.rows[: len(self)][chosen],
            self.source[chosen],
            self.quadrant[chosen],
            self.source_curve,
            self.n_curves,
            self.threads,
        )

    def count(self, windows: Windows, everything: bool, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
        """One pass: `coarse` [2, curves, bins] and `fine` [2, counters], as of `count_block`, `BALANCED` filled in.

        Without `everything`, only the pairs that a window looks for are visited, and `coarse` is not complete.
        """
        n_counters = int((_counters(windows.size, windows.shift)).sum())
        todo = iter(range(len(self.blocks) - 1, -1, -1))  # the longest first

        def work(_: int) -> tuple[np.ndarray, np.ndarray]:
            coarse, fine = np.zeros((2, self.n_curves, n_bins), np.int64), np.zeros((2, n_counters), np.int64)
            for b in todo:
                first, last = b * N_COLUMNS, min(len(self), (b + 1) * N_COLUMNS)
                count_block(self.blocks[b], first, last, self.layout, windows, everything, coarse, fine)
            return coarse, fine

        threads = min(self.threads, len(self.blocks))
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(work, range(threads)))
        coarse, fine = results[0]
        for more_coarse, more_fine in results[1:]:
            coarse += more_coarse
            fine += more_fine
        for kind, weight in enumerate((self.target_weight, self.nontarget_weight)):
            curves = self.source_curve[weight > 0]
            coarse[kind, BALANCED] = weight[weight > 0] @ coarse[kind, curves]
        return coarse, fine


def crossings(pairs: Pairs, wanted: Sequence[int]) -> tuple[dict[int, Crossed], np.ndarray]:
    """Where the `wanted` curves cross, those that have trials of both kinds; and the coarse counts of all curves.

    The counts [2, C, bins] are of targets and nontargets in equal bins over -1 ... 1.
    """
    edges = bin_edges(_n_bins(pairs))
    guesses = _guesses(pairs, wanted, edges)
    windows = _windows(guesses, pairs.n_curves, edges)
    coarse, fine = pairs.count(windows, everything=True, n_bins=len(edges) - 1)
    searches = {curve: _Search(coarse[:, curve].sum(axis=1)) for curve in wanted if _both(coarse[:, curve])}
    for curve, search in searches.items():
        search.narrow(coarse[:, curve], edges)
        low, high = guesses.get(curve, (0, 0))
        if low <= search.low and search.high <= high:  # every key of a guessed window has its own counter
            start = int(windows.offset[curve]) + search.low - low
            search.narrow(fine[:, start : start + search.high - search.low], np.arange(search.low, search.high + 1))
    while pending := {curve: search for curve, search in searches.items() if search.crossed is None}:
        intervals = {curve: (search.low, search.high) for curve, search in pending.items()}
        windows = _windows(intervals, pairs.n_curves, edges, _most_counters(pairs, len(pending)))
        _, fine = pairs.count(windows, everything=False, n_bins=len(edges) - 1)
        for curve, search in pending.items():
            step = 1 << int(windows.shift[curve])
            keys = np.append(np.arange(search.low, search.high, step), search.high)
            start = int(windows.offset[curve])
            search.narrow(fine[:, start : start + len(keys) - 1], keys)
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

    def narrow(self, counts: np.ndarray, keys: np.ndarray) -> None:
        """Choose the interval in which the curve crosses, from the trials [2, I] in the intervals between `keys`."""
        below = self.below[:, None] + np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
        found = crossing(*_rates(below, self.totals))
        self.low, self.high = int(keys[found.end - 1]), int(keys[found.end])
        self.below = below[:, found.end - 1]
        if self.high == self.low + 1:
            self.crossed = Crossed(found.eer, threshold_at(value_of(self.low), found))


def _rates(below: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa) of thresholds that have `below` [2, I] of the `totals` [2] targets and nontargets below them."""
    return below[0] / totals[0], (totals[1] - below[1]) / totals[1]


def _both(counts: np.ndarray) -> bool:
    """Whether a curve [2, bins] has trials of both kinds."""
    return bool(counts.any(axis=1).all())


def _guesses(pairs: Pairs, wanted: Sequence[int], edges: np.ndarray) -> dict[int, tuple[int, int]]:
    """The keys (low, high) between which each wanted curve may cross, from a sample of the utterances."""
    if len(pairs) < SAMPLE_FROM:
        return {}
    sample = pairs.every(len(pairs) // SAMPLE_SIZE)
    coarse, _ = sample.count(_windows({}, pairs.n_curves, edges), everything=True, n_bins=len(edges) - 1)
    most = _most_counters(pairs, len(wanted))
    guesses = {}
    for curve in wanted:
        if not _both(coarse[:, curve]):
            continue
        below = np.pad(np.cumsum(coarse[:, curve], axis=1), ((0, 0), (1, 0)))
        p_miss, p_fa = _rates(below, below[:, -1])
        end = crossing(p_miss, p_fa).end
        gap = np.abs(p_miss - p_fa)
        near = np.flatnonzero(gap <= SLACK)
        first, last = min([end - 1, *near]), max([end, *near])
        while last > first and edges[last] - edges[first] > most:
            if gap[first] > gap[last]:
                first += 1
            else:
                last -= 1
        guesses[curve] = int(edges[first]), int(edges[last])
    return guesses


def _windows(intervals: dict[int, tuple[int, int]], n_curves: int, edges: np.ndarray, most: int = 1 << 32) -> Windows:
    """Windows on the keys low ... high - 1 of some curves, with at most `most` counters each."""
    low, size, shift = (np.zeros(n_curves, np.uint32) for _ in range(3))
    for curve, (start, end) in intervals.items():
        low[curve], size[curve] = start, end - start
        while -(-(end - start) >> int(shift[curve])) > most:
            shift[curve] += 1
    offset = np.concatenate([[0], np.cumsum(_counters(size, shift))[:-1]])
    first_bin, last_bin = (
        np.clip(np.searchsorted(edges, keys, "right") - 1, 0, len(edges) - 2)
        for keys in (low.astype(np.int64), low.astype(np.int64) + size - 1)
    )
    return Windows(low, size, shift, offset, first_bin, last_bin)


def _counters(size: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """How many counters each window needs."""
    return -(-size.astype(np.int64) >> shift.astype(np.int64))


def _most_counters(pairs: Pairs, n_windows: int) -> int:
    return max(2, FINE_BYTES // (2 * 8 * pairs.threads * max(1, n_windows)))


def _n_bins(pairs: Pairs) -> int:
    """As many bins as fit, a power of two."""
    n_bins = N_BINS
    while n_bins > MIN_BINS and 2 * 8 * n_bins * pairs.n_curves * pairs.threads > COARSE_BYTES:
        n_bins //= 2
    return n_bins


def bin_of(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of float32 scores, of `n_bins` equal ones over -1 ... 1; rises with the score. As `_to_bins` does it."""
    return np.clip((scores + np.float32(1)) * np.float32(n_bins // 2), 0, n_bins - 1).astype(np.int64)


def value_of(key: np.ndarray | int) -> np.ndarray:
    """The float32 that has a key; keys rise with the floats."""
    keys = np.asarray(key, np.uint32)
    return np.where(keys >> 31 == 1, keys & np.uint32(0x7FFF_FFFF), ~keys).astype(np.uint32).view(np.float32)


def bin_edges(n_bins: int) -> np.ndarray:
    """[n_bins + 1] the first key of each bin, and the end of the last: found by bisection, so with no rounding."""
    low = np.full(n_bins + 1, FIRST_KEY, np.int64)
    high = np.full(n_bins + 1, LAST_KEY, np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = bin_of(value_of(middle), n_bins) >= np.arange(n_bins + 1)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.concatenate([[FIRST_KEY], high[1:]])


def _packed(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows [N + padding, D + padding] and, of the same vectors, blocks [N / N_COLUMNS, D + padding, N_COLUMNS]."""
    n, dim = vectors.shape
    padded_dim, n_blocks = -(-dim // 4) * 4, -(-n // N_COLUMNS)
    rows = np.zeros((n_blocks * N_COLUMNS, padded_dim), np.float32)
    rows[:n, :dim] = vectors
    blocks = rows.reshape(n_blocks, N_COLUMNS, padded_dim).transpose(0, 2, 1)
    return rows, np.ascontiguousarray(blocks)
