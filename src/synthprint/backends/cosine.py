"""Cosine similarity; a source scores as its closest clip does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import cosines

__all__ = ["Cosine"]


class Cosine:
    """The cosine of two embeddings; against a source, the largest over its enrolled clips. Nothing is learnt."""

    def fit(
        self,
        embeddings: Embeddings,  # noqa: ARG002 - the shelf's contract
        sources: Sequence[str],  # noqa: ARG002
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> Cosine:
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
        return ClosestClips(enrolment, owners)
