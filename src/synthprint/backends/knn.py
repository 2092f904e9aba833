"""k nearest neighbours: a source scores as its k closest clips do on average."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.errors import RecipeError
from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import cosines

__all__ = ["NearestNeighbours"]


class NearestNeighbours:
    """The mean of the `k` largest cosines of an embedding with a source's enrolled clips. Nothing is learnt.

    A source of fewer clips than `k` scores as the mean over all of them.

    Raises:
        RecipeError: `k` is not a whole number of at least 1.
    """

    def __init__(self, k: int = 5) -> None:
        if not isinstance(k, int) or k < 1:
            raise RecipeError(f"backend knn: k = {k!r} must be a whole number, 1 or more")
        self.k = k

    def fit(
        self,
        embeddings: Embeddings,  # noqa: ARG002 - the shelf's contract
        sources: Sequence[str],  # noqa: ARG002
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> NearestNeighbours:
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
        return ClosestClips(enrolment, owners, self.k)
