"""Free energy over the enrolled sources, as a score for rejecting unknown ones (Liu et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.errors import RecipeError
from synthprint.shelves import SourceScorer
from synthprint.types import Embeddings
from synthprint.vectors.directions import cosines, exact_scorer, unit

__all__ = ["Energy"]


class Energy:
    """Ranks sources as `centroid` does; the best one scores T log sum exp(cosine / T) over all sources.

    That is minus the free energy of Liu, Wang, Owens and Li, "Energy-based out-of-distribution detection" (2020), with
    cosines to the centroids for logits. The other sources score by as much less as their cosines are lower. So what
    is thresholded, the best score, is the energy; and the score of a source depends on all that are enrolled: by
    T log S where they are all alike, by nothing where one stands out.

    Args:
        temperature: T, in units of the cosine. Towards 0 it is `centroid`.

    Raises:
        RecipeError: the temperature is not above 0, and finite.
    """

    def __init__(self, temperature: float = 0.05) -> None:
        if not isinstance(temperature, (int, float)) or not 0 < temperature < np.inf:
            raise RecipeError(f"backend energy: temperature = {temperature!r} must be a number above 0")
        self.temperature = float(temperature)

    def fit(
        self,
        embeddings: Embeddings,  # noqa: ARG002 - the shelf's contract
        sources: Sequence[str],  # noqa: ARG002
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> Energy:
        """See `Backend`."""
        return self

    def score(self, enrolment: np.ndarray, test: np.ndarray) -> np.ndarray:
        """See `Backend`: the cosine, as one clip against another has no further sources."""
        return cosines(enrolment, test)

    def enrol(
        self,
        enrolment: np.ndarray,
        owners: np.ndarray,
        publishers: np.ndarray | None = None,
    ) -> SourceScorer:
        """See `Backend`."""
        cosine = self.alone(enrolment, owners, publishers)
        return lambda test: self.together(cosine(test))

    def alone(
        self,
        enrolment: np.ndarray,
        owners: np.ndarray,
        publishers: np.ndarray | None = None,  # noqa: ARG002
    ) -> SourceScorer:
        """See `JointBackend`: the cosine to the centroid."""
        counts = np.bincount(owners)
        by_source = unit(enrolment)[np.argsort(owners, kind="stable")]
        centroids = np.add.reduceat(by_source, np.cumsum(counts) - counts, axis=0, dtype=np.float64)
        return exact_scorer(centroids)

    def together(self, scores: np.ndarray) -> np.ndarray:
        """See `JointBackend`."""
        cosine = scores.astype(np.float64)
        energy = self.temperature * np.logaddexp.reduce(cosine / self.temperature, axis=0)
        best = np.maximum(cosine.max(axis=0), -1)  # the least cosine: where nobody is enrolled, scores stay -inf
        return (cosine - best + energy).astype(np.float32)
