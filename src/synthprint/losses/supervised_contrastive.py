"""Supervised contrastive loss: every utterance against all others of the batch, those of its source as positives."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import (
    IGNORED,
    BatchSources,
    SourceDirections,
    cosines,
    full_precision,
    require,
    require_sizes,
)

__all__ = ["SupervisedContrastive"]

SCALE = 16.0  # of the cosines with the proxies


class SupervisedContrastive(nn.Module):
    """Mean over all utterances i of -(1/|P(i)|) Σ_{p in P(i)} log softmax(cos(i, a) / τ)[p], a over the others.

    P(i) are the other utterances of i's source. Khosla et al., "Supervised contrastive learning", NeurIPS 2020,
    equation 2 ("out"); the paper sums over the utterances where this is their mean. A batch knows few of the sources;
    with `proxies`, a softmax over a learnt direction of each is added, as in `softmax` but of cosines.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
        temperature: τ, positive; the paper's is 0.1.
        proxies: weight of the softmax over all sources; 0 for none.
    """

    utterances_per_source = 2
    takes_undecided = True

    def __init__(self, dim: int, sources: int, temperature: float = 0.1, proxies: float = 0.0) -> None:
        super().__init__()
        require_sizes(dim, sources)
        require(0 < temperature < math.inf, "temperature", temperature, "positive")
        require(0 <= proxies < math.inf, "proxies", proxies, "0 or more")
        self.temperature = temperature
        self.proxies = proxies
        self.directions = SourceDirections(dim, sources) if proxies else None

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
            loss = -((positive * shares).sum(dim=1) / positive.sum(dim=1).clamp(min=1)).mean()
            if self.directions is None:
                return loss
            of_all = SCALE * self.directions(x)  # [B, C]; a twin is of no source
            targets = labels.where(labels < of_all.shape[1], IGNORED)
            return loss + self.proxies * F.cross_entropy(of_all, targets)

    def predict(self, embeddings: Tensor) -> Tensor | None:
        """Index of the most likely source, [B] int64; None without proxies, which learn no classifier."""
        return None if self.directions is None else self.directions.predict(embeddings)
