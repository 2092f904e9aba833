"""Cosine to the centroid: one mean direction stands for a source (Qin et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.directions import cosines, exact_scorer, unit

__all__ = ["Centroid"]


class Centroid:
    """The cosine of an embedding and a source's centroid, the mean of its L2-normalised enrolled clips.

    The centroid of one clip is the clip, so two clips score as their cosine. Nothing is learnt.
    """

    def fit(
        self,
        embeddings: Embeddings,  # noqa: ARG002 - the shelf's contract
        sources: Sequence[str],  # noqa: ARG002
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> Centroid:
        """See `Backend`."""
        return self

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray:
        """See `Backend`."""
        return cosines(enrolment, test)

    def enrol(
        self,
        enrolment: np.ndarray,
        owners: np.ndarray,
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> SourceScorer:
        """See `Backend`."""
        order = np.argsort(owners, kind="stable")
        members = np.split(order, np.searchsorted(owners[order], np.arange(1, owners.max() + 1)))
        # Sums in float64, so that the order of the clips does not show.
        centroids = np.stack([unit(enrolment[of]).sum(axis=0, dtype=np.float64) for of in members])
        return exact_scorer(centroids)
