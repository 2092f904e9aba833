"""One step of a training: crops -> backbone -> loss -> Adam, and how torch is set for it.

Nothing in a step waits for the device: the rate goes there as a tensor, and loss and accuracy stay there until
somebody asks (`Step.seen`). So a GPU always has work ahead, and the whole step can be captured as one CUDA graph.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.background import in_order
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import Recipe, Schedule
from synthprint.training.averaging import follower
from synthprint.training.data import TrainingData
from synthprint.training.distributed import MeanGradients, ProcessGroup
from synthprint.training.feature_corpus import FeatureCorpus
from synthprint.training.fingerprints import fingerprint_columns, with_unheard
from synthprint.training.modules import heads
from synthprint.training.resident import ResidentCorpus
from synthprint.training.twins import featured, undecided_with_copies

BATCHES_AHEAD = 3
WARM_UP = 3  # calls before a capture: libraries set themselves up, and Adam its moments


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Make the same seed give the same result on the same machine, and leave torch as it was found."""
    cuda = torch.device(device).type == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Only shows up who reads what nobody wrote, and costs a write of every tensor.
        memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(devices=[device] if cuda else []):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled


def learning_rate(schedule: Schedule, epoch: float) -> float:
    """Linear warm-up to the peak, then a cosine to zero; `epoch` counts from 0, with fractions."""
    if epoch < schedule.warmup_epochs:
        return schedule.peak_lr * epoch / schedule.warmup_epochs
    done = (epoch - schedule.warmup_epochs) / max(schedule.epochs - schedule.warmup_epochs, 1e-9)
    return schedule.peak_lr * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def adam(modules: nn.Module, schedule: Schedule, device: str) -> torch.optim.Adam:
    """The optimiser of a recipe, as one kernel over all parameters; its rate is a tensor on `device`."""
    return torch.optim.Adam(  # as a group, which may be empty where there are no epochs
        [{"params": list(modules.parameters())}],
        lr=torch.tensor(schedule.peak_lr, device=device),
        weight_decay=schedule.weight_decay,
        fused=True,
    )


def batch_accuracy(loss: Any, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Share of a batch [B, D] whose source is found: by the loss's classifier, else by the nearest batch-mate."""
    predicted = loss.predict(embeddings)
    if predicted is None:
        unit = F.normalize(embeddings)
        nearest = (unit @ unit.T).fill_diagonal_(-2.0).argmax(dim=1)
        predicted = labels[nearest]
    return (predicted == labels).float().mean()


class Step:
    """Makes the steps of a training that passed `preflight`.

    Args:
        modules: "backbone" and "loss", and what follows the backbone where that is averaged; on the device.
        crops: what a batch holds of this process's clips -> waveforms [P, T]; on the device.
        bfloat16: run the backbone under autocast.
        compiled: run it through torch.compile.
        captured: run the whole step as a CUDA graph (see `Captured`).
        computed: a batch holds features [P, S] of this process's clips, and only the head runs.

    Raises:
        RecipeError: there are to be twins or fingerprints, and the backbone can have none.
    """

    def __init__(
        self, recipe: Recipe, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer, processes: ProcessGroup,
        crops: Callable[[Tensor], Tensor], *, bfloat16: bool = False, compiled: bool = False, captured: bool = False,
        computed: bool = False,
    ) -> None:  # fmt: skip
        backbone = modules["backbone"]
        processes.synchronise(backbone)
        self._recipe, self._modules, self._optimizer, self._processes = recipe, modules, optimizer, processes
        self._crops, self._bfloat16 = crops, bfloat16
        self._forward: Callable[[Tensor], Tensor] = torch.compile(backbone) if compiled else backbone
        self._featured = featured(backbone) if recipe.twins.copies or recipe.fingerprints.copies or computed else None
        self._columns = fingerprint_columns(backbone) if recipe.fingerprints.copies else {}
        self._computed, self._heads = computed, heads(backbone)
        self._follow = follower(modules, recipe.schedule.average)
        self._gradients = MeanGradients(modules.parameters(), processes)
        self._rate = 0.0
        self._loss, self._accuracy = torch.zeros(2, device=processes.device).unbind()
        self._run: Callable[..., None] = (
            Captured(self._learn, torch.device(processes.device), self._allow_capture) if captured else self._learn
        )

    def __call__(
        self, inputs: Tensor, labels: Tensor, epoch: int, step: int, steps: int, undecided: Tensor | None = None
    ) -> None:
        """One step, `step` of `steps` of `epoch`, both from 0.

        Args:
            inputs: [P, …], what `crops` takes.
            labels: [B], of the whole batch. All on the device, or in pinned memory.
            undecided: [B, B] bool, pairs of the whole batch that a loss is to leave out; None is no pair.
        """
        seed = np.random.SeedSequence([self._recipe.seed, epoch, step]).generate_state(1, np.uint64)
        torch.manual_seed((int(seed[0]) + self._processes.rank) % 2**64)  # for dropout, where there is any
        self._rate = learning_rate(self._recipe.schedule, epoch + (step + 1) / steps)
        for group in self._optimizer.param_groups:
            group["lr"].fill_(self._rate)
        if undecided is None:
            undecided = torch.zeros(len(labels), len(labels), dtype=torch.bool)
        self._run(inputs, labels, undecided)

    def _learn(self, inputs: Tensor, labels: Tensor, undecided: Tensor) -> None:
        device, loss_of = torch.device(self._processes.device), self._modules["loss"]
        waveforms, labels = self._crops(inputs.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            if self._featured is None:
                embeddings = self._processes.gather(self._forward(waveforms).float(), len(labels))
            else:
                features = waveforms if self._computed else self._featured.features(waveforms)
                features, labels = with_unheard(
                    features, labels, self._recipe.twins, self._recipe.fingerprints, self._columns
                )
                embeddings = self._processes.gather(self._featured.head(features).float(), len(labels))
        parts, left_out = embeddings.chunk(self._heads, dim=1), self._left_out(undecided, labels)
        loss = torch.stack([loss_of(part, labels, **left_out) for part in parts]).mean()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._gradients.finish()
        self._optimizer.step()
        self._follow()
        with torch.no_grad():
            # The first loss that is not finite stays, so that nobody has to look after every step.
            self._loss.copy_(torch.where(self._loss.isfinite(), loss.detach(), self._loss))
            self._accuracy.copy_(batch_accuracy(loss_of, parts[0].detach(), labels))

    def _left_out(self, undecided: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What a loss takes beside a batch and its copies; `undecided` [B, B] is of the batch alone."""
        if not getattr(self._modules["loss"], "takes_undecided", False):
            return {}
        pairs = undecided.to(labels.device, non_blocking=True)
        return {"undecided": undecided_with_copies(pairs, len(labels))}

    def seen(self, epoch: int) -> dict[str, float]:
        """Loss, accuracy and rate of the last step, once it is done; `epoch`, from 1, is for the error.

        Raises:
            RecipeError: a loss since the last call was not finite.
        """
        loss = self._loss.item()
        if not math.isfinite(loss):
            raise RecipeError(f"the loss became {loss} in epoch {epoch}; lower [schedule] peak_lr")
        return {"loss": loss, "accuracy": self._accuracy.item(), "lr": self._rate}

    def _allow_capture(self) -> None:
        for group in self._optimizer.param_groups:
            group["capturable"] = True


class Captured:
    """Runs `work` as a CUDA graph, on tensors of its own into which each call's are copied.

    The first WARM_UP calls run as usual, though on a side stream, as captures ask for; then `work` is captured, which
    does not run it, and from then on replayed. On another device it is always called.

    Args:
        work: a function of tensors, whose shapes never change; what it gives it writes into tensors made before.
        before_capture: called once.
    """

    def __init__(self, work: Callable[..., None], device: torch.device, before_capture: Callable[[], None]) -> None:
        self._work, self._device, self._before_capture = work, device, before_capture
        self._inputs: list[Tensor] = []
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __call__(self, *inputs: Tensor) -> None:
        """As `work`.

        Raises:
            RecipeError: it does something that cannot be captured.
        """
        self._inputs = self._inputs or [torch.empty_like(given, device=self._device) for given in inputs]
        for own, given in zip(self._inputs, inputs, strict=True):
            assert own.shape == given.shape, f"captured with {list(own.shape)}, called with {list(given.shape)}"
            own.copy_(given, non_blocking=True)
        if self._stream is None:
            self._work(*self._inputs)
            return
        with torch.cuda.device(self._device):
            self._call_on_gpu(self._stream)

    def _call_on_gpu(self, stream: torch.cuda.Stream) -> None:
        self._calls += 1
        if self._calls <= WARM_UP:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._work(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return
        if self._graph is None:
            self._before_capture()
            self._graph = torch.cuda.CUDAGraph()
            try:
                # thread_local: the thread that prepares batches may meanwhile ask for pinned memory.
                with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                    self._work(*self._inputs)
            except RuntimeError as error:
                why = f"this step cannot be captured, leave capture out: {error}"
                raise RecipeError(why, parameter="capture") from error
        self._graph.replay()


def prepared(
    data: TrainingData | ResidentCorpus | FeatureCorpus,
    epoch: int,
    steps: Iterable[tuple[int, np.ndarray]],
    processes: ProcessGroup,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What a `Step` takes for each of the `steps` (number, utterances [B]), made in a thread a few batches ahead.

    Yields:
        Inputs [P, …], labels [B] and undecided pairs [B, B].
    """
    pinned = torch.device(processes.device).type == "cuda"  # what lies there is fetched while the GPU works

    def batch(at: tuple[int, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
        step, indices = at
        inputs, labels = data.batch(indices, epoch, step, processes.part(len(indices)))
        undecided = data.undecided(indices)
        return (
            (inputs.pin_memory(), labels.pin_memory(), undecided.pin_memory())
            if pinned
            else (inputs, labels, undecided)
        )

    return in_order(batch, steps, workers=1, ahead=BATCHES_AHEAD)
