"""Cosine to a source's centroid, whitened within sources and over publishers (Hatch et al., 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from synthprint.errors import GalleryError, RecipeError
from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.directions import unit
from synthprint.vectors.scatter import class_means, subclasses, whitening

__all__ = ["Whitened"]

MEAN, BEST = "mean", "best"


class Whitened:
    """The cosine of whitened embeddings: directions in which clips of one source differ weigh less.

    `fit` learns W = W_c + W_p, and P with P W P' = 1 (within-class covariance normalisation: Hatch, Kajarekar and
    Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", 2006). W_c is the covariance of
    clips around the mean of their source's clips of one publisher, W_p that of these means around the mean of their
    source, which are the clips and the publishers that a system may yet be met in. Each is pooled over the sources and
    shrunk: see `within_covariance`. Where no source has two publishers, W is W_c.

    Whitened clips are L2-normalised. A publisher's centroid is the mean of a source's clips that it put out, a source's
    centroid is the mean of its publishers' normalised centroids: a publisher of a hundred clips weighs as one of two.

    Args:
        publishers: "mean": a source scores as its centroid does; "best": as the closest of its publishers' centroids.
        shrinkage: how many vectors per dimension, alike in all directions, W_c and W_p are shrunk by.

    Raises:
        RecipeError: an option is none of these, or the shrinkage is not above 0.
        GalleryError: on scoring, `fit` was not called.
    """

    def __init__(self, publishers: Literal["mean", "best"] = "mean", shrinkage: float = 1.0) -> None:
        if publishers not in (MEAN, BEST):
            raise RecipeError(f"backend whitened: publishers = {publishers!r} must be {MEAN!r} or {BEST!r}")
        if not isinstance(shrinkage, (int, float)) or not 0 < shrinkage < np.inf:
            raise RecipeError(f"backend whitened: shrinkage = {shrinkage!r} must be a number above 0")
        self.publishers, self.shrinkage = publishers, float(shrinkage)
        self._whitening: np.ndarray | None = None  # [D, D]: P

    def fit(self, embeddings: Embeddings, sources: Sequence[str], publishers: np.ndarray | None = None) -> Whitened:
        """See `Backend`."""
        directions = unit(embeddings.vectors)
        _, owners = np.unique(np.asarray(sources, dtype=object), return_inverse=True)
        self._whitening = whitening(directions, owners, publishers, self.shrinkage)
        return self

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray:
        """See `Backend`."""
        return _clipped(self._whitened(enrolment), self._whitened(test))

    def enrol(self, enrolment: np.ndarray, owners: np.ndarray, publishers: np.ndarray | None = None) -> SourceScorer:
        """See `Backend`."""
        parts, source_of_part = subclasses(owners, publishers)
        centroids = unit(class_means(self._whitened(enrolment), parts)[0], np.float64)
        if self.publishers == MEAN:
            centroids = unit(class_means(centroids, source_of_part)[0], np.float64)
            return lambda test: _clipped(centroids, self._whitened(test))
        starts = np.searchsorted(source_of_part, np.arange(source_of_part[-1] + 1))
        return lambda test: np.maximum.reduceat(_clipped(centroids, self._whitened(test)), starts, axis=0)

    def _whitened(self, vectors: np.ndarray) -> np.ndarray:
        """[N, D] float64, L2-normalised."""
        if self._whitening is None:
            raise GalleryError("backend whitened: scores only after it was fitted to enrolled clips")
        # einsum, unlike a matrix product, gives the same bits whatever stands beside a row.
        return unit(np.einsum("nd,ed->ne", unit(vectors).astype(np.float64), self._whitening), np.float64)


def _clipped(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines [A, B] of directions [A, D] and [B, D]."""
    return np.clip(np.einsum("ad,bd->ab", a, b), -1.0, 1.0).astype(np.float32)
