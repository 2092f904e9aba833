"""Processes that train together, as `torchrun` starts them: one batch shared out, one result.

    torchrun --nproc-per-node W -m synthprint train RECIPE --data DATA --out RUN

Every process embeds its part of a batch; the embeddings of all parts are gathered, and every process computes the
loss over the whole batch, as metric losses need. Batch normalisation takes its statistics over the whole batch too.
So W processes give the loss and the gradient of one.

How the gradient comes out right: `World.gather` has its true adjoint (a sum over the processes), so what is
differentiated is the sum of W equal losses, and DistributedDataParallel's mean over the processes divides by W.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from synthprint.errors import RecipeError

T = TypeVar("T")
# The first process may decode a corpus while the others wait; torchrun ends them all where one fails.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class World:
    """The processes of a training; this one is number `rank` of `size`, and `device` is its own."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes: files, log and progress are the first one's."""
        return self.rank == 0

    def part(self, total: int) -> slice:
        """Which of `total` items are this process's.

        Raises:
            RecipeError: there are fewer items than processes.
        """
        if total < self.size:
            raise RecipeError(f"a batch of {total} cannot be shared out to {self.size} processes; start fewer")
        sizes = self._sizes(total)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def _sizes(self, total: int) -> list[int]:
        return [total // self.size + (rank < total % self.size) for rank in range(self.size)]

    def gather(self, part: Tensor, total: int) -> Tensor:
        """The parts of all processes one after another: this one's [n, …] -> [total, …]. It can be differentiated."""
        if self.size == 1:
            return part
        gathered: Tensor = _Gather.apply(part, self._sizes(total), self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients that all processes have by their mean, so that rounding cannot drive them apart."""
        if self.size > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.size

    def from_first(self, value: T) -> T:
        """The first process's `value`, in all."""
        if self.size == 1:
            return value
        values: list[Any] = [value if self.first else None]
        distributed.broadcast_object_list(values, src=0)
        received: T = values[0]
        return received

    def from_all(self, value: T) -> list[T]:
        """Every process's `value`, in all."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def parallel(self, backbone: nn.Module) -> Callable[[Tensor], Tensor]:
        """`backbone` for this process's part of a batch; gradients come out as those of the whole batch.

        Its batch normalisation is changed in place.
        """
        if self.size == 1 or not any(parameter.requires_grad for parameter in backbone.parameters()):
            return backbone
        _synchronise(backbone, self)
        devices = None if self.device == "cpu" else [self.device]
        return DistributedDataParallel(backbone, device_ids=devices, gradient_as_bucket_view=True)


@contextmanager
def world(device: str) -> Iterator[World]:
    """The processes that torchrun has started, joined while the block runs; without torchrun this one, alone.

    Args:
        device: a torch device; "cuda" is each process's own GPU.

    Raises:
        RecipeError: several processes would share one GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    kind = torch.device(device)
    if kind.type == "cuda":
        if kind.index is not None and int(os.environ.get("LOCAL_WORLD_SIZE", size)) > 1:
            raise RecipeError(f"device {device!r}: several processes cannot share one GPU; name it 'cuda'")
        device = device if kind.index is not None else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if kind.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    """All-gather along the first dimension; the parts may differ in length."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.start, ctx.length = sum(sizes[:rank]), sizes[rank]
        padding = [0, 0] * (part.dim() - 1) + [0, max(sizes) - sizes[rank]]
        padded = F.pad(part, padding).contiguous()
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([one[:size] for one, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.start : ctx.start + ctx.length], None, None


class _SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the parts of all processes; [B, C, …]. torch's own runs on GPUs only."""

    world: World

    def _check_input_dim(self, x: Tensor) -> None:
        if x.dim() < 2:
            raise ValueError(f"expected [B, C, …], got {list(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, …] -> the same."""
        if not self.training:
            return super().forward(x)
        rest = [0, *range(2, x.dim())]
        count = x.numel() // x.shape[1]
        wide = x.float()
        mean = wide.mean(dim=rest)  # [C]
        squares = (wide - _along(mean, x)).square().sum(dim=rest)  # [C]
        own = torch.cat([mean, squares, mean.new_full((1,), count)])[None]  # [1, 2 C + 1]
        gathered = self.world.gather(own, self.world.size)  # [W, 2 C + 1]
        means, squares, counts = gathered.tensor_split([len(mean), 2 * len(mean)], dim=1)
        total = counts.sum()
        mean = (counts * means).sum(dim=0) / total
        variance = (squares + counts * (means - mean).square()).sum(dim=0) / total
        self._learn(mean.detach(), variance.detach() * total / (total - 1))
        normal = (wide - _along(mean, x)) * _along((variance + self.eps).rsqrt(), x)
        return (normal * _along(self.weight, x) + _along(self.bias, x)).to(x.dtype)

    @torch.no_grad()
    def _learn(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _along(values: Tensor, x: Tensor) -> Tensor:
    """[C] as it goes with [B, C, …]."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def _synchronise(module: nn.Module, of: World) -> None:
    """Make every batch normalisation below `module` take its statistics over all processes; names stay."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            if not (child.affine and child.track_running_stats):
                raise RecipeError("batch normalisation without weights or statistics cannot be shared by processes")
            child.__class__ = _SynchronisedBatchNorm  # type: ignore[assignment]
            child.world = of  # type: ignore[assignment]
