"""What several losses share: full precision, cosine logits, and the sources of a batch.

Conventions: B utterances, D dimensions, C sources of the training set, N sources of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.errors import RecipeError


@contextmanager
def full_precision(embeddings: Tensor) -> Iterator[Tensor]:
    """Autocast off, and the embeddings in float32 at least: exponentials of scaled cosines need it."""
    with torch.autocast(embeddings.device.type, enabled=False):
        yield embeddings.float() if embeddings.dtype in (torch.bfloat16, torch.float16) else embeddings


def require(holds: bool, name: str, value: object, range_: str) -> None:
    """Check one parameter of a loss.

    Raises:
        RecipeError: it does not hold; names the parameter, its value and what it may be.
    """
    if not holds:
        raise RecipeError(f"loss: {name} = {value!r} must be {range_}")


def require_sizes(dim: int, sources: int) -> None:
    """Check what every loss is built with: D >= 1, C >= 2.

    Raises:
        RecipeError: there is nothing to tell apart.
    """
    require(dim >= 1, "dim", dim, "1 or more")
    require(sources >= 2, "sources", sources, "2 or more: a loss tells sources apart")


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of every row of `a` [A, D] with every row of `b` [N, D]: [A, N]."""
    return F.linear(F.normalize(a), F.normalize(b))


class SourceDirections(nn.Module):
    """One learnt direction per source; gives the cosine of every embedding with each: [B, D] -> [B, C].

    The directions start Xavier normal.
    """

    def __init__(self, dim: int, sources: int) -> None:
        super().__init__()
        require_sizes(dim, sources)
        self.weight = nn.Parameter(torch.empty(sources, dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        return cosines(embeddings, self.weight)

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the nearest direction, [B] int64."""
        with full_precision(embeddings) as x:
            nearest: Tensor = self(x).argmax(dim=1)
        return nearest


class ScaledCosine(nn.Module):
    """Cosines to logits: S = w·cos + b with learnt w > 0 and b (Wan et al., 2018, equation 5).

    w is the softplus of what is learnt: positive always, and at its usual size, around 10, moving with the
    same gradient as a plain w.

    Args:
        init_scale, init_bias: w and b at the start.
        similarity_floor: cosines below it are raised to it before scaling, and so give no gradient.
    """

    def __init__(self, init_scale: float, init_bias: float, similarity_floor: float | None) -> None:
        super().__init__()
        require(0 < init_scale < math.inf, "init_scale", init_scale, "positive")
        require(math.isfinite(init_bias), "init_bias", init_bias, "finite")
        floor = similarity_floor
        require(floor is None or -1 <= floor < 1, "similarity_floor", floor, "left out, or from -1 to below 1")
        self.similarity_floor = floor
        softplus_inverse = init_scale + math.log(-math.expm1(-init_scale))
        self.raw_scale = nn.Parameter(torch.tensor(softplus_inverse))
        self.bias = nn.Parameter(torch.tensor(float(init_bias)))

    @property
    def scale(self) -> Tensor:
        """w, a positive scalar."""
        return F.softplus(self.raw_scale)

    def forward(self, similarity: Tensor) -> Tensor:
        if self.similarity_floor is not None:
            similarity = similarity.clamp(min=self.similarity_floor)
        return self.scale * similarity + self.bias


@dataclass(frozen=True, eq=False)
class BatchSources:
    """Which utterances of a batch come from which of its sources; the order of the batch is free.

    Attributes:
        owner: [B] int64, each utterance's source as its row in `members`.
        members: [N, B], 1 where the utterance comes from the source, else 0. Sources ascend by label.
    """

    owner: Tensor
    members: Tensor

    @classmethod
    def of(cls, labels: Tensor, dtype: torch.dtype) -> BatchSources:
        """Read them off the labels [B].

        Raises:
            RecipeError: there are fewer than two sources, or one has a single utterance.
        """
        sources, owner, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        if len(sources) < 2:
            raise RecipeError("loss: a batch of one source has nothing to tell apart; use the balanced sampler")
        if int(counts.min()) < 2:
            alone = int(sources[counts.argmin()])
            raise RecipeError(
                f"loss: label {alone} has a single utterance in the batch, and this loss needs 2 or more of each "
                "source; use the balanced sampler with utterances_per_source = 2 or more"
            )
        # A product with 0 and 1 adds up in a fixed order; scattered additions on a GPU would not.
        return cls(owner, F.one_hot(owner, len(sources)).T.to(dtype))

    def queries_and_centroids(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Each source's first utterance in the batch, and the mean of its others: [N, D] and [N, D]."""
        first = self.members.argmax(dim=1)  # [N]
        others = self.members.scatter(1, first[:, None], 0.0)
        return embeddings[first], mean_of(others, embeddings)


def mean_of(members: Tensor, embeddings: Tensor) -> Tensor:
    """Mean of the embeddings [B, D] that each row of `members` [N, B] marks with 1: [N, D]."""
    return members @ embeddings / members.sum(dim=1, keepdim=True)
