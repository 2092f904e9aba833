"""Training Thin-ResNet on a CPU: the step as it stands against the straightforward one, in turn, on the same batches.

The straightforward step is the same network over the same weights as commonly written: maps with the time axis
innermost, one operator after another, Adam without options. Both start alike and see the same batches, so their losses
can be compared. What float32 rounding alone does to the losses is shown by the straightforward step on the same clips
in another order, which leaves the loss mathematically unchanged.
"""

from __future__ import annotations

import copy
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import Figure, Topic, seconds
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.backbones.thin_resnet import SqueezeExcitationBlock, ThinResNet
from synthprint.layers.frontend import HOP_SAMPLES, LOG_FLOOR, N_FFT, WINDOW_SAMPLES, FilterbankFrontend, _instance_norm
from synthprint.losses.ge2e import GE2E
from synthprint.sound.audio import SAMPLE_RATE

THREADS = 2
LEARNING_RATE = 1e-4
Batch = tuple[Tensor, Tensor]


def straightforward(network: ThinResNet, waveform: Tensor) -> Tensor:
    """What `network` computes, as commonly written: [B, T] -> [B, dim]."""
    x = network.stem(_straightforward_energies(network.frontend, waveform).unsqueeze(1))
    for block in network.stages:
        assert isinstance(block, SqueezeExcitationBlock)
        x = _straightforward_block(block, x)
    embedding: Tensor = network.linear(network.pooling(x.mean(dim=2)))
    return embedding


def _straightforward_energies(frontend: FilterbankFrontend, waveform: Tensor) -> Tensor:
    with torch.no_grad():
        spectrum = torch.stft(
            waveform, N_FFT, HOP_SAMPLES, WINDOW_SAMPLES, frontend.window, pad_mode="reflect", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        return _instance_norm((torch.matmul(frontend.filters, power) + LOG_FLOOR).log())


def _straightforward_block(block: SqueezeExcitationBlock, x: Tensor) -> Tensor:
    y = block.norm1(F.relu(block.conv1(x)))
    y = block.norm2(block.conv2(y))
    gate = torch.sigmoid(block.excite(F.relu(block.squeeze(y.mean(dim=(2, 3))))))
    if len(block.shortcut):
        convolution, norm = block.shortcut
        assert isinstance(convolution, nn.Conv2d)
        x = norm(F.conv2d(x, convolution.weight, stride=block.stride))
    return F.relu(y * gate[:, :, None, None] + x)


class Step:
    """One training step: forward, loss, backward, Adam; keeps its losses and how long each step took."""

    def __init__(
        self,
        backbone: nn.Module,
        forward: Callable[[Tensor], Tensor] | None = None,
        fused: bool = True,
        bfloat16: bool = False,
    ) -> None:
        self.backbone, self.bfloat16 = backbone.train(), bfloat16
        self.forward = backbone if forward is None else forward
        self.loss = GE2E(dim=int(backbone.dim), sources=2)  # type: ignore[arg-type]
        parameters = [*backbone.parameters(), *self.loss.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=fused or None)
        self.losses: list[float] = []
        self.times_s: list[float] = []

    def __call__(self, batch: Batch) -> None:
        self.times_s.append(seconds(lambda: self._step(*batch)))

    def _step(self, waveforms: Tensor, labels: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            embeddings = self.forward(waveforms).float()
        loss = self.loss(embeddings, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())


def sounds(clips: int, n_samples: int, seed: int) -> Batch:
    """Tones in noise, four of each pitch: waveforms [clips, n_samples] and labels [clips]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips // 4).repeat_interleave(4)
    pitch_hz = 100.0 * 1.15 ** (labels[:, None] + 0.3 * torch.randn(clips, 1, generator=generator))
    phase = 2 * torch.pi * pitch_hz.clamp(max=7500.0) * torch.arange(n_samples) / SAMPLE_RATE
    noise = 0.1 * torch.randn(clips, n_samples, generator=generator)
    return 0.1 * torch.sin(phase) + noise, labels


def in_turn(steps: Sequence[Step], batches: Sequence[Batch], runs: int) -> None:
    """Every step on every batch, one after another; `runs` batches in all."""
    for index in range(runs):
        for step in steps:
            step(batches[index % len(batches)])


def speed(what: str, step: Step, base: Step, clips: int) -> Figure:
    """Clips a second, and how many times as many as `base` in the same round; the first round warms up."""
    own, others = step.times_s[1:], base.times_s[-len(step.times_s) :][1:]
    ratios = [other / one for one, other in zip(own, others, strict=True)]
    return Figure(
        what, clips / statistics.median(own), "clips/s", statistics.median(ratios), "x the straightforward step's",
        (min(ratios), max(ratios)),
    )  # fmt: skip


def difference(a: Step, b: Step) -> float:
    """Largest relative difference of two runs' losses."""
    return max(abs(one - other) / other for one, other in zip(a.losses, b.losses, strict=True))


def ceilings(tiny: bool) -> dict[str, float]:
    """GFLOP/s of the machine, the best of several: products of two libraries, and a convolution by itself."""
    side, clips = (256, 4) if tiny else (2048, 64)
    a, maps, kernel = torch.randn(side, side), torch.randn(clips, 128, 5, 51), torch.randn(128, 128, 3, 3)
    maps, low = maps.to(memory_format=torch.channels_last), a.bfloat16()
    work: dict[str, tuple[float, Callable[[], Tensor]]] = {
        "float32 matrix product": (2.0 * side**3, lambda: a @ a),
        "bfloat16 matrix product": (2.0 * side**3, lambda: low @ low),
        "float32 convolution, 128 channels": (2.0 * maps.numel() * 128 * 9, lambda: F.conv2d(maps, kernel, padding=1)),
    }
    rates = {}
    for name, (operations, call) in work.items():
        call()
        rates[name] = operations / min(seconds(call) for _ in range(7)) / 1e9
    return rates


def shares(step: Step, batch: Batch) -> dict[str, float]:
    """The ten operators that take the most of a step, and their shares of all operators' time."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        step._step(*batch)
    events = [event for event in seen.key_averages() if event.key.startswith("aten::")]
    total = sum(event.self_cpu_time_total for event in events)
    events.sort(key=lambda event: -event.self_cpu_time_total)
    return {event.key: round(event.self_cpu_time_total / total, 4) for event in events[:10]}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on `count` threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(tiny: bool) -> Topic:
    """All of it; see the module."""
    with threads(THREADS), torch.random.fork_rng(devices=[]):
        return _run(tiny)


def _run(tiny: bool) -> Topic:
    clips, n_samples, runs = (16, SAMPLE_RATE // 4, 3) if tiny else (128, 2 * SAMPLE_RATE, 20)
    batches = [sounds(clips, n_samples, seed) for seed in range(5)]
    torch.manual_seed(0)
    network = ThinResNet()
    base, reordered, tuned, low = _steps(network)
    with FlopCounterMode(display=False) as counter:
        network(batches[0][0]).sum().backward()
    operations = counter.get_total_flops()
    rates = ceilings(tiny)
    in_turn([base, tuned], batches, runs)
    figures = [
        speed(f"straightforward step, {clips} clips, float32", base, base, clips),
        speed("step as it stands, float32", tuned, base, clips),
    ]
    reached = {name: operations / statistics.median(tuned.times_s[1:]) / 1e9 / rate for name, rate in rates.items()}
    in_turn([reordered], [(w.flip(0), y.flip(0)) for w, y in batches], runs)
    in_turn([low], batches, runs)
    differences = {
        "as it stands": difference(tuned, base),
        "straightforward, clips in another order": difference(reordered, base),
        "bfloat16": difference(low, base),
    }
    profiles = {"straightforward": shares(base, batches[0]), "as it stands": shares(tuned, batches[0])}
    figures += _variants(tiny, network, batches)
    details = {
        "gflop_a_clip": operations / clips / 1e9,
        "ceilings_gflops": rates,
        "share_of_ceiling": reached,
        "largest_relative_loss_difference": differences,
        "losses": {"straightforward": base.losses[:runs], "as it stands": tuned.losses[:runs], "bfloat16": low.losses},
        "operator_shares": profiles,
    }
    settings = {"clips": clips, "seconds": n_samples / SAMPLE_RATE, "steps": runs, "threads": THREADS,
                "learning_rate": LEARNING_RATE, "loss": "ge2e", "dim": network.dim}  # fmt: skip
    return Topic(figures, settings, details)


def _steps(network: ThinResNet) -> tuple[Step, Step, Step, Step]:
    """The straightforward step, it again for other batches, the step as it stands, and that in bfloat16."""
    base, reordered, tuned, low = (copy.deepcopy(network) for _ in range(4))
    return (
        Step(base, lambda x: straightforward(base, x), fused=False),
        Step(reordered, lambda x: straightforward(reordered, x), fused=False),
        Step(tuned),
        Step(low, bfloat16=True),
    )


def _variants(tiny: bool, network: ThinResNet, batches: Sequence[Batch]) -> list[Figure]:
    """Other arithmetic and lighter networks, each round beside the straightforward step."""
    clips, runs = len(batches[0][1]), 2 if tiny else 5
    base, _, _, low = _steps(network)
    half = Step(ThinResNet(stem_stride=(2, 2)))
    light = Step(SpectralStatistics(dim=64))
    steps = {"bfloat16": low, "stem_stride = [2, 2], float32": half, "spectral_statistics, dim 64": light}
    compiled = {} if tiny or not (shutil.which("g++") or shutil.which("clang++")) else _compiled(network)
    for name, step in compiled.items():
        started = time.monotonic()
        step(batches[0])
        step.times_s.clear()
        steps[f"{name} (first step {time.monotonic() - started:.0f} s)"] = step
    in_turn([base, *steps.values()], batches, runs)
    figures = [speed(name, step, base, clips) for name, step in steps.items()]
    small = Step(SpectralStatistics(dim=64))
    few = 8 if tiny else 36
    in_turn([small], [(w[:few], y[:few]) for w, y in batches], runs)
    value = few / statistics.median(small.times_s[1:])
    return [*figures, Figure(f"spectral_statistics, dim 64, {few} clips a batch", value, "clips/s")]


def _compiled(network: ThinResNet) -> dict[str, Step]:
    plain, low = copy.deepcopy(network), copy.deepcopy(network)
    made: dict[str, Any] = {"torch.compile, float32": (plain, False), "torch.compile, bfloat16": (low, True)}
    return {name: Step(module, torch.compile(module), bfloat16=b) for name, (module, b) in made.items()}
