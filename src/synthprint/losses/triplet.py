"""Triplet loss: nearer to the own source than to another by a margin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import BatchSources, cosines, full_precision, require, require_sizes

__all__ = ["Triplet"]


class Triplet(nn.Module):
    """Mean over all pairs (a, p) of one source of max(0, d(a, p) - d(a, n) + m).

    d is the squared Euclidean distance of the L2-normalised embeddings, 0 to 4. The negative n is
    semi-hard: the nearest utterance of another source that is farther than p, or where none is, the farthest.
    Schroff et al., "FaceNet: a unified embedding for face recognition and clustering", CVPR 2015, equations
    3 and 4.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources; not used, the batch's are what is told apart.
        margin: m, in units of d, above 0 to below 4.
    """

    utterances_per_source = 2
    takes_undecided = True

    def __init__(self, dim: int, sources: int, margin: float = 0.2) -> None:
        super().__init__()
        require_sizes(dim, sources)
        require(0 < margin < 4, "margin", margin, "above 0 and below 4 (a difference of squared distances)")
        self.margin = margin

    def forward(self, embeddings: Tensor, labels: Tensor, undecided: Tensor | None = None) -> Tensor:
        """Embeddings [B, D], labels [B] int64: scalar.

        Args:
            undecided: [B, B], pairs that are neither of one source nor surely of two. They are no negatives; a
                pair without one counts as 0.

        Raises:
            RecipeError: the batch has one source only, or a single utterance of one.
        """
        with full_precision(embeddings) as x:
            owner = BatchSources.from_labels(labels, x.dtype).owner
            distances = 2 - 2 * cosines(x, x)  # [B, B]
            same = owner[:, None] == owner
            anchor, positive = (same & ~torch.eye(len(x), dtype=torch.bool, device=x.device)).nonzero(as_tuple=True)
            near = distances[anchor, positive]  # [P]
            negative = ~same if undecided is None else ~same & ~undecided
            far = self._negatives(distances[anchor], negative[anchor], near[:, None])
            if undecided is not None:
                far = torch.where(negative.any(dim=1)[anchor], far, torch.inf)
            return F.relu(near - far + self.margin).mean()

    @staticmethod
    def _negatives(distances: Tensor, negative: Tensor, near: Tensor) -> Tensor:
        """Each pair's distance to its negative: [P] from the anchor's distances [P, B]."""
        farther = torch.where(negative & (distances > near), distances, torch.inf).amin(dim=1)
        farthest = torch.where(negative, distances, -torch.inf).amax(dim=1)
        return torch.where(farther.isfinite(), farther, farthest)

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        """None: no classifier is learnt."""
        return
