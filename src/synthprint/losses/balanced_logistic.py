"""Balanced logistic loss: whether a person spoke, as log odds on dimension 0."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import full_precision, require_sizes

__all__ = ["BalancedLogistic"]


class BalancedLogistic(nn.Module):
    """Half the mean of log(1 + exp(-s)) over the human clips, and half that of log(1 + exp(s)) over the others.

    s is dimension 0 of an embedding. Both sides weigh alike however many clips they have, so that s is learnt as the
    log odds of human speech at even priors: a log likelihood ratio. A side that a batch lacks adds nothing.
    It is the prior-weighted cross-entropy at P = 1/2 of Brümmer and du Preez, "Application-independent evaluation of
    speaker detection", Computer Speech and Language, 2006, in nats.

    Args:
        dim: D, size of an embedding; 1 for a detector.
        sources: number of labels. 0 is human, every other synthetic.
    """

    utterances_per_source = 1
    classes = ("human", "synthetic")

    def __init__(self, dim: int, sources: int) -> None:
        super().__init__()
        require_sizes(dim, sources)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, D], labels [B] int64, 0 where a person spoke: scalar."""
        with full_precision(embeddings) as x:
            human = (labels == 0).to(x.dtype)
            synthetic = 1.0 - human
            costs = human * F.softplus(-x[:, 0]), synthetic * F.softplus(x[:, 0])
            return sum_of_means(costs, (human, synthetic)) / 2

    def predict(self, embeddings: Tensor) -> Tensor:
        """0 where a person is the likelier speaker, else 1: [B] int64."""
        return (embeddings[:, 0] <= 0).long()


def sum_of_means(costs: tuple[Tensor, Tensor], members: tuple[Tensor, Tensor]) -> Tensor:
    """The mean of each side's costs [B] over its members [B], added up; no side is divided by nothing."""
    first, second = (cost.sum() / member.sum().clamp(min=1.0) for cost, member in zip(costs, members, strict=True))
    return first + second
