"""An exact search for the enrolled clips that are closest to test utterances. numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TypeVar

import numpy as np

from synthprint.background import processors
from synthprint.vectors.directions import CACHED_ROWS, paired_cosines, unit

R = TypeVar("R")
BLOCK_ROWS = 1 << 16  # that one thread takes at a time
PRODUCTS = 1 << 22  # kept at once: 16 MB; more where 16 vectors need more
PRODUCTS_READ = 1 << 20  # that one thread looks through at a time, at least those of one vector
PIECES = 4  # see `ClosestClips._floors`


class ClosestClips:
    """Enrolled clips by source, and an exact search for those closest to test utterances.

    Called, it scores as a backend does: test [T, D] -> [S, T], the mean of the `k` largest cosines with a source's
    clips (of all, where there are fewer).

    float32 products differ in their last bits with the matrix library, the batch and the threads. Here they only
    choose: every clip that could be one of the closest, their rounding considered, is compared anew in float64. So a
    score depends on the test utterance and on what is enrolled, to the last bit, and on nothing else.

    Args:
        vectors: [N, D].
        owners: [N], the source of each (0 … S-1, each at least once).
        k: see above.
    """

    def __init__(self, vectors: np.ndarray, owners: np.ndarray, k: int = 1) -> None:
        self.vectors, self.k = vectors, k
        self._clips = np.argsort(owners, kind="stable")  # [N]: row -> clip
        self._starts = np.searchsorted(owners[self._clips], np.arange(owners.max() + 1))  # [S]

    @cached_property
    def _rows(self) -> np.ndarray:
        """[N, D], sorted by source; made when they are first searched, for another search may be asked instead."""
        rows = np.empty(self.vectors.shape, np.float32)

        def fill(part: slice) -> None:
            rows[part] = unit(self.vectors[self._clips[part]])

        _in_blocks(fill, len(rows))
        return rows

    def __call__(self, test: np.ndarray) -> np.ndarray:
        """The score of each source: [T, D] -> [S, T] float32."""
        return self.search(test)[0]

    def search(self, test: np.ndarray, nearest: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Score sources and find the nearest clips, in one pass over the clips for many test utterances [T, D].

        Returns:
            Scores [S, T]; the nearest clips [T, min(nearest, N)] as positions in `vectors`, closest first and of
            equals the first enrolled; and their cosines, likewise.
        """
        test = unit(test)
        parts = []
        at_once = max(16, PRODUCTS // len(self._rows))
        for start in range(0, max(1, len(test)), at_once):
            some = test[start : start + at_once]
            read = partial(self._read, self._products(some), some, nearest)
            parts += _in_blocks(read, len(some), max(1, PRODUCTS_READ // len(self._rows)))
        scores, clips, similar = zip(*parts, strict=True)
        return np.concatenate(scores, axis=1), np.concatenate(clips), np.concatenate(similar)

    def _read(
        self, products: np.ndarray, test: np.ndarray, nearest: int, part: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`search` in products [T, N], for a part of T."""
        products, test = products[part], test[part]
        _, similar, firsts = self._closest(products, test, self._starts, self.k)
        counts = np.diff(firsts, append=len(similar))
        sums = np.add.reduceat(similar, firsts, dtype=np.float64) if len(firsts) else np.zeros(0)
        scores = (sums / counts).astype(np.float32).reshape(len(test), len(self._starts)).T
        shape = (len(test), min(nearest, len(self._rows)))
        if not nearest:
            return scores, np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        rows, similar, _ = self._closest(products, test, self._starts[:1], shape[1])
        return scores, self._clips[rows].reshape(shape), similar.reshape(shape)

    def _products(self, test: np.ndarray) -> np.ndarray:
        """Directions [T, D] times the rows: [T, N] float32."""
        if len(test) != 1:
            return test @ self._rows.T
        # One vector: memory is the limit, and BLAS may leave cores idle or, called from threads, fight over them.
        products = np.empty((1, len(self._rows)), np.float32)

        def multiply(part: slice) -> None:
            np.einsum("nd,d->n", self._rows[part], test[0], out=products[0, part])

        _in_blocks(multiply, len(self._rows))
        return products

    def _closest(
        self, products: np.ndarray, test: np.ndarray, starts: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k closest rows of each of G groups of rows, for each of T test utterances.

        Returns:
            Rows and cosines [M], by test utterance, group and closeness; where each of the T * G lists starts.
        """
        sizes = np.diff(starts, append=len(self._rows))
        rounding = 2 * (test.shape[1] + 8) * 2.0**-24  # of a product and a cosine; sums of D terms in any order
        floors = (self._floors(products, starts, sizes, k) - rounding).astype(np.float32)
        near = np.flatnonzero(products >= (np.repeat(floors, sizes, axis=1) if len(starts) > 1 else floors))
        of, rows = np.divmod(near, len(self._rows))
        lists = of * len(starts) + np.searchsorted(starts, rows, side="right") - 1
        similar = self._cosines(rows, test, of)
        order = np.lexsort((self._clips[rows], -similar, lists))
        lists = lists[order]
        firsts = np.flatnonzero(np.diff(lists, prepend=-1))
        ranks = np.arange(len(lists)) - np.repeat(firsts, np.diff(firsts, append=len(lists)))
        closest = order[ranks < k]
        return rows[closest], similar[closest], np.searchsorted(lists[ranks < k], lists[firsts])

    @staticmethod
    def _floors(products: np.ndarray, starts: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
        """A bound [T, G] that the k-th largest product of each group is not below; -inf for a small group.

        A group is cut into pieces. The k-th largest of their maxima is such a bound, near the product itself, and
        takes one pass in compiled code for groups of any sizes.
        """
        floors = np.full((len(products), len(starts)), -np.inf)
        large = sizes > PIECES * k
        pieces = np.where(large, PIECES * k, 1)  # [G]
        group = np.repeat(np.arange(len(starts)), pieces)
        piece = np.arange(len(group)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        maxima = np.maximum.reduceat(products, starts[group] + sizes[group] * piece // pieces[group], axis=1)
        of_large = maxima[:, large[group]].reshape(len(products), np.count_nonzero(large), PIECES * k)
        floors[:, large] = np.partition(of_large, -k, axis=2)[:, :, -k]
        return floors

    def _cosines(self, rows: np.ndarray, test: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Of single rows and test utterances, both [M] positions: [M] float32, by float64."""
        similar = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), CACHED_ROWS):
            part = slice(start, start + CACHED_ROWS)
            similar[part] = paired_cosines(self._rows[rows[part]], test[of[part]])
        return similar


def _in_blocks(work: Callable[[slice], R], rows: int, at_once: int = BLOCK_ROWS) -> list[R]:
    """`work` on blocks of rows, at least one, on all cores; numpy computes outside Python's lock."""
    parts = [slice(start, start + at_once) for start in range(0, max(1, rows), at_once)]
    if len(parts) == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(work, parts))
