"""The exact EER over all pairs, against the matrix products that it cannot do without, and against a full sort."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numba import njit

from benchmarks.measuring import Figure, Topic, cores, in_fresh_process, paired, seconds
from synthprint.metrics import eer
from synthprint.scoring.all_pairs import QUADRANTS, all_pairs_eer, evaluate_all_pairs
from synthprint.scoring.kernels import N_COLUMNS, score_rows
from synthprint.scoring.passes import aligned, packed
from synthprint.vectors.directions import unit

SOURCES = 64
BLOCK = 1024  # rows and columns of a product by numpy
Set = tuple[np.ndarray, list[str], list[tuple[bool, bool] | None]]


def run(tiny: bool) -> Topic:
    """Measure."""
    sizes, large, runs = ((500, 1000, 2000), (3000, 64), 2) if tiny else ((10_000, 33_900, 100_000), (100_000, 192), 7)
    few, middle, _ = sizes
    utterances = made(middle, 50)
    figures = against_products(utterances, runs)
    figures += growth(sizes, few, 3)
    figures += [against_sorting(made(few, 50), runs)]
    for n, dim in ((middle, 50), large):
        found, peak_mb = in_fresh_process(evaluated, n, dim)
        what = f"every figure, {n:,} × {dim}"
        figures += [Figure(f"{what}, memory at most", peak_mb, "MB"), Figure(f"{what}, with compiling", found, "s")]
    settings = {"sources": SOURCES, "runs": runs, "threads": cores(), "eer": all_pairs_eer(*utterances[:2]).eer}
    return Topic(figures, settings)


def made(n: int, dim: int, seed: int = 0) -> Set:
    """Directions around 64 centres in 20 families, sources of unequal sizes, in four quadrants."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.3, 3.0, SOURCES)
    source = np.sort(rng.choice(SOURCES, n, p=shares / shares.sum()))
    centres = rng.standard_normal((20, dim))[rng.integers(0, 20, SOURCES)] + rng.standard_normal((SOURCES, dim))
    vectors = centres[source] + 1.5 * rng.standard_normal((n, dim))
    language = rng.integers(0, 2, n)
    quadrants = list(QUADRANTS)
    return (
        unit(vectors),
        [f"s{i:02d}" for i in source],
        [quadrants[2 * a + b % 2] for a, b in zip(language, source, strict=True)],
    )


def against_products(utterances: Set, runs: int) -> list[Figure]:
    """The pooled EER, and every figure, against the products of the same pairs, made and thrown away, in three ways."""
    vectors, sources, _ = utterances
    size = f"{len(vectors):,} × {vectors.shape[1]}"
    jobs: dict[str, Callable[[], object]] = {
        "pooled EER": lambda: all_pairs_eer(vectors, sources),
        "every figure": lambda: evaluate_all_pairs(*utterances),
    }
    ways: dict[str, Callable[[], None]] = {
        "the products of its pairs by numpy": lambda: products_by_numpy(vectors),
        "the same by our own loop": own_products(vectors),
        "all N × N products by numpy": lambda: products_by_numpy(vectors, whole=True),
    }
    figures = []
    for job, work in jobs.items():
        for way, products in ways.items():
            found = paired(work, products, runs)
            figures.append(Figure(f"{job}, {size}", found.a_s, "s", found.ratio, f"x {way}", found.spread))
    started, used = time.perf_counter(), time.process_time()
    jobs["every figure"]()
    busy = (time.process_time() - used) / (time.perf_counter() - started)
    return [*figures, Figure(f"every figure, {size}: cores busy", busy, "cores", busy / cores(), "of those there are")]


def products_by_numpy(vectors: np.ndarray, whole: bool = False) -> None:
    """The products of all pairs in blocks of a triangle, or of all with all, by the library that numpy is linked to."""
    out = np.empty((BLOCK, BLOCK), np.float32)
    for first in range(0, len(vectors), BLOCK):
        rows = vectors[first : first + BLOCK]
        for start in range(0, len(vectors) if whole else first + 1, BLOCK):
            columns = vectors[start : start + BLOCK]
            np.matmul(rows, columns.T, out=out[: len(rows), : len(columns)])


def own_products(vectors: np.ndarray) -> Callable[[], None]:
    """The same by the loop that the search uses, on all cores."""
    rows, blocks = packed(vectors)

    def work(some: Iterator[int]) -> None:
        scores = aligned((4, N_COLUMNS))
        for b in some:
            _block_products(rows, min(len(vectors), (b + 1) * N_COLUMNS), blocks[b], scores)

    def products() -> None:
        todo = iter(range(len(blocks) - 1, -1, -1))
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(work, [todo] * cores()))

    return products


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _block_products(rows, last, block, scores):  # type: ignore[no-untyped-def]
    for four in range(0, last, 4):
        score_rows(rows, four, block, scores)


def growth(sizes: tuple[int, ...], smallest: int, runs: int) -> list[Figure]:
    """Time a pair as the set grows, against the smallest set's."""
    small = made(smallest, 50)
    figures = []
    for n in sizes:
        large = made(n, 50)
        found = paired(partial(evaluate_all_pairs, *large), partial(evaluate_all_pairs, *small), runs)
        pairs = n * (n - 1) / 2
        scale = pairs / (smallest * (smallest - 1) / 2)
        figures.append(
            Figure(
                f"every figure, {n:,} × 50: a pair", 1e9 * found.a_s / pairs, "ns", found.ratio / scale,
                f"x a pair of {smallest:,}", (found.spread[0] / scale, found.spread[1] / scale),
            )
        )  # fmt: skip
    return figures


def against_sorting(utterances: Set, runs: int) -> Figure:
    """The pooled EER against the definition: all scores held and sorted."""
    vectors, names, _ = utterances
    source = np.unique(names, return_inverse=True)[1]

    def sort() -> float:
        upper = np.triu_indices(len(vectors), 1)
        scores, target = (vectors @ vectors.T)[upper], source[upper[0]] == source[upper[1]]
        return eer(scores[target], scores[~target])

    found = paired(lambda: all_pairs_eer(vectors, names), sort, min(runs, 3))
    what = f"pooled EER, {len(vectors):,} × {vectors.shape[1]}"
    return Figure(what, found.a_s, "s", found.ratio, "x holding and sorting all scores", found.spread)


def evaluated(n: int, dim: int) -> float:
    """Seconds for every figure of a set, in a process that has done nothing before."""
    utterances = made(n, dim)
    return seconds(lambda: evaluate_all_pairs(*utterances))
