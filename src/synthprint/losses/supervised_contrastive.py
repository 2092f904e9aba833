"""Supervised contrastive loss: every utterance against all others of the batch, those of its source as positives."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import BatchSources, cosines, full_precision, require, require_sizes

__all__ = ["SupervisedContrastive"]


class SupervisedContrastive(nn.Module):
    """Mean over all utterances i of -(1/|P(i)|) Σ_{p in P(i)} log softmax(cos(i, a) / τ)[p], a over the others.

    P(i) are the other utterances of i's source. Khosla et al., "Supervised contrastive learning", NeurIPS 2020,
    equation 2 ("out"); the paper sums over the utterances where this is their mean.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources; not used, the batch's are what is told apart.
        temperature: τ, positive; the paper's is 0.1.
    """

    utterances_per_source = 2
    takes_undecided = True

    def __init__(self, dim: int, sources: int, temperature: float = 0.1) -> None:
        super().__init__()
        require_sizes(dim, sources)
        require(0 < temperature < math.inf, "temperature", temperature, "positive")
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor, undecided: Tensor | None = None) -> Tensor:
        """Embeddings [B, D], labels [B] int64: scalar.

        Args:
            undecided: [B, B], pairs that are neither of one source nor surely of two: left out of the softmax.

        Raises:
            RecipeError: the batch has one source only, or a single utterance of one.
        """
        with full_precision(embeddings) as x:
            positive = BatchSources.from_labels(labels, x.dtype).others  # [B, B]
            left_out = torch.eye(len(x), dtype=torch.bool, device=x.device)
            if undecided is not None:
                left_out = left_out | undecided
                positive = positive * ~undecided
            logits = (cosines(x, x) / self.temperature).masked_fill(left_out, -torch.inf)
            shares = F.log_softmax(logits, dim=1).masked_fill(left_out, 0.0)
            return -((positive * shares).sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        """None: no classifier is learnt."""
        return
