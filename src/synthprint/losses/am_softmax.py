"""Additive margin softmax: the own source's cosine has to win by a margin."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import SourceDirections, full_precision, require

__all__ = ["AMSoftmax"]


class AMSoftmax(nn.Module):
    """Mean of -log softmax(s·(cos θ_j - m·[j = y]))[y].

    F. Wang et al., "Additive margin softmax for face verification", IEEE Signal Processing Letters, 2018;
    the same as CosFace (H. Wang et al., CVPR 2018, equation 4).

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
        margin: m, in units of cosine, 0 to below 2.
        scale: s, positive.
    """

    utterances_per_source = 1

    def __init__(self, dim: int, sources: int, margin: float = 0.1, scale: float = 30.0) -> None:
        super().__init__()
        require(0 <= margin < 2, "margin", margin, "from 0 to below 2 (a difference of cosines)")
        require(0 < scale < math.inf, "scale", scale, "positive")
        self.margin = margin
        self.scale = scale
        self.directions = SourceDirections(dim, sources)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, D], labels [B] int64 in 0 … C - 1: scalar."""
        with full_precision(embeddings) as x:
            cosines = self.directions(x)  # [B, C]
            target = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
            return F.cross_entropy(self.scale * (cosines - self.margin * target), labels)

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the most likely source, [B] int64; no margin."""
        return self.directions.predict(embeddings)
