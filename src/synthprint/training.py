"""Training an extractor: recipe + manifest -> run folder with checkpoints.

    for each epoch:
        for each batch of the sampler:  crops -> augmentation -> backbone -> loss -> Adam
        every `eval_every` epochs:      EER over all pairs of the dev split; keep the best

Everything random is drawn from (seed, epoch, step), never from a state that goes along, so a run that was
killed at any moment and is started again ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint import files
from synthprint.checkpoint import Checkpoint
from synthprint.errors import RecipeError
from synthprint.export import write_checkpoint
from synthprint.extraction import TorchExtractor, embed_manifest
from synthprint.packing import Pack, pack
from synthprint.progress import Progress, progress
from synthprint.recipes import Recipe, Schedule
from synthprint.runs import Position, Run
from synthprint.sampling import BalancedBatches, RandomBatches
from synthprint.scoring import all_pairs_eer
from synthprint.shelves import find
from synthprint.types import Manifest

LOG_EVERY_STEPS = 10
SAVE_EVERY_S = 60.0
BATCHES_AHEAD = 3
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Hardware:
    """How the arithmetic is done; the recipe says what is computed.

    Attributes:
        device: a torch device.
        precision: "float32", or "bfloat16" for autocast.
        compile: run the backbone through torch.compile.
    """

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision {self.precision!r} is not one of: {', '.join(PRECISIONS)}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(f"device {self.device!r} cannot be used here: {reason}") from None


def train(
    recipe: Recipe, manifest: Manifest, out: Path, *, pack_folder: Path | None = None, hardware: Hardware | None = None
) -> Checkpoint:
    """Train, or go on training, in the run folder `out`.

    Args:
        recipe: what to train.
        manifest: with splits "train" and "dev".
        out: the run folder; if it holds an unfinished run of the same recipe and data, that goes on.
        pack_folder: where the decoded audio is kept; default: see `packing.default_folder`.

    Returns:
        The checkpoint with the lowest dev EER.

    Raises:
        RecipeError: the data cannot fill the recipe's batches, or the device is not there.
        ManifestError: a split is missing.
        CheckpointError: `out` holds another training.
    """
    hardware = hardware or Hardware()
    data = TrainingData.open(recipe, manifest, pack_folder)
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / "recipe.json", recipe.to_dict())
    modules = build(recipe, len(data.sources)).to(hardware.device)
    optimizer = torch.optim.Adam(
        modules.parameters(), lr=recipe.schedule.peak_lr, weight_decay=recipe.schedule.weight_decay
    )
    run = Run(out, {"recipe": recipe.to_dict(), "data": manifest.digest()})
    position = run.resume(modules, optimizer)
    if not position.finished:
        _Loop(
            recipe, hardware, data, make_sampler(recipe, data.train.manifest), modules, optimizer, run, position
        ).run_to_end()
        run.close()
    return _finish(recipe, data, modules, run, position)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Decoded train and dev splits; `labels` [N] index `sources`."""

    recipe: Recipe
    train: Pack
    dev: Pack
    sources: list[str]
    labels: np.ndarray

    @classmethod
    def open(cls, recipe: Recipe, manifest: Manifest, folder: Path | None) -> TrainingData:
        """Decode what is not decoded yet."""
        check_loss_fits_sampler(recipe)
        make_sampler(recipe, manifest.split("train"))  # an impossible recipe fails before hours of decoding
        manifest.split("dev")
        packed = pack(manifest.filter(lambda u: u.split in ("train", "dev")), folder)
        train = packed.split("train")
        sources = train.manifest.sources
        position = {source: i for i, source in enumerate(sources)}
        labels = np.array([position[u.source] for u in train.manifest], dtype=np.int64)
        return cls(recipe, train, packed.split("dev"), sources, labels)

    def batch(self, indices: np.ndarray, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Crops [B, T] and labels [B] of the utterances `indices`."""
        recipe = self.recipe
        crops = []
        for place, index in enumerate(indices):
            rng = np.random.default_rng([recipe.seed, epoch, step, place])
            crops.append(recipe.augmentation(self.train.crop(int(index), recipe.crop.samples, rng), rng))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(self.labels[indices])


def make_sampler(recipe: Recipe, manifest: Manifest) -> RandomBatches | BalancedBatches:
    """The sampler that the recipe names, over the utterances of `manifest`.

    Raises:
        RecipeError: the data cannot fill its batches.
    """
    choice, sources = recipe.sampler, [u.source for u in manifest]
    if choice.name == "random":
        return RandomBatches(sources, choice.batch_size, recipe.seed)
    return BalancedBatches(
        sources, choice.sources_per_batch, choice.utterances_per_source, recipe.seed, choice.max_per_source
    )


def check_loss_fits_sampler(recipe: Recipe) -> None:
    """Refuse a loss that needs several utterances of a source in batches that do not promise them.

    Raises:
        RecipeError: it does.
    """
    needed = find("losses", recipe.loss.name).utterances_per_source
    given = recipe.sampler.utterances_per_source if recipe.sampler.name == "balanced" else 1
    if given < needed:
        raise RecipeError(
            f"loss {recipe.loss.name!r} needs {needed} utterances of each source in a batch: "
            f"set [sampler] name = 'balanced' and utterances_per_source = {needed} or more"
        )


def build(recipe: Recipe, sources: int) -> nn.ModuleDict:
    """Backbone and loss, initialised from the recipe's seed.

    Raises:
        RecipeError: an option that they do not have, or a value that they refuse.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            backbone = find("backbones", recipe.backbone.name)(dim=recipe.backbone.dim, **recipe.backbone.own)
            loss = find("losses", recipe.loss.name)(recipe.backbone.dim, sources, **recipe.loss.own)
        except TypeError as error:
            raise RecipeError(f"recipe: [backbone] or [loss] has an option that does not exist: {error}") from error
    return nn.ModuleDict({"backbone": backbone, "loss": loss})


def learning_rate(schedule: Schedule, epoch: float) -> float:
    """Linear warm-up to the peak, then a cosine to zero; `epoch` counts from 0, with fractions."""
    if epoch < schedule.warmup_epochs:
        return schedule.peak_lr * epoch / schedule.warmup_epochs
    done = (epoch - schedule.warmup_epochs) / max(schedule.epochs - schedule.warmup_epochs, 1e-9)
    return schedule.peak_lr * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


@dataclass(eq=False)
class _Loop:
    recipe: Recipe
    hardware: Hardware
    data: TrainingData
    sampler: RandomBatches | BalancedBatches
    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    run: Run
    position: Position

    def __post_init__(self) -> None:
        backbone = self.modules["backbone"]
        self.forward: Callable[[Tensor], Tensor] = torch.compile(backbone) if self.hardware.compile else backbone
        self.saved_at = time.monotonic()

    def run_to_end(self) -> None:
        """All epochs from `position` on."""
        schedule, position = self.recipe.schedule, self.position
        with progress("training", schedule.epochs * len(self.sampler)) as shown:
            shown.advance(position.steps)
            while position.epoch < schedule.epochs:
                self.run_epoch(shown)
                position.epoch, position.step = position.epoch + 1, 0
                if position.epoch % schedule.eval_every == 0 or position.epoch == schedule.epochs:
                    self.evaluate(shown)
                position.finished = position.epoch == schedule.epochs
                self.save()

    def run_epoch(self, shown: Progress) -> None:
        """The batches of one epoch that are still to do."""
        position = self.position
        self.modules.train()
        started, clips = time.monotonic(), 0
        for waveforms, labels in self.batches():
            row = self.step(waveforms.to(self.hardware.device), labels.to(self.hardware.device))
            position.step, position.steps, clips = position.step + 1, position.steps + 1, clips + len(labels)
            if position.steps % LOG_EVERY_STEPS == 0 or position.steps == 1:
                self.run.log({"epoch": position.epoch, "steps": position.steps} | row, position.steps)
            speed = clips / (time.monotonic() - started)
            shown.advance(1, self.note(row, speed))
            if time.monotonic() - self.saved_at > SAVE_EVERY_S:
                self.save()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Crops and labels from `position` on, prepared in a thread a few batches ahead."""
        epoch, first = self.position.epoch, self.position.step
        steps = list(enumerate(self.sampler.batches(epoch)))[first:]
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(self.data.batch, batch, epoch, step) for step, batch in steps[:BATCHES_AHEAD]]
            for step, _ in steps:
                following = step - first + BATCHES_AHEAD
                ready = ahead.pop(0).result()
                if following < len(steps):
                    ahead.append(pool.submit(self.data.batch, steps[following][1], epoch, steps[following][0]))
                yield ready

    def step(self, waveforms: Tensor, labels: Tensor) -> dict[str, float]:
        """One step of the optimiser; what it showed."""
        position, device = self.position, torch.device(self.hardware.device)
        torch.manual_seed(hash((self.recipe.seed, position.epoch, position.step)))  # for dropout, where there is any
        rate = learning_rate(self.recipe.schedule, position.epoch + (position.step + 1) / len(self.sampler))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=self.hardware.precision == "bfloat16"):
            embeddings = self.forward(waveforms)
        loss = self.modules["loss"](embeddings.float(), labels)
        if not torch.isfinite(loss):
            raise RecipeError(f"the loss became {loss.item()} in epoch {position.epoch + 1}; lower [schedule] peak_lr")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            accuracy = batch_accuracy(self.modules["loss"], embeddings.detach().float(), labels)
        return {"loss": loss.item(), "accuracy": accuracy, "lr": rate}

    def note(self, row: dict[str, float], speed: float) -> str:
        """What stands behind the progress bar."""
        best = "" if self.position.best_eer is None else f" best dev EER {100 * self.position.best_eer:.2f} %"
        return (
            f"epoch {self.position.epoch + 1}/{self.recipe.schedule.epochs} loss {row['loss']:.3f} "
            f"accuracy {100 * row['accuracy']:.0f} % lr {row['lr']:.1e} {speed:.0f} clips/s{best}"
        )

    def evaluate(self, shown: Progress) -> None:
        """EER over all pairs of the dev split; a new best is kept."""
        eer = dev_eer(self.modules["backbone"], self.data, self.hardware.device)
        position = self.position
        self.run.log({"epoch": position.epoch - 1, "steps": position.steps, "dev_eer": eer}, position.steps)
        if position.best_eer is None or eer < position.best_eer:
            position.best_eer, position.best_epoch = eer, position.epoch
            with files.atomic(self.run.best_weights) as temporary:
                save_file(_state(self.modules["backbone"]), temporary)
        shown.advance(0, f"dev EER {100 * eer:.2f} %")

    def save(self) -> None:
        """Write the state that a killed run goes on from."""
        self.run.save(self.modules, self.optimizer, self.position)
        self.saved_at = time.monotonic()


def batch_accuracy(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> float:
    """Share of a batch [B, D] whose source is found: by the loss's classifier, else by the nearest batch-mate."""
    predicted = loss.predict(embeddings)
    if predicted is None:
        unit = F.normalize(embeddings)
        nearest = (unit @ unit.T).fill_diagonal_(-2.0).argmax(dim=1)
        predicted = labels[nearest]
    return float((predicted == labels).float().mean().item())


def dev_eer(backbone: nn.Module, data: TrainingData, device: str) -> float:
    """EER over all pairs of the dev split, in [0, 1]."""
    dev = data.dev.manifest
    extractor = TorchExtractor(backbone, data.recipe.crop.samples, data.recipe.backbone.dim, "training", device)
    embeddings, _ = embed_manifest(extractor, dev, pack=data.dev)
    source = {u.id: u.source for u in dev}
    return all_pairs_eer(embeddings, [source[key] for key in embeddings.ids]).eer


def _state(backbone: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}


def _finish(recipe: Recipe, data: TrainingData, modules: nn.ModuleDict, run: Run, position: Position) -> Checkpoint:
    """Write RUN/last and RUN/best, each with its ONNX graph; returns the best."""
    family = {u.source: u.family or "" for u in data.train.manifest}
    results: dict[str, Any] = {"dev_utterances": len(data.dev), "best_dev_eer": position.best_eer}
    backbone = modules["backbone"]
    write_checkpoint(backbone, recipe, family, run.folder / "last", results | {"epoch": recipe.schedule.epochs})
    backbone.load_state_dict(load_file(run.best_weights))
    return write_checkpoint(backbone, recipe, family, run.folder / "best", results | {"epoch": position.best_epoch})
