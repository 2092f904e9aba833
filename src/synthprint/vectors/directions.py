"""Embeddings as directions: length one, and cosines between them. numpy alone."""

from __future__ import annotations

import numpy as np

CACHED_ROWS = 1 << 12  # that are computed in float64 at a time


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D], L2-normalised, float32. A zero vector stays zero, one with a NaN or an infinite value has a NaN.

    A row depends on its vector alone.
    """
    result = np.zeros(vectors.shape, np.float32)
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


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of every row of `a` [A, D] with every row of `b` [B, D]: [A, B] float32, in -1 … 1."""
    similarity = unit(a) @ unit(b).T
    return np.clip(similarity, -1.0, 1.0, out=similarity)


def exact_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """As `cosines`, each computed in float64 from its two directions alone, whatever stands beside them.

    The bits of a matrix product depend on its shape. This is for a few rows; it is slower than one.
    """
    similarity = np.einsum("ad,bd->ab", unit(a).astype(np.float64), unit(b).astype(np.float64))
    return np.clip(similarity, -1.0, 1.0).astype(np.float32)
