"""A linear layer in blocks: several small ones side by side, as of heads that share nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Blocks(nn.Module):
    """[B, inputs] -> [B, outputs], of which block k sees the k-th part of the inputs alone.

    Args:
        inputs, outputs: multiples of `blocks`.
    """

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        bound = (blocks / inputs) ** 0.5  # as nn.Linear draws its weights
        self.weight = nn.Parameter(torch.empty(blocks, inputs // blocks, outputs // blocks).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] -> [B, outputs]."""
        parts = torch.unflatten(x, 1, (len(self.weight), -1)).transpose(0, 1)  # [blocks, B, inputs / blocks]
        return (parts @ self.weight).transpose(0, 1).flatten(1) + self.bias
