"""Batch normalisation over the parts of a batch that several processes have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the parts of all processes, [B, C, …]. torch's own runs on GPUs only."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected [B, C, …], got {list(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, …] -> the same."""
        return self._over_all(x) if self.training else super().forward(x)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _over_all(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        with torch.no_grad():
            mean, variance, count = _statistics(x)
            self._learn(mean, variance * count / (count - 1))
        normal: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, mean, variance, count, self.eps
        )
        return normal

    def _learn(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance [C] of all processes' [B, C, …], and of how many values each is."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, [0, *range(2, x.dim())], correction=0)
    own = torch.cat([mean, variance, mean.new_tensor([x.numel() / x.shape[1]])])  # [2 C + 1]
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    means, variances, counts = torch.split(torch.stack(parts), [len(mean), len(mean), 1], dim=1)
    count = counts.sum()
    shares = counts / count
    mean = (shares * means).sum(dim=0)
    return mean, (shares * (variances + (means - mean).square())).sum(dim=0), count


class _Normalise(torch.autograd.Function):
    """Batch normalisation by given statistics, differentiated as what they are: those of all processes' values.

    With n = (x - mean) / deviation, and means over all values of a channel,
    dL/dx = weight / deviation · (g - mean(g) - n · mean(g · n)), g being dL/dy (Ioffe and Szegedy, ICML 2015).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor,
        count: Tensor, eps: float,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        # What this gives for x is weight / deviation · g; the other two are the sums of g · n and of g.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_weight, of_bias])
        distributed.all_reduce(sums)
        deviation = (variance + ctx.eps).sqrt()
        scale = 1.0 / deviation if weight is None else weight / deviation
        slope = scale * sums[0] / count / deviation
        shift = scale * sums[1] / count - slope * mean
        along = [1, -1, *[1] * (x.dim() - 2)]
        of_x = of_x - torch.addcmul(shift.view(along), x, slope.view(along))
        return of_x.to(x.dtype), None if weight is None else of_weight, None if weight is None else of_bias, *[None] * 4
