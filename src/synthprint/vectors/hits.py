"""What a search found: its hits choose, and exact cosines rank them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.errors import SearchError
from synthprint.vectors.directions import paired_cosines, unit


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search gives for one test vector: M vectors of its collection, in any order.

    Attributes:
        segments: [M] the segment of each.
        rows: [M] int64, its place in that.
        ids: [M].
        vectors: [M, D] float32, directions, as they are kept.
    """

    segments: Sequence[str]
    rows: np.ndarray
    ids: Sequence[str]
    vectors: np.ndarray


def as_kept(vectors: np.ndarray, ids: Sequence[str], address: str) -> np.ndarray:
    """Vectors [N, D] as a collection at `address` keeps them: directions, float32.

    Raises:
        SearchError: a value is not finite, or there are not as many ids.
    """
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise SearchError(f"{address}: {len(ids)} ids need as many vectors [N, D], not {list(vectors.shape)}")
    if not np.isfinite(vectors).all():
        raise SearchError(f"{address}: a vector that is to be kept has a value that is not finite; leave it out")
    return unit(vectors)


def closest(test: np.ndarray, directions: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """Of directions [M, D], the `nearest` to a test direction [D]: their places, the closest first, and their cosines.

    Of equals the first comes first. The cosines are those of `ClosestClips`, to the last bit.
    """
    similar = paired_cosines(directions, np.broadcast_to(test, directions.shape))
    order = np.argsort(-similar, kind="stable")[:nearest]
    return order, similar[order]
