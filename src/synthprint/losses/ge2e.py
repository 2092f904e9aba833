"""Generalized end-to-end loss: every utterance against the centroids of the batch's sources."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import (
    BatchSources,
    ScaledCosine,
    cosines,
    full_precision,
    marked_means,
    require_sizes,
)

__all__ = ["GE2E"]


class GE2E(nn.Module):
    """Mean over all utterances x of -log softmax(w·cos(x, c_k) + b)[own source], k over the batch's sources.

    c_k is the mean of source k's embeddings; for an utterance's own source it leaves that utterance out.
    Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018, equations 5, 6, 8 and 9;
    the paper sums over the utterances where this is their mean, and scales embeddings to length 1 beforehand.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources; not used, the batch's are what is told apart.
        init_scale: w at the start; it stays positive.
        init_bias: b at the start. It cancels in the softmax, so that it gets no gradient.
        similarity_floor: cosines below it are raised to it before scaling; 1e-6 is the reference trainer's.
    """

    utterances_per_source = 2
    takes_undecided = True

    def __init__(
        self,
        dim: int,
        sources: int,
        init_scale: float = 10.0,
        init_bias: float = -5.0,
        similarity_floor: float | None = None,
    ) -> None:
        super().__init__()
        require_sizes(dim, sources)
        self.logits = ScaledCosine(init_scale, init_bias, similarity_floor)

    def forward(self, embeddings: Tensor, labels: Tensor, undecided: Tensor | None = None) -> Tensor:
        """Embeddings [B, D], labels [B] int64: scalar.

        Args:
            undecided: [B, B], pairs that are neither of one source nor surely of two. A centroid of a source
                that an utterance is undecided with is left out of its softmax.

        Raises:
            RecipeError: the batch has one source only, or a single utterance of one.
        """
        with full_precision(embeddings) as x:
            batch = BatchSources.from_labels(labels, x.dtype)
            similarity = cosines(x, marked_means(batch.members, x))  # [B, B]
            left_out = F.cosine_similarity(x, marked_means(batch.others, x))  # [B]
            similarity = torch.where(batch.source_places(), left_out[:, None], similarity)
            logits = batch.without_undecided(self.logits(similarity), undecided)
            return F.cross_entropy(batch.without_empty_places(logits), batch.owner)

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        """None: no classifier is learnt."""
        return
