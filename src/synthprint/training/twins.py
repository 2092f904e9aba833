"""Twins: sources that nobody ever heard, made from those of a batch, so that what is learnt is to tell sources apart.

A backbone that first computes fixed features of a waveform and then learns on them can be shown more sources than
there are. A twin of a batch is its features once more, those of each source moved by a random mix of what tells the
batch's sources apart, and given labels of their own. The twin of a source speaks the same words after the same
transmission as the source itself, and differs from it as one system from another.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from synthprint.errors import RecipeError
from synthprint.extractor.recipe import TwinsChoice

LABELS = 1 << 20  # added to a source's label for each twin of it


class Featured(Protocol):
    """A backbone in two halves: `features`, which do not learn, and a `head` on them."""

    def features(self, waveform: Tensor, /) -> Tensor: ...

    def head(self, features: Tensor, /) -> Tensor: ...


def featured(backbone: nn.Module, table: str = "twins") -> Featured:
    """The backbone as its two halves.

    Args:
        table: of a recipe, which asks for them.

    Raises:
        RecipeError: it has none.
    """
    if not hasattr(backbone, "features") or not hasattr(backbone, "head"):
        name = type(backbone).__name__
        raise RecipeError(f"recipe: [{table}] backbone {name} has no features apart from its head: set copies = 0")
    return cast(Featured, backbone)


def undecided_with_copies(undecided: Tensor, rows: int) -> Tensor:
    """The undecided pairs [B, B] of a batch -> those of the batch and its copies, [rows, rows].

    A copy's row is undecided with the rows of the same copy that its original is undecided with, and with no other:
    whatever two copies were moved by, it was not the same.

    Args:
        rows: B times one more than there are copies, copy after copy as `with_twins` gives them.
    """
    return torch.block_diag(*[undecided] * (rows // len(undecided)))  # type: ignore[no-untyped-call]


def with_twins(features: Tensor, labels: Tensor, choice: TwinsChoice) -> tuple[Tensor, Tensor]:
    """Features [B, S] and labels [B] -> the same with twins: [B (1 + copies), S] and [B (1 + copies)].

    Source s of the batch's N moves by u sqrt(2 / (N - 1)) sum over k of z_k (mean of source k - mean of all sources),
    with u from 0 to `choice.share` and normal z_k, all drawn from torch's generator. With u = 1 that is as long, in the
    mean square, as the difference of two sources' means.
    """
    same = (labels[:, None] == labels).to(features.dtype)
    first = same.argmax(dim=1)  # of each row, the first of its source
    one_each = (first == torch.arange(len(labels), device=labels.device)).to(features.dtype)[:, None]
    means = same @ features / same.sum(dim=1, keepdim=True) * one_each  # of each source once, else 0
    sources = one_each.sum()
    apart = (means - means.sum(dim=0) / sources) * one_each
    rows, marks = [features], [labels]
    for twin in range(choice.copies):
        mix = torch.randn(len(labels), len(labels), device=labels.device)[first]
        share = choice.share * torch.rand(len(labels), 1, device=labels.device)[first]
        rows.append(features + share * (2 / (sources - 1)).sqrt() * (mix @ apart))
        marks.append(labels + (twin + 1) * LABELS)
    return torch.cat(rows), torch.cat(marks)
