"""Embeddings as directions: length one, and cosines between them. numpy alone."""

from __future__ import annotations

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D], L2-normalised, float32; a zero vector stays zero."""
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)  # float32 would overflow at 1e19
    lengths = np.sqrt(squares)[:, None]
    return np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0, casting="same_kind")


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarity of every row of `a` [A, D] with every row of `b` [B, D]: [A, B] float32, in -1 … 1."""
    similarity = unit(a) @ unit(b).T
    return np.clip(similarity, -1.0, 1.0, out=similarity)
