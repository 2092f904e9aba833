"""An order of sources that puts together what is confused with each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def reading_order(confusion: np.ndarray, groups: Sequence[str]) -> list[int]:
    """An order of the sources in which those of a group stand together, and those confused with each other do.

    Clusters are joined two at a time, the most similar first (average linkage), those of one group before any others;
    two that join are turned so that the ends that meet are as similar as they can be. Deterministic.

    Args:
        confusion: [S, S] counts; row by row the share of it is what similarity means, both ways added.
        groups: [S].
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    similarity = shares + shares.T
    same = np.array(groups)[:, None] == np.array(groups)
    closeness = similarity + 3 * same  # similarities are at most 2: a group is finished before it joins another
    np.fill_diagonal(closeness, -np.inf)
    clusters = [[index] for index in range(len(groups))]
    while len(clusters) > 1:
        a, b = sorted(divmod(int(closeness.argmax()), len(clusters)))
        sizes = len(clusters[a]), len(clusters[b])
        merged = np.average(closeness[[a, b]], axis=0, weights=sizes)
        closeness[a], closeness[:, a] = merged, merged
        closeness[a, a] = -np.inf
        closeness = np.delete(np.delete(closeness, b, axis=0), b, axis=1)
        clusters[a] = _joined(clusters[a], clusters.pop(b), similarity)
    return clusters[0]


def _joined(first: list[int], second: list[int], similarity: np.ndarray) -> list[int]:
    """Both, one after the other, each turned so that the ends that meet are most similar."""
    turned = [(a, b) for a in (first, first[::-1]) for b in (second, second[::-1])]
    a, b = max(turned, key=lambda pair: similarity[pair[0][-1], pair[1][0]])
    return a + b
