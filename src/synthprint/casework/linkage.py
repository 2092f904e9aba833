"""Agglomerative clustering with average linkage (Sokal and Michener, 1958), on similarities.

The two groups with the highest mean similarity between their members are joined, again and again. Found by chains of
nearest neighbours (Murtagh, 1983): time N², memory one matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Merge(NamedTuple):
    """Groups `a` and `b` become one; 0 … N-1 are the items, N + k what the k-th merge made."""

    a: int
    b: int
    similarity: float
    size: int


def average_linkage(similarity: np.ndarray) -> list[Merge]:
    """The N - 1 merges of N items, the most similar first; `similarity` [N, N] is symmetric."""
    count = len(similarity)
    means = similarity.astype(np.float64)
    np.fill_diagonal(means, -np.inf)
    sizes = np.ones(count)
    found: list[tuple[int, int, float]] = []
    chain: list[int] = []
    while len(found) < count - 1:
        if not chain:
            chain.append(int(np.flatnonzero(sizes)[0]))
        here = chain[-1]
        best = means[here].max()
        # Of equals the one before in the chain, so that the chain ends.
        there = chain[-2] if len(chain) > 1 and means[here, chain[-2]] == best else int(means[here].argmax())
        if len(chain) < 2 or there != chain[-2]:
            chain.append(there)
            continue
        del chain[-2:]
        keep, gone = sorted((here, there))
        found.append((keep, gone, float(best)))
        _join(means, sizes, keep, gone)
    return _in_order(found, count)


def _join(means: np.ndarray, sizes: np.ndarray, keep: int, gone: int) -> None:
    """Make one group of two, in place."""
    total = sizes[keep] + sizes[gone]
    row = (sizes[keep] * means[keep] + sizes[gone] * means[gone]) / total
    row[[keep, gone]] = -np.inf
    means[keep], means[:, keep] = row, row
    means[gone], means[:, gone] = -np.inf, -np.inf
    sizes[keep], sizes[gone] = total, 0


def _in_order(found: list[tuple[int, int, float]], count: int) -> list[Merge]:
    """Merges of representatives, as the chains met them -> merges of groups, the most similar first."""
    order = sorted(range(len(found)), key=lambda k: -found[k][2])  # stable: what is merged later is no more similar
    group, size = list(range(count)), [1] * count
    merges = []
    for k in order:
        keep, gone, similarity = found[k]
        size[keep] += size[gone]
        a, b = sorted((group[keep], group[gone]))
        merges.append(Merge(a, b, similarity, size[keep]))
        group[keep] = count + len(merges) - 1
    return merges


def cut(merges: list[Merge], threshold: float) -> np.ndarray:
    """The group of each item [N], 0 … G-1 by first member, when only merges of at least `threshold` are made."""
    count = len(merges) + 1
    parent = list(range(2 * count - 1))
    for k, merge in enumerate(merges):
        if merge.similarity >= threshold:
            parent[merge.a] = parent[merge.b] = count + k
    roots = []
    for item in range(count):
        root = item
        while parent[root] != root:
            root = parent[root]
        roots.append(root)
    number = {root: i for i, root in enumerate(dict.fromkeys(roots))}
    return np.array([number[root] for root in roots])
