"""Training on a GPU: the corpus on the device, bfloat16, compiled and captured, beside the plain path on the same one.

Thin-ResNet and GE2E with the batches of the paper's recipe, on sounds that are made here. Without a CUDA device nothing
is measured; a tiny run does the same on the CPU, without torch.compile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import Figure, Paired, Topic, paired, seconds
from synthprint.extractor.recipe import Recipe
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.training.data import TrainingData
from synthprint.training.distributed import ProcessGroup
from synthprint.training.hardware import Hardware
from synthprint.training.loop import dev_eer
from synthprint.training.modules import build
from synthprint.training.resident import resident
from synthprint.training.step import Step, adam, prepared, repeatable
from synthprint.types import Manifest, Utterance

RECIPE = "paper/thin_resnet_ge2e_balanced"
TINY = ["sampler.sources_per_batch=4", "backbone.widths=[4, 4, 8, 8]", "backbone.blocks=[1, 1, 1, 1]",
        "crop.samples=8000", "schedule.warmup_epochs=0"]  # fmt: skip
PAPER_CROPS = 300 * 11_100
PLAIN, RESIDENT = Hardware(), Hardware(resident=True)


def run(tiny: bool) -> Topic:
    """Speed, its share of what the device can do, and whether both paths learn the same."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not tiny:
        return Topic([], {"device": "there is no CUDA device here: nothing was measured"})
    recipe = Recipe.load(RECIPE).changed(TINY if tiny else [])
    settings = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "none with CUDA: a tiny run on the CPU",
        "recipe": RECIPE, "crop": f"{recipe.crop.samples} samples", "fast": "resident, bfloat16, compiled, captured",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, repeatable(device):
        manifest = corpus(
            Path(folder), sources=4 if tiny else 24, clips=20 if tiny else 80, seconds_each=1.0 if tiny else 4.0
        )
        data = TrainingData.open(recipe, manifest, Path(folder) / "pack")
        settings["training clips"] = len(data.train)
        figures, details = speeds(data, device, tiny)
        return Topic([*figures, *agreement(data, device, tiny)], settings, details)


class Engine:
    """A training as `synthprint.training.loop.train` sets it up, but for the folder of a run."""

    def __init__(self, data: TrainingData, device: str, hardware: Hardware) -> None:
        recipe = data.recipe
        self.data, self.processes, self.sampler = data, ProcessGroup(device=device), data.sampler()
        self.modules = build(recipe, len(data.names)).to(device).train()
        self.corpus = resident(data, device, hardware.resident or False)
        self.clips = 0
        self._step = Step(
            recipe, self.modules, adam(self.modules, recipe.schedule, device), self.processes,
            self.corpus.train.crops if self.corpus else lambda crops: crops,
            bfloat16=hardware.precision == "bfloat16", compiled=hardware.compile, captured=hardware.capture,
        )  # fmt: skip
        self._batches = self._all_batches()

    def _all_batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor, int, int]]:
        for epoch in count():
            steps = list(enumerate(self.sampler.batches(epoch)))
            batches = prepared(self.corpus or self.data, epoch, steps, self.processes)
            yield from ((*batch, epoch, step) for (step, _), batch in zip(steps, batches, strict=True))

    def run(self, steps: int) -> None:
        """Make so many steps more, and wait until they are done."""
        self.modules.train()
        for _ in range(steps):
            inputs, labels, undecided, epoch, step = next(self._batches)
            self._step(inputs, labels, epoch, step, len(self.sampler), undecided)
            self.clips += len(labels)
        self._step.seen(epoch + 1)

    def eer(self) -> float:
        """Over all pairs of dev."""
        return dev_eer(self.modules["backbone"], self.data, self.processes, self.corpus)


def speeds(data: TrainingData, device: str, tiny: bool) -> tuple[list[Figure], dict[str, Any]]:
    """Crops a second of three engines, and the fastest one's share of the device."""
    steps, runs = (3, 2) if tiny else (100, 7)
    fast = Engine(data, device, Hardware(device, "bfloat16", device == "cuda", True, True))
    plain = Engine(data, device, replace(PLAIN, device=device))
    lying = Engine(data, device, replace(RESIDENT, device=device))
    fast.run(10)  # compiles, and captures
    size = fast.clips // 10
    of_resident = paired(lambda: plain.run(steps), lambda: lying.run(steps), runs)
    of_fast = paired(lambda: plain.run(steps), lambda: fast.run(steps), runs)

    def speed(what: str, seconds_taken: float, found: Paired | None = None) -> Figure:
        value = steps * size / seconds_taken
        return Figure(what, value, "crops/s", *((found.ratio, "x the plain path", found.spread) if found else ()))

    figures = [
        speed("plain path: crops from the CPU, eager, float32", of_fast.a_s),
        speed("corpus on the device, else the same", of_resident.b_s, of_resident),
        speed("fast: corpus on the device, bfloat16, compiled, captured", of_fast.b_s, of_fast),
        Figure("3.33 M crops at that speed", of_fast.b_s / (steps * size) * PAPER_CROPS / 60, "min"),
    ]
    if not tiny:
        stretch = round(3 * 11_100 / size)
        taken = seconds(lambda: fast.run(stretch)) / (stretch * size) * PAPER_CROPS / 60
        figures.append(Figure(f"3.33 M crops at the speed of {stretch * size} in a row", taken, "min"))
    figures.append(Figure("places of crops drawn on one thread", places_a_second(lying), "crops/s"))
    operations, moved = cost_of_a_crop(data, device)
    flops, bandwidth = ceilings(device, tiny)
    rate = steps * size / of_fast.b_s
    figures += [
        Figure("arithmetic", rate * operations / 1e12, "TFLOP/s", rate * operations / flops,
               "x a large bfloat16 matrix product"),
        Figure("traffic, if every operation read and wrote its tensors once", rate * moved / 1e9, "GB/s",
               rate * moved / bandwidth, "x a large copy"),
    ]  # fmt: skip
    return figures, {"FLOP a crop": operations, "bytes a crop, float32 and eager": moved, "batch": size}


def agreement(data: TrainingData, device: str, tiny: bool) -> list[Figure]:
    """Dev EER of trainings with the same seed."""
    epochs = 15 if tiny else 40
    recipe = replace(data.recipe, schedule=replace(data.recipe.schedule, epochs=epochs, warmup_epochs=epochs / 10,
                                                   peak_lr=1e-3))  # fmt: skip
    data = replace(data, recipe=recipe)
    engines = {
        "the plain path": Hardware(device),
        "the corpus on the device, captured": Hardware(device, resident=True, capture=True),
        "fast": Hardware(device, "bfloat16", device == "cuda", True, True),
    }
    figures = []
    for name, hardware in engines.items():
        engine = Engine(data, device, hardware)
        engine.run(epochs * len(engine.sampler))
        figures.append(Figure(f"dev EER after {epochs} epochs, {name}", 100 * engine.eer(), "%"))
    return figures


def places_a_second(engine: Engine) -> float:
    """What the CPU has to do for each crop of a resident corpus, in processor time."""
    assert engine.corpus is not None
    batches = engine.sampler.batches(0)[:50]
    started = time.thread_time()
    for step, indices in enumerate(batches):
        engine.corpus.batch(indices, 0, step)
    return sum(map(len, batches)) / (time.thread_time() - started)


class Traffic(TorchDispatchMode):
    """Adds up the bytes of all tensors that operations read and write, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            flat = torch.utils._pytree.tree_leaves((args, kwargs, result))
            self.n_bytes += sum(leaf.nbytes for leaf in flat if isinstance(leaf, Tensor))
        return result


def cost_of_a_crop(data: TrainingData, device: str) -> tuple[float, float]:
    """Floating-point operations and bytes of one crop's share of an eager float32 step."""
    engine = Engine(data, device, Hardware(device))
    engine.run(1)
    size = engine.clips
    with FlopCounterMode(display=False) as operations:
        engine.run(1)
    with Traffic() as traffic:
        engine.run(1)
    return operations.get_total_flops() / size, traffic.n_bytes / size


def ceilings(device: str, tiny: bool) -> tuple[float, float]:
    """FLOP/s of a large bfloat16 matrix product, and bytes/s that a large copy reads and writes."""
    side, n_bytes, runs = (256, 2**22, 3) if tiny else (8192, 2**31, 20)
    a, b = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    source, target = (torch.zeros(n_bytes, dtype=torch.int8, device=device) for _ in range(2))

    def repeated(work: Any) -> float:
        def all_runs() -> None:
            for _ in range(runs):
                work()
            if device == "cuda":
                torch.cuda.synchronize()

        all_runs()
        return min(seconds(all_runs) for _ in range(3)) / runs

    return 2 * side**3 / repeated(lambda: a @ b), 2 * n_bytes / repeated(lambda: target.copy_(source))


def corpus(folder: Path, sources: int, clips: int, seconds_each: float) -> Manifest:
    """Sources that differ in how fast a resonance changes its place, a fifth of their clips for dev.

    The front-end takes away what stays the same over a clip.
    """
    rows = []
    time_s = np.arange(320) / SAMPLE_RATE
    for source in range(sources):
        for clip in range(clips):
            rng = np.random.default_rng([source, clip])
            n_samples = round(seconds_each * SAMPLE_RATE * rng.uniform(0.4, 1.6))
            noise = rng.standard_normal(n_samples)
            low, high = (
                np.convolve(noise, np.exp(-300.0 * time_s) * np.cos(2 * np.pi * centre_hz * time_s))[:n_samples]
                for centre_hz in rng.uniform([500.0, 2000.0], [1000.0, 4000.0])
            )
            rate_hz = 1.0 * 12.0 ** (source / (sources - 1))
            turns = rate_hz * np.arange(n_samples) / SAMPLE_RATE + rng.random()
            wave = np.where(turns % 1.0 < 0.5, low, high)
            name = f"{source}-{clip}.wav"
            soundfile.write(folder / name, 0.5 * wave / np.abs(wave).max(), SAMPLE_RATE, "PCM_16")
            rows.append(Utterance(name, name, f"source-{source}", split="train" if clip % 5 else "dev"))
    return Manifest(tuple(rows), folder, "made here")
