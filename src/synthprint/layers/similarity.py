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

IGNORED = -100  # a target that cross_entropy leaves out


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

    A source has the place of its first utterance in the batch, and the other places stand for none. So no size depends
    on the labels' values: a GPU is not waited for, and a step can be captured.

    Attributes:
        owner: [B] int64, the place of each utterance's source.
        members: [B, B], 1 where two utterances come from one source, else 0.
    """

    owner: Tensor
    members: Tensor

    @classmethod
    def from_labels(cls, labels: Tensor, dtype: torch.dtype) -> BatchSources:
        """Read them off the labels [B]. Elsewhere than on a CPU they are not checked, which would wait.

        Raises:
            RecipeError: there are fewer than two sources, or one has a single utterance.
        """
        if labels.device.type == "cpu":
            _check_pairs(labels)
        same = labels[:, None] == labels
        owner = torch.where(same, _places(labels), len(labels)).amin(dim=1)
        # A product with 0 and 1 adds up in a fixed order; scattered additions on a GPU would not.
        return cls(owner, same.to(dtype))

    @property
    def others(self) -> Tensor:
        """`members` without an utterance itself, [B, B]."""
        return self.members - torch.eye(len(self.owner), dtype=self.members.dtype, device=self.members.device)

    def source_places(self) -> Tensor:
        """Whether a place is that of an utterance's source, [B, B]."""
        return self.owner[:, None] == _places(self.owner)

    def without_empty_places(self, logits: Tensor) -> Tensor:
        """Logits [B, B] with those of the places that stand for no source at -∞."""
        return logits.masked_fill(self.owner != _places(self.owner), -torch.inf)

    def without_undecided(self, logits: Tensor, undecided: Tensor | None) -> Tensor:
        """Logits [B, B] of each utterance and the source of each place, with some at -∞: those of the sources that
        the utterance is undecided with any utterance of, by `undecided` [B, B]."""
        if undecided is None:
            return logits
        sources = undecided.to(self.members.dtype) @ self.members > 0
        return logits.masked_fill(sources & ~self.source_places(), -torch.inf)

    def source_cross_entropy(self, logits: Tensor) -> Tensor:
        """Mean of -log softmax(logits)[own source] over the sources; logits [B, B], a row for each utterance."""
        places = _places(self.owner)
        return F.cross_entropy(self.without_empty_places(logits), torch.where(self.owner == places, places, IGNORED))


def _places(labels: Tensor) -> Tensor:
    return torch.arange(len(labels), device=labels.device)


def _check_pairs(labels: Tensor) -> None:
    sources, counts = torch.unique(labels, return_counts=True)
    if len(sources) < 2:
        raise RecipeError("loss: a batch of one source has nothing to tell apart; use the balanced sampler")
    if int(counts.min()) < 2:
        alone = int(sources[counts.argmin()])
        raise RecipeError(
            f"loss: label {alone} has a single utterance in the batch, and this loss needs 2 or more of each "
            "source; use the balanced sampler with utterances_per_source = 2 or more"
        )


def marked_means(members: Tensor, embeddings: Tensor) -> Tensor:
    """Mean of the embeddings [B, D] that each row of `members` [N, B] marks with 1: [N, D]."""
    return members @ embeddings / members.sum(dim=1, keepdim=True)
