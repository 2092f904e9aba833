"""Prototypical loss: one query a source against the centroids of the others, by squared Euclidean distance."""

from __future__ import annotations

from torch import Tensor, nn

from synthprint.layers.similarity import BatchSources, full_precision, marked_means, require_sizes

__all__ = ["Prototypical"]


class Prototypical(nn.Module):
    """Mean over the batch's sources of -log softmax(-‖q - c_k‖²)[own source], k over the same sources.

    q is the source's first utterance in the batch, c_k the mean of source k's other embeddings. Snell et al.,
    "Prototypical networks for few-shot learning", NeurIPS 2017, equations 1 and 2, with one query a source.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources; not used, the batch's are what is told apart.
    """

    utterances_per_source = 2
    takes_undecided = True

    def __init__(self, dim: int, sources: int) -> None:
        super().__init__()
        require_sizes(dim, sources)

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
            distances = (x[:, None] - marked_means(batch.others, x)).square().sum(dim=2)  # [B, B]
            return batch.source_cross_entropy(batch.without_undecided(-distances, undecided))

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        """None: no classifier is learnt."""
        return
