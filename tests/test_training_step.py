"""The step of a training: it waits for nothing, can be captured, and Adam is Adam."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import deterministic
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import SOURCES, TINY_RECIPE
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import LossChoice, Schedule
from synthprint.layers import similarity
from synthprint.training.distributed import ProcessGroup
from synthprint.training.hardware import Hardware
from synthprint.training.modules import build
from synthprint.training.preflight import check_processes
from synthprint.training.step import WARM_UP, Captured, Step, adam, batch_accuracy, repeatable

BATCH = 6
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def waveforms(step: int) -> Tensor:
    return 0.1 * torch.randn(BATCH, 8000, generator=torch.Generator().manual_seed(step))


def make(loss: str = "aam_softmax", **options: Any) -> tuple[Step, nn.ModuleDict]:
    recipe = replace(TINY_RECIPE, loss=LossChoice(loss))
    modules = build(recipe, SOURCES)
    return Step(recipe, modules, adam(modules, recipe.schedule, "cpu"), ProcessGroup(), lambda x: x, **options), modules


class NeverWaits(TorchDispatchMode):
    """Fails where a GPU would be waited for: where a number or a size is read from a tensor's values."""

    WAITING = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.__name__.partition(".")[0] not in self.WAITING, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "loss",
    [
        "aam_softmax",
        "softmax",
        "a_softmax",
        "ge2e",
        "prototypical",
        "angular_prototypical",
        "proxy_anchor",
        "supervised_contrastive",
    ],
)
def test_a_step_never_waits_for_the_device(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_check_pairs", lambda _: None)  # it is done on a CPU alone
    step, _ = make(loss)
    with NeverWaits():
        for index in range(3):
            step(waveforms(index), LABELS, 0, index, 3)
        with pytest.raises(AssertionError, match="waits for the device"):
            step.seen(1)


def test_what_is_seen_is_what_was_computed() -> None:
    step, modules = make()
    modules.train()
    expected = build(TINY_RECIPE, SOURCES)
    step(waveforms(0), LABELS, 0, 0, 4)
    with torch.no_grad():
        embeddings = expected["backbone"](waveforms(0))
        loss = float(expected["loss"](embeddings, LABELS))
        nearest = expected["loss"].directions(embeddings).argmax(dim=1)
    rate = TINY_RECIPE.schedule.peak_lr * 0.25 / 0.5  # a quarter of an epoch, in a warm-up of half a one
    assert step.seen(1) == pytest.approx(
        {"loss": loss, "accuracy": float((nearest == LABELS).float().mean()), "lr": rate}
    )


def test_the_first_loss_that_is_not_finite_stays() -> None:
    step, _ = make()
    step(torch.full((BATCH, 8000), torch.nan), LABELS, 0, 0, 4)
    step._modules.load_state_dict(build(TINY_RECIPE, SOURCES).state_dict())
    step(waveforms(1), LABELS, 0, 1, 4)
    with pytest.raises(RecipeError, match="the loss became nan in epoch 7; lower"):
        step.seen(7)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_fixed_tensors_change_nothing(bfloat16: bool) -> None:
    weights = []
    for captured in (False, True):
        step, modules = make(captured=captured, bfloat16=bfloat16)
        for index in range(WARM_UP + 2):
            step(waveforms(index), LABELS.roll(index), 0, index, 9)
        weights.append(modules.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_several_processes_are_not_captured() -> None:
    with pytest.raises(RecipeError, match="leave capture out") as caught:
        check_processes(TINY_RECIPE, Hardware(capture=True), ProcessGroup(0, 2))
    assert caught.value.parameter == "capture"


class Recorder:
    """Stands for CUDA: between the begin and the end of a capture work is recorded and not done."""

    def __init__(self) -> None:
        self.capturing = False
        self.done: list[list[float]] = []
        self.recorded: Tensor | None = None
        self.events: list[str] = []

    def work(self, x: Tensor) -> None:
        if self.capturing:
            self.recorded = x
            self.events.append("captured")
        else:
            self.done.append(x.tolist())
            self.events.append("called")

    def replay(self) -> None:
        assert self.recorded is not None
        self.done.append(self.recorded.tolist())
        self.events.append("replayed")

    @contextmanager
    def graph(self, *_: Any, **options: Any) -> Iterator[None]:
        assert options["capture_error_mode"] == "thread_local"
        self.capturing = True
        yield
        self.capturing = False


class FakeStream:
    def wait_stream(self, other: FakeStream) -> None:
        assert isinstance(other, FakeStream)


@contextmanager
def nothing(*_: Any, **__: Any) -> Iterator[None]:
    yield


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: recorder)
    monkeypatch.setattr(torch.cuda, "graph", recorder.graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: FakeStream())
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", nothing)
    monkeypatch.setattr(torch.cuda, "device", nothing)
    monkeypatch.setattr(torch, "empty_like", lambda given, device: torch.zeros(given.shape))  # noqa: ARG005
    return recorder


def test_every_call_takes_effect_once_on_what_it_is_given(cuda: Recorder) -> None:
    """Warm-up, capture and replays; the capture itself does no work."""
    captured = Captured(cuda.work, torch.device("cuda"), lambda: cuda.events.append("allowed"))
    for number in range(WARM_UP + 3):
        captured(torch.full((2,), float(number)))
    assert cuda.done == [[float(number)] * 2 for number in range(WARM_UP + 3)]
    assert cuda.events == ["called"] * WARM_UP + ["allowed", "captured"] + ["replayed"] * 3
    with pytest.raises(AssertionError, match=r"captured with \[2\], called with \[3\]"):
        captured(torch.zeros(3))


def test_what_cannot_be_captured_says_what_to_leave_out(cuda: Recorder) -> None:
    def work(_: Tensor) -> None:
        if cuda.capturing:
            raise RuntimeError("operation not permitted when stream is capturing")

    captured = Captured(work, torch.device("cuda"), lambda: None)
    for _ in range(WARM_UP):
        captured(torch.zeros(1))
    with pytest.raises(RecipeError, match="cannot be captured, leave capture out: operation not permitted") as caught:
        captured(torch.zeros(1))
    assert caught.value.parameter == "capture"


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_is_adam(weight_decay: float) -> None:
    """In double precision, from the paper's algorithm 1 (Kingma and Ba, ICLR 2015), weight decay as an L2 penalty."""
    net = nn.Linear(5, 4)
    schedule = Schedule(weight_decay=weight_decay)
    optimizer = adam(net, schedule, "cpu")
    x = net.weight.detach().double().clone()
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, 30):
        gradient = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        net.weight.grad, rate = gradient.clone(), 1e-2 / step
        optimizer.param_groups[0]["lr"].fill_(rate)
        optimizer.step()
        g = gradient.double() + weight_decay * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g.square()
        x = x - rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    torch.testing.assert_close(net.weight.detach().double(), x, atol=1e-6, rtol=1e-5)


def test_accuracy_without_a_classifier_is_that_of_the_nearest() -> None:
    class Nothing:
        def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
            return

    embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 5.0], [0.1, 0.9], [1.0, -0.05], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    assert float(batch_accuracy(Nothing(), embeddings, labels)) == pytest.approx(2 / 6)


def test_torch_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    state, filled = torch.get_rng_state(), deterministic.fill_uninitialized_memory
    with repeatable("cpu"):
        torch.randn(3)
        assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(torch.random, "fork_rng", nothing)
    with repeatable("cuda"):
        assert torch.are_deterministic_algorithms_enabled()
        assert not deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()
    assert deterministic.fill_uninitialized_memory == filled
