"""All pairs of a set of utterances, and the passes that count their scores: in threads, in bounded memory.

Utterances are sorted by source and quadrant; a run that shares both is a cell. All pairs of two cells count towards
the same curves (`search` says what a curve is), so that is looked up once for thousands of pairs. A thread takes
a block of columns at a time, whose vectors stay in its cache while the rows pass by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from synthprint.scoring.bins import bin_edges, windows_on
from synthprint.scoring.kernels import (
    ALL,
    BALANCED,
    N_COLUMNS,
    N_ROWS,
    SAMPLED,
    SOUGHT,
    TARGETS,
    CellLayout,
    KeyWindows,
    WindowScores,
    count_block,
    look_again,
)

N_BINS = 4096
MIN_BINS = 64
COARSE_BYTES = 128 << 20  # for the bins of all threads, at most
WEIGHT = 1 << 60  # of all trials of a kind on the source-balanced curve: whole numbers add up alike in any order
MOST_KEPT = 48 << 20  # scores, of five bytes each
MOST_KEPT_OF_BLOCK = 1 << 20
CACHE_LINE = 64  # bytes


class Pairs:
    """All pairs of N utterances, ready to be counted.

    Args:
        vectors: [N, D] float32 of length one.
        source: [N] index of each utterance's source.
        quadrant: [N] index of each utterance's quadrant, or -1.
        source_curve: [number of sources] the curve of the trials of a source, or -1.
        n_curves: `POOLED` and `BALANCED` (over the sources that have a curve), then those of quadrants and sources.
        threads: how many to use.

    Attributes:
        edges: [bins + 1] the first key of each of the equal bins over -1 ... 1, then the end.
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
        self.edges = bin_edges(self._n_bins())
        order = np.lexsort((quadrant, source))
        self.source, self.quadrant = source[order], quadrant[order]
        rows, self.blocks = packed(vectors[order])
        changes = np.flatnonzero((np.diff(self.source) != 0) | (np.diff(self.quadrant) != 0)) + 1
        starts = np.concatenate([[0], changes, [len(source)]])
        self.weights = self._weights()
        cell_source, cell_quadrant = self.source[starts[:-1]], self.quadrant[starts[:-1]]
        self.layout = CellLayout(
            vectors=rows,
            starts=starts,
            source=cell_source,
            source_curve=source_curve[cell_source],
            quadrant_curve=np.where(cell_quadrant >= 0, cell_quadrant + BALANCED + 1, -1),
            target_weight=self.weights[0, cell_source],
            nontarget_weight=self.weights[1, cell_source],
        )

    def __len__(self) -> int:
        return len(self.source)

    def every(self, step: int) -> Pairs:
        """The pairs of every `step`-th utterance, with the same curves: about as large a part of each cell."""
        chosen = slice(step // 2, len(self), step)
        vectors, source, quadrant = self.layout.vectors[: len(self)][chosen], self.source[chosen], self.quadrant[chosen]
        return Pairs(vectors, source, quadrant, self.source_curve, self.n_curves, self.threads)

    def count(self, windows: KeyWindows) -> tuple[np.ndarray, StoredScores]:
        """All pairs: how many are in each bin of each curve, `coarse` [2, C, bins]; and those that lie in a window."""
        kept = StoredScores()
        return self._pass(self.layout, ALL, windows, kept)[0], kept

    def count_targets(self) -> np.ndarray:
        """The target pairs alone, as `count` does."""
        return self._pass(self.layout, TARGETS, self._nowhere())[0]

    def count_against(self, others: Pairs) -> np.ndarray:
        """The nontarget pairs of other utterances with all of these, as `count` does, but for these sources' curves."""
        rows = others.layout._replace(source_curve=np.full_like(others.layout.source_curve, -1))
        return self._pass(rows, SAMPLED, self._nowhere())[0]

    def count_finely(self, windows: KeyWindows) -> np.ndarray:
        """All pairs that lie in a window: how many are in each counter, `fine` [2, counters]."""
        return self._pass(self.layout, SOUGHT, windows)[1]

    def count_stored(self, stored: StoredScores, windows: KeyWindows) -> np.ndarray:
        """Those that were kept, as `count_finely` does."""

        def work(some: Iterator[int]) -> list[np.ndarray]:
            fine = np.zeros((2, windows.offset[-1]), np.int64)
            for k in some:
                block, scores = stored.blocks[k]
                look_again(scores, *self._columns(block), self.layout, windows, fine)
            return [fine]

        return self._shared(work, range(len(stored.blocks)))[0]

    def _pass(
        self, rows: CellLayout, visit: int, windows: KeyWindows, kept: StoredScores | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`coarse` and `fine` of `count_block`, all blocks together; `coarse` with `BALANCED`, if all are visited."""
        n_counters, room = (0, MOST_KEPT_OF_BLOCK) if kept is not None else (windows.offset[-1], 0)

        def work(some: Iterator[int]) -> list[np.ndarray]:
            coarse = np.zeros((2, self.n_curves, len(self.edges) - 1), np.int64)
            fine, scores = np.zeros((2, n_counters), np.int64), aligned((N_ROWS, N_COLUMNS))
            found = _room(room, len(rows.source))
            for b in some:
                n_kept, n_runs = count_block(
                    self.blocks[b], *self._columns(b), rows, self.layout, visit, windows, scores, coarse, fine, found
                )
                if kept is not None:
                    kept.add(b, found, n_kept, n_runs)
            return [coarse, fine]

        coarse, fine = self._shared(work, range(len(self.blocks) - 1, -1, -1))  # the longest first
        for kind, weight in enumerate(self.weights):
            coarse[kind, BALANCED] = weight[weight > 0] @ coarse[kind, self.source_curve[weight > 0]]
        return coarse, fine

    def _shared(
        self, work: Callable[[Iterator[int]], Sequence[np.ndarray]], items: Sequence[int]
    ) -> Sequence[np.ndarray]:
        """What `work` makes of the items, which the threads take in turn, added up."""
        todo = iter(items)
        with ThreadPoolExecutor(self.threads) as pool:
            first, *others = pool.map(lambda _: work(todo), range(max(1, min(self.threads, len(items)))))
        for more in others:
            for total, part in zip(first, more, strict=True):
                np.add(total, part, out=total)
        return first

    def _columns(self, block: int) -> tuple[int, int]:
        return block * N_COLUMNS, min(len(self), (block + 1) * N_COLUMNS)

    def _nowhere(self) -> KeyWindows:
        return windows_on({}, self.n_curves, self.edges, 0)

    def _n_bins(self) -> int:
        """As many bins as the memory for them allows, a power of two."""
        n_bins = N_BINS
        while n_bins > MIN_BINS and 2 * 8 * n_bins * self.n_curves * self.threads > COARSE_BYTES:
            n_bins //= 2
        return n_bins

    def _weights(self) -> np.ndarray:
        """[2, sources] what a target and a nontarget trial of each source weighs on the source-balanced curve."""
        size = np.bincount(self.source, minlength=len(self.source_curve))
        trials = np.stack([size * (size - 1) // 2, size * (len(self) - size)])
        balanced = (self.source_curve >= 0) & trials.all(axis=0)
        return np.where(balanced, WEIGHT // (max(1, balanced.sum()) * np.maximum(1, trials)), 0)


class StoredScores:
    """The scores that a pass has found in its windows.

    Attributes:
        blocks: (block, its scores); the threads add to it in any order.
        complete: whether there was room for all of them.
    """

    def __init__(self) -> None:
        self.blocks: list[tuple[int, WindowScores]] = []
        self.complete = True
        self._n = 0

    def add(self, block: int, scores: WindowScores, n_kept: int, n_runs: int) -> None:
        """Copy what was found in a block, unless there is no room."""
        self._n += n_kept
        if n_kept > len(scores.keys) or self._n > MOST_KEPT:
            self.complete = False
            self.blocks.clear()  # of no use any more
        if self.complete and n_kept:
            parts = (scores.keys[:n_kept], scores.columns[:n_kept], scores.rows[:n_runs], scores.ends[:n_runs])
            self.blocks.append((block, WindowScores(*(part.copy() for part in parts))))


def _room(n_kept: int, n_runs: int) -> WindowScores:
    return WindowScores(
        *(np.empty(n, kind) for n, kind in ((n_kept, np.uint32), (n_kept, np.uint8), *2 * ((n_runs, np.int64),)))
    )


def packed(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [N, D] as padded rows [N', D'], and as blocks [N' / N_COLUMNS, D', N_COLUMNS] of columns."""
    n, dim = vectors.shape
    padded_dim, n_blocks = -(-dim // 4) * 4, -(-n // N_COLUMNS)
    rows = np.zeros((n_blocks * N_COLUMNS, padded_dim), np.float32)
    rows[:n, :dim] = vectors
    blocks = aligned((n_blocks, padded_dim, N_COLUMNS))
    blocks[:] = rows.reshape(n_blocks, N_COLUMNS, padded_dim).transpose(0, 2, 1)
    return rows, blocks


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Float32 that starts on a cache line: vector loads across two lines cost a quarter of the products' speed."""
    n_bytes = 4 * int(np.prod(shape))
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + n_bytes].view(np.float32).reshape(shape)
