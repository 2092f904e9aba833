"""The exact EER over all pairs of a set, for many curves at once, in bounded memory.

A curve is a selection of trials: all of them, those of one source, ... Its EER follows from how many target and
nontarget trials lie below, at, and above one score, the one at which P_miss reaches P_fa. That score is found as a
radix sort would find it, without holding the scores: a pass over all pairs counts them in equal bins over -1 ... 1,
the bin in which a curve crosses is counted again in finer ones, until a bin holds a single float32.

Where only the pooled EER is wanted, the second pass is mostly spared: a sample of the utterances tells about where
the curve crosses, and the first pass counts a window around there finely at once. A wrong guess costs time alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from synthprint.metrics import crossing, threshold_at
from synthprint.pair_kernels import BALANCED, N_COLUMNS, POOLED, Layout, Windows, count_block

N_BINS = 4096
MIN_BINS = 64
COARSE_BYTES = 128 << 20  # for the bins of all threads, at most
FINE_BYTES = 128 << 20  # for the windows of all threads, at most
MOST_COUNTERS = 1 << 20  # for a window
WEIGHT = 1 << 60  # of all trials of a kind on the source-balanced curve: whole numbers add up alike in any order
SAMPLE_FROM = 16_384  # utterances; two passes over fewer take no time
SAMPLE_SIZE = 4_096
SLACK = 0.01  # the window holds what is this close to P_miss = P_fa in the sample
CACHE_LINE = 64  # bytes
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
        source_curve: [number of sources] the curve of the trials of a source, or -1.
        n_curves: `POOLED` and `BALANCED` (over the sources that have a curve), then those of quadrants and sources.
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
        self.source_curve, self.n_curves, self.threads = source_curve, n_curves, threads
        order = np.lexsort((quadrant, source))
        self.source, self.quadrant = source[order], quadrant[order]
        rows, self.blocks = packed(vectors[order])
        changes = np.flatnonzero((np.diff(self.source) != 0) | (np.diff(self.quadrant) != 0)) + 1
        starts = np.concatenate([[0], changes, [len(source)]])
        self.weights = self._weights()
        cell_source, cell_quadrant = self.source[starts[:-1]], self.quadrant[starts[:-1]]
        self.layout = Layout(
            rows=rows,
            starts=starts,
            source=cell_source,
            source_curve=source_curve[cell_source],
            quadrant_curve=np.where(cell_quadrant >= 0, cell_quadrant + BALANCED + 1, -1),
            target_weight=self.weights[0, cell_source],
            nontarget_weight=self.weights[1, cell_source],
        )

    def __len__(self) -> int:
        return len(self.source)

    def _weights(self) -> np.ndarray:
        """[2, sources] what a target and a nontarget trial of each source weighs on the source-balanced curve."""
        size = np.bincount(self.source, minlength=len(self.source_curve))
        trials = np.stack([size * (size - 1) // 2, size * (len(self) - size)])
        balanced = (self.source_curve >= 0) & trials.all(axis=0)
        return np.where(balanced, WEIGHT // (max(1, balanced.sum()) * np.maximum(1, trials)), 0)

    def every(self, step: int) -> Pairs:
        """The pairs of every `step`-th utterance, with the same curves."""
        chosen = slice(step // 2, len(self), step)
        vectors, source, quadrant = self.layout.rows[: len(self)][chosen], self.source[chosen], self.quadrant[chosen]
        return Pairs(vectors, source, quadrant, self.source_curve, self.n_curves, self.threads)

    def count(self, windows: Windows, everything: bool, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
        """One pass over the pairs: `coarse` [2, C, n_bins] and `fine` [2, counters] of `count_block`.

        With `everything`, `coarse` is complete, `BALANCED` included.
        """
        n_counters = int(_n_counters(windows.size, windows.shift).sum())
        todo = iter(range(len(self.blocks) - 1, -1, -1))  # the longest first; the threads take them in turn

        def work(_: int) -> tuple[np.ndarray, np.ndarray]:
            coarse, fine = np.zeros((2, self.n_curves, n_bins), np.int64), np.zeros((2, n_counters), np.int64)
            for b in todo:
                first, last = b * N_COLUMNS, min(len(self), (b + 1) * N_COLUMNS)
                count_block(self.blocks[b], first, last, self.layout, windows, everything, coarse, fine)
            return coarse, fine

        n_threads = min(self.threads, len(self.blocks))
        with ThreadPoolExecutor(n_threads) as pool:
            (coarse, fine), *others = pool.map(work, range(n_threads))
        for more_coarse, more_fine in others:
            coarse += more_coarse
            fine += more_fine
        for kind, weight in enumerate(self.weights):
            coarse[kind, BALANCED] = weight[weight > 0] @ coarse[kind, self.source_curve[weight > 0]]
        return coarse, fine


def crossings(pairs: Pairs, wanted: Sequence[int]) -> tuple[dict[int, Crossed], np.ndarray]:
    """Where the `wanted` curves cross, those that have trials of both kinds; and the counts of all curves.

    The counts [2, C, bins] are of target and nontarget trials in equal bins over -1 ... 1.
    """
    edges = bin_edges(_n_bins(pairs))
    guess = _guess(pairs, edges) if list(wanted) == [POOLED] else (0, 0)
    windows = _windows({POOLED: guess}, pairs, edges)
    coarse, fine = pairs.count(windows, everything=True, n_bins=len(edges) - 1)
    searches = {curve: _Search(coarse[:, curve].sum(axis=1)) for curve in wanted if _has_both(coarse[:, curve])}
    for curve, search in searches.items():
        search.narrow(coarse[:, curve], edges)
        if curve == POOLED and guess[0] <= search.low and search.high <= guess[1]:
            start, end = search.low - guess[0], search.high - guess[0]  # a guess has a counter for every key
            search.narrow(fine[:, start:end], np.arange(search.low, search.high + 1))
    while pending := {curve: search for curve, search in searches.items() if search.crossed is None}:
        windows = _windows({curve: (search.low, search.high) for curve, search in pending.items()}, pairs, edges)
        _, fine = pairs.count(windows, everything=False, n_bins=len(edges) - 1)
        for curve, search in pending.items():
            keys = np.append(np.arange(search.low, search.high, 1 << int(windows.shift[curve])), search.high)
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
        found = crossing(*rates(below, self.totals))
        self.low, self.high = int(keys[found.end - 1]), int(keys[found.end])
        self.below = below[:, found.end - 1]
        if self.high == self.low + 1:
            self.crossed = Crossed(found.eer, threshold_at(value_of(np.array([self.low]))[0], found))


def rates(below: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P_miss, P_fa) of thresholds that have `below` [2, I] of the `totals` [2] targets and nontargets below them."""
    return below[0] / totals[0], (totals[1] - below[1]) / totals[1]


def _has_both(counts: np.ndarray) -> bool:
    """Whether a curve [2, bins] has trials of both kinds."""
    return bool(counts.any(axis=1).all())


def _guess(pairs: Pairs, edges: np.ndarray) -> tuple[int, int]:
    """The keys (low, high) between which the pooled curve probably crosses, from a sample; (0, 0) for no guess."""
    if len(pairs) < SAMPLE_FROM:
        return 0, 0
    sample = pairs.every(len(pairs) // SAMPLE_SIZE)
    coarse, _ = sample.count(_windows({}, sample, edges), everything=True, n_bins=len(edges) - 1)
    if not _has_both(coarse[:, POOLED]):
        return 0, 0
    below = np.pad(np.cumsum(coarse[:, POOLED], axis=1), ((0, 0), (1, 0)))
    p_miss, p_fa = rates(below, below[:, -1])
    gap, end = np.abs(p_miss - p_fa), crossing(p_miss, p_fa).end
    near = np.flatnonzero(gap <= SLACK)
    first, last = min([end - 1, *near]), max([end, *near])
    while edges[last] - edges[first] > _most_counters(pairs, 1):  # let go of what is less likely
        first, last = (first + 1, last) if gap[first] > gap[last] else (first, last - 1)
    return int(edges[first]), int(edges[last])


def _most_counters(pairs: Pairs, n_windows: int) -> int:
    """How many counters each window may have."""
    return max(2, min(MOST_COUNTERS, FINE_BYTES // (2 * 8 * pairs.threads * max(1, n_windows))))


def _windows(intervals: Mapping[int, tuple[int, int]], pairs: Pairs, edges: np.ndarray) -> Windows:
    """Windows on the keys low ... high - 1 of some curves, with as many counters as the memory for them allows."""
    most = _most_counters(pairs, len(intervals))
    low, size, shift = (np.zeros(pairs.n_curves, np.uint32) for _ in range(3))
    for curve, (start, end) in intervals.items():
        low[curve], size[curve] = start, end - start
        while _n_counters(size[curve], shift[curve]) > most:
            shift[curve] += 1
    offset = np.append(0, np.cumsum(_n_counters(size, shift))[:-1])
    last = np.where(size > 0, low + size - np.uint32(1), low)
    first_bin, last_bin = (
        np.clip(np.searchsorted(edges, keys, "right") - 1, 0, len(edges) - 2) for keys in (low, last)
    )
    return Windows(low, size, shift, offset, first_bin, last_bin)


def _n_counters(size: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """How many counters windows of `size` keys need, 2**shift keys each."""
    return -(-size.astype(np.int64) >> shift.astype(np.int64))


def _n_bins(pairs: Pairs) -> int:
    """As many bins as the memory for them allows, a power of two."""
    n_bins = N_BINS
    while n_bins > MIN_BINS and 2 * 8 * n_bins * pairs.n_curves * pairs.threads > COARSE_BYTES:
        n_bins //= 2
    return n_bins


def bin_of(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of float32 scores, of `n_bins` equal ones over -1 ... 1. As `_to_bins` in pair_kernels.py does it."""
    return np.clip((scores + np.float32(1)) * np.float32(n_bins // 2), 0, n_bins - 1).astype(np.int64)


def value_of(keys: np.ndarray) -> np.ndarray:
    """The float32 numbers that have these keys: the inverse of `_key` in pair_kernels.py."""
    bits = np.where(keys >> 31 == 1, keys & 0x7FFF_FFFF, ~keys & 0xFFFF_FFFF)
    return bits.astype(np.uint32).view(np.float32)


def bin_edges(n_bins: int) -> np.ndarray:
    """[n_bins + 1] the first key of each bin, then the end: by bisection, so that rounding cannot shift one."""
    low, high = np.full(n_bins + 1, FIRST_KEY), np.full(n_bins + 1, LAST_KEY)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = bin_of(value_of(middle), n_bins) >= np.arange(n_bins + 1)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.append(FIRST_KEY, high[1:])


def packed(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [N, D] as padded rows [N', D'], and as blocks [N' / N_COLUMNS, D', N_COLUMNS] of columns."""
    n, dim = vectors.shape
    padded_dim, n_blocks = -(-dim // 4) * 4, -(-n // N_COLUMNS)
    rows = np.zeros((n_blocks * N_COLUMNS, padded_dim), np.float32)
    rows[:n, :dim] = vectors
    blocks = _aligned((n_blocks, padded_dim, N_COLUMNS))
    blocks[:] = rows.reshape(n_blocks, N_COLUMNS, padded_dim).transpose(0, 2, 1)
    return rows, blocks


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Float32 that starts on a cache line: vector loads across two lines cost a quarter of the products' speed."""
    n_bytes = 4 * int(np.prod(shape))
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + n_bytes].view(np.float32).reshape(shape)
