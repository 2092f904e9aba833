"""Mahalanobis distance to the mean of a source, within-source covariance pooled over all (Lee et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.errors import GalleryError
from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.directions import CACHED_ROWS, unit

__all__ = ["Mahalanobis"]

LEAST_VARIANCE = 1e-8  # of a direction; that of clips which are all equal would be zero


class Mahalanobis:
    """1 / (1 + d²), with d² the squared Mahalanobis distance of an embedding [D] to the mean of a source's clips.

    Both are of L2-normalised embeddings. d² is divided by D (1 + 1/n): so far off, per dimension, is a further clip of
    the source expected when the mean is that of n clips. So a clip of the source itself has a d² of about 1 and scores
    about 1/2, of however many clips the mean is, and a source of one clip is neither favoured nor passed over. (The
    predictive density would subtract log(1 + 1/n) too, which does pass it over.)

    `fit` learns the within-source covariance W, pooled over the sources (Lee, Lee, Lee and Shin, "A simple unified
    framework for detecting out-of-distribution samples and adversarial attacks", 2018). It is shrunk as if, beside
    the N - S residuals of N clips of S sources, D more had been seen that are alike in all directions.

    Raises:
        GalleryError: on scoring, `fit` was not called.
    """

    def __init__(self) -> None:
        self._whitening: np.ndarray | None = None  # [D, D], P with P W P' = 1

    def fit(self, embeddings: Embeddings, sources: Sequence[str]) -> Mahalanobis:
        """See `Backend`."""
        _, owners = np.unique(np.asarray(sources, dtype=object), return_inverse=True)
        directions = unit(embeddings.vectors)
        clips, dim = directions.shape
        means, counts = _means(directions, owners)
        scatter = -np.einsum("s,sd,se->de", counts, means, means)
        for start in range(0, clips, CACHED_ROWS):
            block = directions[start : start + CACHED_ROWS].astype(np.float64)
            scatter += block.T @ block
        residuals = clips - len(means)
        variance = max(np.trace(scatter) / (dim * residuals), LEAST_VARIANCE) if residuals else 1 / dim
        within = (scatter + dim * variance * np.eye(dim)) / (residuals + dim)
        self._whitening = np.linalg.inv(np.linalg.cholesky(within))
        return self

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray:
        """See `Backend`."""
        return self.enrol(enrolment, np.arange(len(enrolment)))(test)

    def enrol(self, enrolment: np.ndarray, owners: np.ndarray) -> SourceScorer:
        """See `Backend`."""
        means, counts = _means(unit(enrolment), owners)
        expected = means.shape[1] * (1 + 1 / counts)  # squared distance
        centres = self._whitened(means)

        def scores(test: np.ndarray) -> np.ndarray:
            at = self._whitened(unit(test))
            # einsum, unlike a matrix product, gives the same bits whatever stands beside a row.
            lengths = [np.einsum("nd,nd->n", side, side) for side in (centres, at)]
            squares = lengths[0][:, None] + lengths[1] - 2 * np.einsum("sd,td->st", centres, at)
            return (1 / (1 + np.maximum(squares, 0) / expected[:, None])).astype(np.float32)

        return scores

    def _whitened(self, vectors: np.ndarray) -> np.ndarray:
        if self._whitening is None:
            raise GalleryError("backend mahalanobis: scores only after it was fitted to enrolled clips")
        return np.einsum("nd,ed->ne", vectors.astype(np.float64), self._whitening)


def _means(directions: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [S, D] of each source's clips, and how many they are [S]."""
    counts = np.bincount(owners)
    by_source = directions[np.argsort(owners, kind="stable")]
    sums = np.add.reduceat(by_source, np.cumsum(counts) - counts, axis=0, dtype=np.float64)
    return sums / counts[:, None], counts
