"""Proxy-anchor loss: a learnt proxy of each source is the anchor, and the hardest utterances of a batch pull most."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import SourceDirections, full_precision, require

__all__ = ["ProxyAnchor"]


class ProxyAnchor(nn.Module):
    """Mean over P⁺ of log(1 + Σ e^(-α(s(x, p) - δ))), x of p, and over P of log(1 + Σ e^(α(s(x, p) + δ))), x of others.

    The sum of the two. s is the cosine similarity, P the proxies p, one a source, and P⁺ those whose source is in the
    batch. Kim et al., "Proxy anchor loss for deep metric learning", CVPR 2020, equation 4.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
        margin: δ, a difference of cosines, 0 to below 1.
        scale: α, positive.
    """

    utterances_per_source = 1
    takes_undecided = True

    def __init__(self, dim: int, sources: int, margin: float = 0.1, scale: float = 32.0) -> None:
        super().__init__()
        require(0 <= margin < 1, "margin", margin, "a difference of cosines from 0 to below 1")
        require(0 < scale < math.inf, "scale", scale, "positive")
        self.margin = margin
        self.scale = scale
        self.directions = SourceDirections(dim, sources)

    def forward(self, embeddings: Tensor, labels: Tensor, undecided: Tensor | None = None) -> Tensor:
        """Embeddings [B, D], labels [B] int64 in 0 … C - 1: scalar.

        Args:
            undecided: [B, B], pairs that are neither of one source nor surely of two. A row is no negative of a proxy
                with whose source any row of the batch is undecided with it.
        """
        with full_precision(embeddings) as x:
            similarity = self.directions(x)  # [B, C]
            own = labels[:, None] == torch.arange(similarity.shape[1], device=labels.device)
            other = ~own
            if undecided is not None:
                other = other & (undecided.to(x.dtype) @ own.to(x.dtype) == 0)
            pulled = _log_one_plus(-self.scale * (similarity - self.margin), own)  # [C]; 0 where none is in the batch
            pushed = _log_one_plus(self.scale * (similarity + self.margin), other)
            return pulled.sum() / own.any(dim=0).sum() + pushed.mean()

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the most likely source, [B] int64; no margin."""
        return self.directions.predict(embeddings)


def _log_one_plus(exponents: Tensor, marked: Tensor) -> Tensor:
    """log(1 + sum of e^z over the marked z) of each column: [B, C], [B, C] -> [C]."""
    return torch.logsumexp(F.pad(exponents.masked_fill(~marked, -torch.inf), (0, 0, 1, 0)), dim=0)
