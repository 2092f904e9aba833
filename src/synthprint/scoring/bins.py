"""Scores as whole numbers: the bins of equal width they are counted in, and keys, one for each float32.

A key rises with its float32, so that the scores of a bin, or of any interval, are a range of keys. A window is such a
range, on a curve.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synthprint.scoring.kernels import KeyWindows

FIRST_KEY, LAST_KEY = 0x3FFF_FFFF, 0xC000_0000  # of -2 and 2: no cosine is beyond them


def bin_index(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """The bin of float32 scores, of `n_bins` equal ones over -1 ... 1. As `_count_rows` in kernels.py does it."""
    return np.clip((scores + np.float32(1)) * np.float32(n_bins // 2), 0, n_bins - 1).astype(np.int64)


def key_values(keys: np.ndarray) -> np.ndarray:
    """The float32 numbers that have these keys: the inverse of `float_key` in kernels.py."""
    bits = np.where(keys >> 31 == 1, keys & 0x7FFF_FFFF, ~keys & 0xFFFF_FFFF)
    return bits.astype(np.uint32).view(np.float32)


def bin_edges(n_bins: int) -> np.ndarray:
    """[n_bins + 1] the first key of each bin, then the end: by bisection, so that rounding cannot shift one."""
    low, high = np.full(n_bins + 1, FIRST_KEY), np.full(n_bins + 1, LAST_KEY)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = bin_index(key_values(middle), n_bins) >= np.arange(n_bins + 1)
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.append(FIRST_KEY, high[1:])


def windows_on(intervals: Mapping[int, tuple[int, int]], n_curves: int, edges: np.ndarray, most: int) -> KeyWindows:
    """KeyWindows on the keys low ... high - 1 of some curves, of `most` counters each, and the bins they reach into."""
    low, size, shift = (np.zeros(n_curves, np.uint32) for _ in range(3))
    for curve, (start, end) in intervals.items():
        low[curve], size[curve] = start, end - start
        while _n_counters(size[curve], shift[curve]) > most:
            shift[curve] += 1
    offset = np.append(0, np.cumsum(_n_counters(size, shift)))
    last = np.where(size > 0, low + size - np.uint32(1), low)
    first_bin, last_bin = (
        np.clip(np.searchsorted(edges, keys, "right") - 1, 0, len(edges) - 2) for keys in (low, last)
    )
    return KeyWindows(low, size, shift, offset, first_bin, last_bin)


def _n_counters(size: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """How many counters windows of `size` keys need, 2**shift keys each."""
    return -(-size.astype(np.int64) >> shift.astype(np.int64))
