"""Softmax: cross-entropy over a linear classifier of the training sources."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import full_precision, require_sizes

__all__ = ["Softmax"]


class Softmax(nn.Module):
    """Mean of -log softmax(W x + b)[y].

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
    """

    utterances_per_source = 1

    def __init__(self, dim: int, sources: int) -> None:
        super().__init__()
        require_sizes(dim, sources)
        self.classifier = nn.Linear(dim, sources)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, D], labels [B] int64 in 0 … C - 1: scalar."""
        with full_precision(embeddings) as x:
            return F.cross_entropy(self.classifier(x), labels)

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the most likely source, [B] int64."""
        with full_precision(embeddings) as x:
            likeliest: Tensor = self.classifier(x).argmax(dim=1)
        return likeliest
