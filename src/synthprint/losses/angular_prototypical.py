"""Angular prototypical loss: one query a source against the centroids of the others of each source."""

from __future__ import annotations

from torch import Tensor, nn

from synthprint.layers.similarity import (
    BatchSources,
    ScaledCosine,
    cosines,
    full_precision,
    marked_means,
    require_sizes,
)

__all__ = ["AngularPrototypical"]


class AngularPrototypical(nn.Module):
    """Mean over the batch's sources of -log softmax(w·cos(q, c_k) + b)[own source], k over the same sources.

    q is the source's first utterance in the batch, c_k the mean of source k's other embeddings, not
    normalised. Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020:
    prototypical networks with the similarity of GE2E.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources; not used, the batch's are what is told apart.
        init_scale: w at the start; it stays positive.
        init_bias: b at the start. It cancels in the softmax, so that it gets no gradient.
        similarity_floor: cosines below it are raised to it before scaling.
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
                that a query is undecided with is left out of its softmax.

        Raises:
            RecipeError: the batch has one source only, or a single utterance of one.
        """
        with full_precision(embeddings) as x:
            batch = BatchSources.from_labels(labels, x.dtype)
            logits = self.logits(cosines(x, marked_means(batch.others, x)))
            return batch.source_cross_entropy(batch.without_undecided(logits, undecided))

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        """None: no classifier is learnt."""
        return
