"""Processes that train together, as `torchrun` starts them: one batch shared out, one result.

    torchrun --nproc-per-node W -m synthprint train RECIPE --data DATA --out RUN

Every process embeds its part of a batch; the embeddings of all parts are gathered, and every process computes the
loss over the whole batch, as metric losses need. Batch normalisation takes its statistics over the whole batch too.
So W processes take the step of one.

How the gradient comes out right: `ProcessGroup.gather` has its true adjoint (a sum over the processes), so what is
differentiated is the sum of W equal losses, and `MeanGradients`, a mean over the processes, divides by W. That holds
for the parameters of the loss as for those of the backbone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from synthprint.errors import RecipeError, SynthprintError
from synthprint.training.batch_norm import SynchronisedBatchNorm

T = TypeVar("T")
# The first process may decode a corpus while the others wait; torchrun ends them all where one fails.
PATIENCE = timedelta(hours=24)
BUCKET_BYTES = 25 << 20  # gradients that are sent at once


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a training; this one is number `rank` of `size`, and `device` is its own.

    Attributes:
        local_rank: its number among those of this machine.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes: files, log and progress are the first one's."""
        return self.rank == 0

    def part(self, total: int) -> slice:
        """Which of the `total` utterances of a batch are this process's.

        Raises:
            RecipeError: there are fewer of them than processes.
        """
        if total < self.size:
            raise RecipeError(
                f"a batch of {total} cannot be shared out to {self.size} processes; start {total} or fewer, or "
                "enlarge the batch in [sampler]"
            )
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

    def synchronise(self, module: nn.Module) -> None:
        """Make every batch normalisation in `module` take its statistics over all processes; names stay."""
        for child in module.modules() if self.size > 1 else ():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                child.__class__ = SynchronisedBatchNorm

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

    def hand_out(self, modules: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Give the first process's weights and optimiser state to all."""
        if self.size == 1:
            return
        for tensor in modules.state_dict().values():
            distributed.broadcast(tensor, src=0)
        state = optimizer.state_dict()
        layout = {
            index: {key: (value.shape, value.dtype, value.device.type) for key, value in values.items()}
            for index, values in state["state"].items()
        }
        for index, values in self.from_first(layout).items():
            for key, (shape, dtype, kind) in values.items():
                if not self.first:
                    device = kind if kind == "cpu" else self.device
                    state["state"].setdefault(index, {})[key] = torch.empty(shape, dtype=dtype, device=device)
                distributed.broadcast(state["state"][index][key], src=0)
        optimizer.load_state_dict(state)

    @contextmanager
    def first_of_each_machine(self) -> Iterator[None]:
        """The first process of each machine runs the block before its others do."""
        if self.size > 1 and self.local_rank > 0:
            self.from_all(None)
        yield
        if self.size > 1 and self.local_rank == 0:
            self.from_all(None)


@contextmanager
def join_processes(device: str) -> Iterator[ProcessGroup]:
    """The processes that torchrun has started, joined while the block runs; without torchrun this one, alone.

    Args:
        device: a torch device; "cuda" is each process's own GPU.

    Raises:
        RecipeError: several processes would share one GPU.
        SynthprintError: another process has ended.
    """
    size, local_rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if size == 1:
        yield ProcessGroup(device=device)
        return
    kind = torch.device(device)
    if kind.type == "cuda":
        if kind.index is not None and int(os.environ.get("LOCAL_WORLD_SIZE", size)) > 1:
            raise RecipeError(f"device {device!r}: several processes cannot share one GPU; name it 'cuda'")
        device = device if kind.index is not None else f"cuda:{local_rank}"
        torch.cuda.set_device(device)
    # What lies on a CPU goes over gloo with GPUs too: objects, Adam's number of steps.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if kind.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield ProcessGroup(distributed.get_rank(), size, device, local_rank)
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise SynthprintError("another process of this training has ended; see what it said") from error
        raise
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


class MeanGradients:
    """Brings gradients to their mean over all processes, in part while the backward pass still runs.

    The parameters are cut into buckets, the last ones first, as backward passes reach them; a bucket is sent as soon
    as its gradients, and those of the buckets before it, are there. Parameters that the loss does not depend on keep
    no gradient. torch's DistributedDataParallel does the same, but regroups after its first step: sums of three and
    more would be rounded otherwise after a resume, and a killed run would not end as one that was never stopped.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], processes: ProcessGroup) -> None:
        learning = [parameter for parameter in parameters if parameter.requires_grad] if processes.size > 1 else []
        self._size = processes.size
        self._buckets = _buckets(learning[::-1])
        self._bucket_of: dict[Tensor, int] = {
            parameter: i for i, bucket in enumerate(self._buckets) for parameter in bucket
        }
        self._start_afresh()
        for parameter in learning:
            parameter.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]

    def _start_afresh(self) -> None:
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[Tensor, distributed.Work]] = []

    def _arrived(self, parameter: Tensor) -> None:
        self._missing[self._bucket_of[parameter]] -= 1
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        """The next bucket: its gradients, zeros where there is none, then for each whether there is one."""
        bucket = self._buckets[len(self._sent)]
        there = [float(parameter.grad is not None) for parameter in bucket]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), bucket[0].new_tensor(there)])
        work = distributed.all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append((flat, work))

    @torch.no_grad()
    def finish(self) -> None:
        """After a backward pass: put the means into the parameters' `grad`."""
        while len(self._sent) < len(self._buckets):
            self._send()
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            work.wait()
            flat.div_(self._size)
            *means, there = torch.split(flat, [*(parameter.numel() for parameter in bucket), len(bucket)])
            for parameter, mean, share in zip(bucket, means, there.tolist(), strict=True):
                parameter.grad = mean.view_as(parameter) if share else None
        self._start_afresh()


def _buckets(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """In their order, each bucket of one kind of number and of BUCKET_BYTES, where no parameter is larger."""
    buckets: list[list[nn.Parameter]] = []
    free = 0
    for parameter in parameters:
        if not buckets or parameter.nbytes > free or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            free = BUCKET_BYTES
        buckets[-1].append(parameter)
        free -= parameter.nbytes
    return buckets
