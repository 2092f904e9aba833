"""Additive angular margin softmax: the own source's angle has to win by a margin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import SourceDirections, full_precision, require

__all__ = ["AAMSoftmax"]


class AAMSoftmax(nn.Module):
    """Mean of -log softmax(s·cos(θ_j + m·[j = y]))[y].

    Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019, equation 3.
    Where θ + m > π the own source's logit is s·(cos θ - m·sin m), which keeps falling with θ.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
        margin: m, in radians, 0 to π/2.
        scale: s, positive.
    """

    utterances_per_source = 1

    def __init__(self, dim: int, sources: int, margin: float = 0.1, scale: float = 30.0) -> None:
        super().__init__()
        require(0 <= margin <= math.pi / 2, "margin", margin, "an angle in radians from 0 to π/2")
        require(0 < scale < math.inf, "scale", scale, "positive")
        self.margin = margin
        self.scale = scale
        self.directions = SourceDirections(dim, sources)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, D], labels [B] int64 in 0 … C - 1: scalar."""
        with full_precision(embeddings) as x:
            cosines = self.directions(x)  # [B, C]
            target = labels[:, None]
            narrowed = self._add_margin(cosines.gather(1, target))
            return F.cross_entropy(self.scale * cosines.scatter(1, target, narrowed), labels)

    def _add_margin(self, cosine: Tensor) -> Tensor:
        """cos θ -> cos(θ + m), by the addition theorem: arccos has no finite gradient at 0 and π."""
        square = 1 - cosine.square()
        # The square root has none there either, so sin θ is a constant 0 within rounding of |cos θ| = 1.
        inside = square > torch.finfo(cosine.dtype).eps
        sine = torch.where(inside, square, 1.0).sqrt() * inside
        added = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), added, beyond)

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the most likely source, [B] int64; no margin."""
        return self.directions.predict(embeddings)
