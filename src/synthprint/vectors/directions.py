"""Embeddings as directions: length one, and cosines between them. numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

CACHED_ROWS = 1 << 12  # that are computed in float64 at a time


def unit(vectors: np.ndarray, dtype: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """Vectors [N, D], L2-normalised. A zero vector stays zero, one with a NaN or an infinite value has a NaN.

    A row depends on its vector alone.
    """
    result = np.zeros(vectors.shape, dtype)
    for start in range(0, len(vectors), CACHED_ROWS):
        part = slice(start, start + CACHED_ROWS)
        block = vectors[part].astype(np.float64)  # squares of float32 would overflow at 1e19
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block))[:, None]
        with np.errstate(invalid="ignore"):
            np.divide(block, lengths, out=result[part], where=lengths != 0, casting="same_kind")
    return result


def mean_direction(vectors: np.ndarray) -> np.ndarray:
    """The mean of vectors [N, D], L2-normalised: [D] float32. Of a clip's windows it is the clip's embedding."""
    mean: np.ndarray = unit(vectors.mean(axis=0, dtype=np.float64)[None])[0]
    return mean


def scaled(vectors: np.ndarray) -> np.ndarray:
    """What a network gives for windows [W, D] as embeddings: L2-normalised, float32.

    A single dimension has no direction. It is a score, and stays as it is.
    """
    return vectors.astype(np.float32) if vectors.shape[1] == 1 else unit(vectors)


def averaged(vectors: np.ndarray) -> np.ndarray:
    """The embedding [D] of a clip from those of its windows [W, D]: their mean direction, or their mean score."""
    if vectors.shape[1] > 1:
        return mean_direction(vectors)
    mean: np.ndarray = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of every row of `a` [A, D] with every row of `b` [B, D]: [A, B] float32, in -1 … 1."""
    similarity = unit(a) @ unit(b).T
    return np.clip(similarity, -1.0, 1.0, out=similarity)


def exact_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As `cosines`, each computed in float64 from its two directions alone, whatever stands beside them.

    The bits of a matrix product depend on its shape. This is for a few rows; it is slower than one.
    """
    return exact_scorer(a)(b)


def exact_scorer(a: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """`exact_cosines` with `a` [A, D], whose directions are computed once: b [B, D] -> [A, B]."""
    directions = unit(a).astype(np.float64)

    def scores(b: np.ndarray) -> np.ndarray:
        similarity = np.einsum("ad,bd->ab", directions, unit(b).astype(np.float64))
        return np.clip(similarity, -1.0, 1.0).astype(np.float32)

    return scores


def paired_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each of the directions `a` [M, D] with its partner in `b` [M, D]: [M] float32, by float64."""
    similar = np.einsum("md,md->m", a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
    return np.clip(similar, -1.0, 1.0, out=similar)
