"""The compiled inner loops over all pairs of utterances (numba): cosines of a block, and what is counted of them.

A score depends on its two vectors alone: products are added in the order of the dimensions, in float32 with fused
multiply-add where the machine has it, whatever the blocks and the threads. So every pass over the pairs, and every
order of the utterances, sees the same bits.
"""

# Long: compiled loops that share their structures, and that numba inlines and caches per file.

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synthprint.errors import MissingDependency

try:
    from numba import float32, int32, intp, njit, uint32, uint64
except ModuleNotFoundError as error:
    raise MissingDependency.extra("numba", "evaluate") from error

N_COLUMNS = 256  # of a block: its vectors stay in the L2 cache while all rows pass by
N_ROWS = 16  # of a tile, whose scores are made before they are counted: a block and the histograms share the L1 cache
HITS = 4096  # scores in wanted bins that are listed before they are dealt with
TARGET, NONTARGET = 0, 1
POOLED, BALANCED = 0, 1  # the first two curves; those of quadrants and of sources follow
ALL, TARGETS, SAMPLED, SOUGHT = range(4)  # which pairs a pass visits: see `count_block`


class CellLayout(NamedTuple):
    """N utterances in P cells; a cell is a run of utterances that count towards the same curves.

    Attributes:
        vectors: [N + padding, D] float32 of length one, zeros behind them; D is a multiple of 4.
        starts: [P + 1] first utterance of each cell, then N.
        source: [P] which source.
        source_curve, quadrant_curve: [P] which curve, or -1.
        target_weight, nontarget_weight: [P] what a trial weighs on the source-balanced curve.
    """

    vectors: np.ndarray
    starts: np.ndarray
    source: np.ndarray
    source_curve: np.ndarray
    quadrant_curve: np.ndarray
    target_weight: np.ndarray
    nontarget_weight: np.ndarray


class KeyWindows(NamedTuple):
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


class Cells(NamedTuple):
    """The cells of a block of columns, and what pairs of them with one cell of rows are.

    Attributes:
        cell: [C] which cell.
        start, end: [C] its columns in the block.
        kind, weight: [C] `TARGET` or `NONTARGET`, and what a pair weighs on the source-balanced curve.
        curves: [C, 5] which curves a pair counts towards; -1 for none.
        low, size: [C, 5] their windows, of size 0 where there is none.
        many: [C] whether pairs are so many that they are counted in a histogram of their own first.
        visited, sought: [C] whether its pairs are counted at all, and whether any could lie in a window.
    """

    cell: np.ndarray
    start: np.ndarray
    end: np.ndarray
    kind: np.ndarray
    curves: np.ndarray
    low: np.ndarray
    size: np.ndarray
    weight: np.ndarray
    many: np.ndarray
    visited: np.ndarray
    sought: np.ndarray


class WindowScores(NamedTuple):
    """The scores of a block that lie in a window, in runs that share the cell of their rows.

    Attributes:
        keys: [K] uint32, what rises with the score.
        columns: [K] uint8, the cell of its column, from the block's first.
        rows: [R] the cell of each run's rows.
        ends: [R] where each run ends.
    """

    keys: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    ends: np.ndarray


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
def count_block(block, first, last, rows, columns, visit, windows, scores, coarse, fine, store):  # type: ignore[no-untyped-def]
    """Count the pairs of the utterances `first` ... `last` - 1 of `columns`, whose vectors are `block`, with `rows`.

    Args:
        rows: of which each column meets those before it; with `SAMPLED`, all.
        visit: `ALL`, `TARGETS`, `SAMPLED` (nontargets) or `SOUGHT` (the pairs that could lie in a window).
        scores: [N_ROWS, N_COLUMNS] room for them, on a cache line.
        coarse: [2, C, bins] int64, number of target and nontarget trials in each bin of each curve; `BALANCED` is
            left out. Added to.
        fine: [2, counters] int64, the same for the windows, weighted for `BALANCED`. Added to.
        store: where there is room in it, scores in a window are kept there instead. Filled from its beginning.

    Returns:
        How many scores were kept, one more than there is room for where there were too many, and in how many runs.
    """
    cells = _cells(first, last, columns)
    n_bins, n_rows = coarse.shape[2], rows.starts[-1] if visit == SAMPLED else last
    counts, of_columns = np.zeros((2, len(cells.start), n_bins), np.uint32)
    of_rows = np.zeros(n_bins, np.uint32)
    wanted = np.zeros((len(cells.start), n_bins), np.uint8)
    keys, key_cells = np.empty(HITS + N_COLUMNS, np.uint32), np.empty(HITS + N_COLUMNS, np.uint8)
    scored = np.zeros(2, np.int64)  # the rows whose scores are at hand: from, to
    n_kept, n_runs = 0, 0
    first_cell = np.searchsorted(rows.source, columns.source[cells.cell[0]]) if visit == TARGETS else 0
    for p in range(first_cell, np.searchsorted(rows.starts, n_rows, "left")):
        _relate(p, rows, columns, windows, cells)
        if not _choose(rows.starts[p + 1] - rows.starts[p], visit, windows, cells, wanted):
            continue
        row, end_row = rows.starts[p], min(rows.starts[p + 1], n_rows)
        while row < end_row:
            row, n = _count_rows(
                row, end_row, rows.vectors, block, scores, scored, n_rows if visit in (ALL, SAMPLED) else end_row,
                first, visit == SAMPLED,
                cells.start, cells.end, cells.kind, cells.curves, cells.many, cells.visited, cells.sought,
                counts, wanted, coarse, keys, key_cells,
            )  # fmt: skip
            if len(store.keys):
                n_kept = _keep(keys[:n], key_cells, cells, store, n_kept)
            else:
                _look(keys[:n], key_cells, cells, windows, fine)
        _collect(cells, counts, of_rows, of_columns, coarse)
        if n_kept > (store.ends[n_runs - 1] if n_runs else 0):
            store.rows[n_runs], store.ends[n_runs] = p, n_kept
            n_runs += 1
    _collect_columns(cells, of_columns, columns, coarse)
    return n_kept, n_runs


@njit(nogil=True, cache=True, error_model="numpy")
def look_again(store, first, last, layout, windows, fine):  # type: ignore[no-untyped-def]
    """Count what the `store` has of the utterances `first` ... `last` - 1 in the windows: as `count_block`."""
    cells, start = _cells(first, last, layout), 0
    for run in range(len(store.rows)):
        _relate(store.rows[run], layout, layout, windows, cells)
        end = store.ends[run]
        _look(store.keys[start:end], store.columns[start:end], cells, windows, fine)
        start = end


@njit(nogil=True, cache=True, error_model="numpy")
def _cells(first, last, columns):  # type: ignore[no-untyped-def]
    """Room for the cells of a block, and where they are."""
    cell = np.searchsorted(columns.starts, first, "right") - 1
    n = np.searchsorted(columns.starts, last, "left") - cell
    return Cells(
        cell + np.arange(n),
        np.maximum(columns.starts[cell : cell + n] - first, 0),
        np.minimum(columns.starts[cell + 1 : cell + n + 1], last) - first,
        np.zeros(n, np.int64),
        np.zeros((n, 5), np.int64),
        np.zeros((n, 5), np.uint32),
        np.zeros((n, 5), np.uint32),
        np.zeros(n, np.int64),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _relate(p, rows, columns, windows, cells):  # type: ignore[no-untyped-def]
    """What pairs of rows in cell `p` with the block's columns are: of which kind, and what they count towards."""
    for c in range(len(cells.cell)):
        q = cells.cell[c]
        cells.curves[c, 0], cells.curves[c, 1], cells.curves[c, 2] = POOLED, BALANCED, rows.source_curve[p]
        cells.curves[c, 3] = rows.quadrant_curve[p] if rows.quadrant_curve[p] == columns.quadrant_curve[q] else -1
        if rows.source[p] == columns.source[q]:
            cells.kind[c], cells.curves[c, 4] = TARGET, -1
            cells.weight[c] = rows.target_weight[p]
        else:
            cells.kind[c], cells.curves[c, 4] = NONTARGET, columns.source_curve[q]
            cells.weight[c] = rows.nontarget_weight[p] + columns.nontarget_weight[q]
        for i in range(5):
            curve = cells.curves[c, i]
            cells.low[c, i] = windows.low[curve]
            cells.size[c, i] = windows.size[curve] if curve >= 0 else 0


@njit(nogil=True, cache=True, error_model="numpy")
def _choose(n_rows, visit, windows, cells, wanted):  # type: ignore[no-untyped-def]
    """For so many rows, which of the block's cells are visited, and which bins are wanted. Whether any is visited."""
    for c in range(len(cells.cell)):
        cells.many[c] = n_rows * (cells.end[c] - cells.start[c]) >= wanted.shape[1]
        cells.sought[c] = cells.size[c].any()
        if cells.many[c]:
            wanted[c] = 0
            for i in range(5):
                if cells.size[c, i] > 0:
                    curve = cells.curves[c, i]
                    wanted[c, windows.first_bin[curve] : windows.last_bin[curve] + 1] = 1
        cells.visited[c] = (
            visit == ALL
            or (visit == TARGETS and cells.kind[c] == TARGET)
            or (visit == SAMPLED and cells.kind[c] == NONTARGET)
            or (visit == SOUGHT and cells.sought[c])
        )
    return cells.visited.any()


@njit(nogil=True, cache=True, error_model="numpy")
def _count_rows(  # type: ignore[no-untyped-def]  # noqa: PLR0912 - a call would cost more than a branch
    row, end_row, vectors, block, scores, scored, end_of_scores, first, sampled,
    starts, ends, kind, curves, many, visited, sought, counts, wanted, coarse, keys, key_cells,
):  # fmt: skip
    """Count the rows from `row` on until the scores in wanted bins are `HITS`; list the keys of these. The hot loop.

    Its arguments are bare arrays and it calls next to nothing: numba counts references at every call.

    Returns:
        The row to go on with, and the number of keys.
    """
    # Long: a call would cost more than the line that it saves.
    n_bins, n, bits = wanted.shape[1], uint64(0), scores.view(np.uint32)
    one, scale, top = float32(1), float32(n_bins // 2), float32(n_bins - 1)
    bins, hits = np.empty(N_COLUMNS, np.uint32), np.empty(N_COLUMNS + 1, np.uint16)
    while row < end_row and n <= HITS:
        if not scored[0] <= row < scored[1]:
            scored[0] = row // 4 * 4
            scored[1] = min(scored[0] + N_ROWS, end_of_scores)
            for four in range(scored[0], scored[1], 4):
                score_rows(vectors, four, block, scores[four - scored[0] : four - scored[0] + 4])
        r = row - scored[0]
        for j in range(N_COLUMNS):  # as `bin_index` in bins.py
            bins[j] = uint32(int32(max(float32(0), min(top, (scores[r, j] + one) * scale))))
        earliest = 0 if sampled else row + 1 - first
        for c in range(len(starts)):
            start, end = (
                uint64(max(starts[c], earliest)),
                uint64(ends[c]),
            )  # unsigned: no index is looked at for its sign
            if start >= end or not visited[c]:
                continue
            if many[c]:  # into a small histogram, which stays in the L1 cache
                found = uint64(0)
                for j in range(start, end):
                    b = uint64(bins[j])
                    counts[c, b] += uint32(1)
                    hits[found] = j  # overwritten where it is none: a branch would be guessed wrong too often
                    found += uint64(wanted[c, b])
                for h in range(found):
                    keys[n] = float_key(bits[r, hits[h]])
                    key_cells[n] = c
                    n += uint64(1)
                continue
            for curve in curves[c]:
                if curve >= 0 and curve != BALANCED:
                    for j in range(start, end):
                        coarse[kind[c], curve, uint64(bins[j])] += 1
            if sought[c]:
                for j in range(start, end):
                    keys[n] = float_key(bits[r, j])
                    key_cells[n] = c
                    n += uint64(1)
        row += 1
    return row, intp(n)


@njit(nogil=True, cache=True, error_model="numpy")
def _collect(cells, counts, of_rows, of_columns, coarse):  # type: ignore[no-untyped-def]  # noqa: PLR0912
    """Add the small histograms to the curves of the rows and to sums for those of the columns, and clear them."""
    n_bins, row_curve = counts.shape[1], -1
    for c in range(len(cells.cell)):
        if not (cells.many[c] and cells.visited[c]):
            continue
        if cells.kind[c] == TARGET:
            for curve in cells.curves[c]:
                if curve >= 0 and curve != BALANCED:
                    for b in range(n_bins):
                        coarse[TARGET, curve, b] += counts[c, b]
        else:
            row_curve = cells.curves[c, 2]
            for b in range(n_bins):
                of_rows[b] += counts[c, b]
                of_columns[c, b] += counts[c, b]
            quadrant = cells.curves[c, 3]
            if quadrant >= 0:
                for b in range(n_bins):
                    coarse[NONTARGET, quadrant, b] += counts[c, b]
        for b in range(n_bins):
            counts[c, b] = 0
    if row_curve >= 0:
        for b in range(n_bins):
            coarse[NONTARGET, row_curve, b] += of_rows[b]
    of_rows[:] = 0


@njit(nogil=True, cache=True, error_model="numpy")
def _collect_columns(cells, of_columns, columns, coarse):  # type: ignore[no-untyped-def]
    """Add the sums over all rows to the curves of the columns."""
    for c in range(len(cells.cell)):
        for curve in (POOLED, columns.source_curve[cells.cell[c]]):
            if curve >= 0:
                for b in range(of_columns.shape[1]):
                    coarse[NONTARGET, curve, b] += of_columns[c, b]


@njit(nogil=True, cache=True, error_model="numpy")
def _keep(keys, key_cells, cells, store, n_kept):  # type: ignore[no-untyped-def]
    """Keep the scores that lie in a window; how many are kept now, as `count_block` returns it."""
    low, size, many, kept_keys, kept_cells = cells.low, cells.size, cells.many, store.keys, store.columns
    if n_kept + len(keys) > len(kept_keys):
        return len(kept_keys) + 1
    for k in range(len(keys)):
        c = key_cells[k]
        kept_keys[n_kept], kept_cells[n_kept] = keys[k], c
        n_kept += 1 if many[c] or _is_inside(keys[k], c, low, size) else 0
    return n_kept


@njit(nogil=True, cache=True, error_model="numpy")
def _look(keys, key_cells, cells, windows, fine):  # type: ignore[no-untyped-def]
    """Count scores in the windows that hold them."""
    shift, offset = windows.shift, windows.offset
    curves, low, size, kind, weight = cells.curves, cells.low, cells.size, cells.kind, cells.weight
    for k in range(len(keys)):
        c = key_cells[k]
        if not _is_inside(keys[k], c, low, size):
            continue
        for i in range(5):
            above, curve = uint32(keys[k] - low[c, i]), curves[c, i]
            if above < size[c, i]:
                fine[kind[c], offset[curve] + intp(above >> shift[curve])] += weight[c] if curve == BALANCED else 1


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _is_inside(key, c, low, size):  # type: ignore[no-untyped-def]
    """Whether a score lies in any window of a cell."""
    return (
        (uint32(key - low[c, 0]) < size[c, 0])
        | (uint32(key - low[c, 1]) < size[c, 1])
        | (uint32(key - low[c, 2]) < size[c, 2])
        | (uint32(key - low[c, 3]) < size[c, 3])
        | (uint32(key - low[c, 4]) < size[c, 4])
    )


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def float_key(bits):  # type: ignore[no-untyped-def]
    """A number that rises with the float32 that has these bits; the same for 0.0 and -0.0."""
    if bits == uint32(0x80000000):
        return uint32(0x80000000)
    return uint32(~bits) if bits >> uint32(31) else uint32(bits | uint32(0x80000000))
