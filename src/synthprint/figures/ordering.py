"""An order of sources that puts together what is confused with each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.errors import MissingDependency


def reading_order(confusion: np.ndarray, groups: Sequence[str]) -> list[int]:
    """An order of the sources in which those of a group stand together, and those confused with each other do.

    Clusters are joined two at a time, the most similar first (average linkage), those of one group before any others;
    the branches of this tree are turned so that neighbours are as similar in sum as they can be (Bar-Joseph, Gifford
    and Jaakkola, "Fast optimal leaf ordering for hierarchical clustering", 2001). Deterministic.

    Args:
        confusion: [S, S] counts; row by row the share of it is what similarity means, both ways added.
        groups: [S].

    Raises:
        MissingDependency: scipy is not installed.
    """
    try:
        from scipy.cluster.hierarchy import leaves_list, linkage
    except ModuleNotFoundError as error:
        raise MissingDependency.extra("scipy", "evaluate") from error
    if len(groups) < 2:
        return list(range(len(groups)))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    other = np.array(groups)[:, None] != np.array(groups)
    distance = 2 - (shares + shares.T) + 3 * other  # at most 2 within a group: it is finished before it joins another
    tree = linkage(distance[np.triu_indices(len(groups), 1)], "average", optimal_ordering=True)
    return [int(leaf) for leaf in leaves_list(tree)]
