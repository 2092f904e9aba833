"""Mahalanobis distance to the mean of a source, within-source covariance pooled over all (Lee et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.errors import GalleryError
from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.directions import unit
from synthprint.vectors.scatter import class_means, within_covariance

__all__ = ["Mahalanobis"]


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

    def fit(
        self,
        embeddings: Embeddings,
        sources: Sequence[str],
        publishers: np.ndarray | None = None,  # noqa: ARG002 - the shelf's contract
    ) -> Mahalanobis:
        """See `Backend`."""
        _, owners = np.unique(np.asarray(sources, dtype=object), return_inverse=True)
        within = within_covariance(unit(embeddings.vectors), owners)
        self._whitening = np.linalg.inv(np.linalg.cholesky(within))
        return self

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray:
        """See `Backend`."""
        return self.enrol(enrolment, np.arange(len(enrolment)))(test)

    def enrol(
        self,
        enrolment: np.ndarray,
        owners: np.ndarray,
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> SourceScorer:
        """See `Backend`."""
        means, counts = class_means(unit(enrolment), owners)
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
