"""The compiled inner loops over all pairs of utterances (numba): cosines of a block, and what is counted of them.

A score depends on its two vectors alone: products are added in the order of the dimensions, in float32 with fused
multiply-add where the machine has it, whatever the blocks and the threads. So every pass over the pairs, and every
order of the utterances, sees the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthprint.errors import MissingDependency

try:
    from numba import float32, int32, intp, njit, uint32
except ModuleNotFoundError as error:
    raise MissingDependency.extra("numba", "evaluate") from error

N_COLUMNS = 256  # of a block: its vectors stay in the L2 cache while all rows pass by
TARGET, NONTARGET = 0, 1
POOLED, BALANCED = 0, 1  # the first two curves; those of quadrants and of sources follow


class Layout(NamedTuple):
    """N utterances in P cells; a cell is a run of utterances that count towards the same curves.

    Attributes:
        rows: [N + padding, D] float32 vectors of length one, zeros behind them; D is a multiple of 4.
        starts: [P + 1] first utterance of each cell, then N.
        source: [P] which source.
        source_curve, quadrant_curve: [P] which curve, or -1.
        target_weight, nontarget_weight: [P] what a trial weighs on the source-balanced curve.
    """

    rows: np.ndarray
    starts: np.ndarray
    source: np.ndarray
    source_curve: np.ndarray
    quadrant_curve: np.ndarray
    target_weight: np.ndarray
    nontarget_weight: np.ndarray


class Windows(NamedTuple):
    """For each of C curves, the range of keys that is counted finely; of size 0 where nothing is sought.

    Attributes:
        low, size: [C] uint32, the keys low ... low + size - 1.
        shift: [C] uint32, 2**shift keys share a counter.
        offset: [C] the first counter.
        first_bin, last_bin: [C] the bins that the range reaches into.
    """

    low: np.ndarray
    size: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    first_bin: np.ndarray
    last_bin: np.ndarray


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def score_rows(rows, first, block, scores):  # type: ignore[no-untyped-def]
    """Cosines of rows `first` ... `first` + 3 with the columns of `block` [D, N_COLUMNS]: into `scores` [4, ...]."""
    columns = block.shape[1]
    s0, s1, s2, s3 = scores[0], scores[1], scores[2], scores[3]
    for j in range(columns):
        s0[j] = s1[j] = s2[j] = s3[j] = 0
    # Four by four: each loaded column value is used four times, each sum is loaded and stored once in four.
    for d in range(0, block.shape[0], 4):
        y0, y1, y2, y3 = block[d], block[d + 1], block[d + 2], block[d + 3]
        a0, a1, a2, a3 = rows[first, d], rows[first, d + 1], rows[first, d + 2], rows[first, d + 3]
        b0, b1, b2, b3 = rows[first + 1, d], rows[first + 1, d + 1], rows[first + 1, d + 2], rows[first + 1, d + 3]
        c0, c1, c2, c3 = rows[first + 2, d], rows[first + 2, d + 1], rows[first + 2, d + 2], rows[first + 2, d + 3]
        d0, d1, d2, d3 = rows[first + 3, d], rows[first + 3, d + 1], rows[first + 3, d + 2], rows[first + 3, d + 3]
        for j in range(columns):
            x0, x1, x2, x3 = y0[j], y1[j], y2[j], y3[j]
            s0[j] = s0[j] + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
            s1[j] = s1[j] + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
            s2[j] = s2[j] + c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
            s3[j] = s3[j] + d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@njit(nogil=True, cache=True)
def score_block(rows, first, blocks, scores):  # type: ignore[no-untyped-def]
    """Cosines of the rows from `first` with the columns of all `blocks`: into `scores` [R, N'], R a multiple of 4."""
    for b in range(blocks.shape[0]):
        for four in range(0, scores.shape[0], 4):
            columns = scores[four : four + 4, b * N_COLUMNS : (b + 1) * N_COLUMNS]
            score_rows(rows, first + four, blocks[b], columns)


@njit(nogil=True, cache=True, error_model="numpy")
def count_block(block, first, last, layout, windows, everything, coarse, fine):  # type: ignore[no-untyped-def]
    """Count the pairs of the utterances `first` ... `last` - 1, the columns of `block`, with all before them.

    Args:
        everything: visit all pairs; otherwise only those of cells that a window looks for, and `coarse` is partial.
        coarse: [2, C, bins] int64, number of target and nontarget trials in each bin of each curve; `BALANCED` is
            left out. Added to.
        fine: [2, counters] int64, the same for the windows, weighted for `BALANCED`. Added to.
    """
    rows, starts, n_bins = layout.rows, layout.starts, coarse.shape[2]
    cell = np.searchsorted(starts, first, "right") - 1  # of the first column
    n_cells = np.searchsorted(starts, last, "left") - cell
    many, sought = np.zeros(n_cells, np.bool_), np.zeros(n_cells, np.bool_)
    counts, wanted = np.zeros((n_cells, n_bins), np.uint32), np.zeros((n_cells, n_bins), np.bool_)
    scores, bins = np.empty((4, block.shape[1]), np.float32), np.empty(block.shape[1], np.int32)
    bits, hits = scores.view(np.uint32), np.empty(block.shape[1], np.uint32)
    p, end_of_p, active = -1, 0, False
    for four in range(0, last, 4):
        scored = False
        for i in range(four, min(four + 4, last)):
            if i == end_of_p:
                _collect(p, cell, many, counts, layout, coarse)
                p, end_of_p = p + 1, starts[p + 2]
                _prepare(p, cell, first, last, layout, windows, many, sought, wanted)
                active = everything or bool(sought.any())
            if not active:
                continue
            if not scored:
                score_rows(rows, four, block, scores)
                scored = True
            _to_bins(scores, i - four, n_bins, bins)
            for c in range(n_cells):
                start, end = max(starts[cell + c], first, i + 1) - first, min(starts[cell + c + 1], last) - first
                if start >= end or not (everything or sought[c]):
                    continue
                if many[c]:
                    n = _count_many(bins, bits, i - four, start, end, counts, wanted, c, hits)
                else:
                    n = _count_few(bins, bits, i - four, start, end, p, cell + c, layout, coarse, hits)
                if sought[c] and n > 0:
                    _look(hits[:n], p, cell + c, layout, windows, fine)
    _collect(p, cell, many, counts, layout, coarse)


@njit(nogil=True, cache=True, error_model="numpy")
def _prepare(p, cell, first, last, layout, windows, many, sought, wanted):  # type: ignore[no-untyped-def]
    """For cell `p` and each cell of the block: are there many pairs, is any sought, and in which bins."""
    starts, n_bins = layout.starts, wanted.shape[1]
    for c in range(len(many)):
        q = cell + c
        many[c] = (starts[p + 1] - starts[p]) * (min(starts[q + 1], last) - max(starts[q], first)) >= n_bins
        if many[c]:
            wanted[c] = False
        sought[c] = False
        for curve in _curves(p, q, layout):
            if curve >= 0 and windows.size[curve] > 0:
                sought[c] = True
                if many[c]:
                    wanted[c, windows.first_bin[curve] : windows.last_bin[curve] + 1] = True


@njit(nogil=True, cache=True, error_model="numpy")
def _curves(p, q, layout):  # type: ignore[no-untyped-def]
    """The curves that the pairs of two cells count towards; -1 for none."""
    quadrant = layout.quadrant_curve[p] if layout.quadrant_curve[p] == layout.quadrant_curve[q] else -1
    other = layout.source_curve[q] if layout.source[q] != layout.source[p] else -1
    return POOLED, BALANCED, quadrant, layout.source_curve[p], other


@njit(nogil=True, cache=True, error_model="numpy")
def _to_bins(scores, row, n_bins, bins):  # type: ignore[no-untyped-def]
    """The bin of each score, of `n_bins` equal ones over -1 ... 1: the same as `bin_of` in pairs.py."""
    one, scale, top = float32(1), float32(n_bins // 2), float32(n_bins - 1)
    for j in range(scores.shape[1]):
        bins[j] = int32(max(float32(0), min(top, (scores[row, j] + one) * scale)))


@njit(nogil=True, cache=True, error_model="numpy")
def _count_many(bins, bits, row, start, end, counts, wanted, c, hits):  # type: ignore[no-untyped-def]
    """Count into a small histogram, which stays in the L1 cache; list the scores in wanted bins. The hot loop."""
    n = uint32(0)
    for j in range(start, end):
        b = uint32(bins[j])  # unsigned: numba need not look for negative indices
        counts[c, b] += uint32(1)
        if wanted[c, b]:
            hits[n] = bits[row, j]
            n += uint32(1)
    return n


@njit(nogil=True, cache=True, error_model="numpy")
def _collect(p, cell, many, counts, layout, coarse):  # type: ignore[no-untyped-def]
    """Add the small histograms of cell `p` to the curves, and clear them."""
    for c in range(len(many)):
        if many[c]:
            kind = TARGET if layout.source[p] == layout.source[cell + c] else NONTARGET
            for curve in _curves(p, cell + c, layout):
                if curve >= 0 and curve != BALANCED:
                    for b in range(coarse.shape[2]):
                        coarse[kind, curve, b] += counts[c, b]
            counts[c] = 0


@njit(nogil=True, cache=True, error_model="numpy")
def _count_few(bins, bits, row, start, end, p, q, layout, coarse, hits):  # type: ignore[no-untyped-def]
    """Count straight into the curves; list all scores."""
    kind = TARGET if layout.source[p] == layout.source[q] else NONTARGET
    for curve in _curves(p, q, layout):
        if curve >= 0 and curve != BALANCED:
            for j in range(start, end):
                coarse[kind, curve, uint32(bins[j])] += 1
    for j in range(start, end):
        hits[j - start] = bits[row, j]
    return uint32(end - start)


@njit(nogil=True, cache=True, error_model="numpy")
def _look(hits, p, q, layout, windows, fine):  # type: ignore[no-untyped-def]
    """Count scores, given as their bits, in the windows that hold them."""
    kind = TARGET if layout.source[p] == layout.source[q] else NONTARGET
    for curve in _curves(p, q, layout):
        if curve < 0 or windows.size[curve] == 0:
            continue
        weight = 1
        if curve == BALANCED:
            if kind == TARGET:
                weight = layout.target_weight[p]
            else:
                weight = layout.nontarget_weight[p] + layout.nontarget_weight[q]
        low, size, shift, offset = windows.low[curve], windows.size[curve], windows.shift[curve], windows.offset[curve]
        for bit in hits:
            above = uint32(_key(bit) - low)
            if above < size:
                fine[kind, offset + intp(above >> shift)] += weight


@njit(nogil=True, cache=True, error_model="numpy")
def _key(bits):  # type: ignore[no-untyped-def]
    """A number that rises with the float32 that has these bits; the same for 0.0 and -0.0."""
    if bits >> uint32(31):
        return uint32(~bits) if bits != uint32(0x80000000) else uint32(0x80000000)
    return uint32(bits | uint32(0x80000000))
