"""Training an extractor: recipe + manifest -> run folder with checkpoints.

    for each epoch:
        for each batch of the sampler:  crops -> augmentation -> backbone -> loss -> Adam
        every `eval_every` epochs:      EER over all pairs of the dev split; keep the best

Everything random is drawn from (seed, epoch, step), never from a state that goes along, so a run that was
killed at any moment and is started again ends with the same weights. Under torchrun several processes share each
batch (see `distributed`); the first one writes.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint import files
from synthprint.background import in_order
from synthprint.checkpoint import Checkpoint
from synthprint.distributed import MeanGradients, World, world
from synthprint.errors import CheckpointError, ManifestError, RecipeError
from synthprint.export import write_checkpoint
from synthprint.extraction import concatenate, embed
from synthprint.extractors import TorchExtractor
from synthprint.progress import Progress, progress, silent
from synthprint.recipes import Recipe, Schedule
from synthprint.runs import Position, Run
from synthprint.sampling import BalancedBatches, RandomBatches
from synthprint.scoring import all_pairs_eer
from synthprint.shelves import find
from synthprint.training_data import TrainingData, check
from synthprint.types import Manifest

LOG_EVERY_STEPS = 10
SAVE_EVERY_S = 60.0
SAVE_SHARE = 0.05  # of the time, at most, goes into saving the state
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


def every_device() -> list[str]:
    """The GPUs that torch sees, or the CPU."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


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
        The checkpoint with the lowest dev EER; of a recipe with no epochs, the backbone as it comes.

    Raises:
        RecipeError: the data cannot fill the recipe's batches, or the recipe has an option that does not exist.
        ManifestError: a split is missing, has no pairs to score, or a source of which nothing can be decoded; or
            the processes of a training see different data.
        CheckpointError: `out` holds another training, or another process trains there.
    """
    hardware = hardware or Hardware()
    check(recipe, manifest)
    with world(hardware.device) as processes, repeatable(processes.device), silent(not processes.first):
        modules = build(recipe, len(manifest.split("train").sources)).to(processes.device)
        check_learning(recipe, modules)
        with processes.one_a_machine_first():
            data = TrainingData.open(recipe, manifest, pack_folder)
        optimizer = torch.optim.Adam(  # as a group, which may be empty where there are no epochs
            [{"params": list(modules.parameters())}],
            lr=recipe.schedule.peak_lr,
            weight_decay=recipe.schedule.weight_decay,
        )
        identity = {"recipe": recipe.to_dict(), "data": data.digest()}
        if any(other != identity for other in processes.from_all(identity)):
            raise ManifestError(f"{manifest.name}: the processes see different audio or recipes; give all the same")
        run = Run(out, identity, writes=processes.first)
        with run.alone():
            position = processes.from_first(run.resume(modules, optimizer) if processes.first else Position())
            processes.hand_out(modules, optimizer)
            if processes.first:
                _write_inputs(out, recipe, data)
            if not position.finished:
                _Loop(recipe, hardware, data, modules, optimizer, run, position, processes).run_to_end()
                run.close()
            checkpoint = _finish(recipe, data, modules, run, position) if processes.first else None
            return cast(Checkpoint, processes.from_first(checkpoint))


def _write_inputs(out: Path, recipe: Recipe, data: TrainingData) -> None:
    files.write_json(out / "recipe.json", recipe.to_dict())
    files.write_json(out / "unreadable.json", data.failures)
    if data.failures:
        said = "%d clip(s) could not be decoded and are left out; they are listed in %s"
        logging.getLogger(__name__).warning(said, len(data.failures), out / "unreadable.json")


def build(recipe: Recipe, sources: int) -> nn.ModuleDict:
    """Backbone and loss, initialised from the recipe's seed.

    Raises:
        RecipeError: an option that they do not have, or a value that they refuse.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = _made("backbone", recipe.backbone.name, recipe.backbone.own, dim=recipe.backbone.dim)
        loss = _made("loss", recipe.loss.name, recipe.loss.own, dim=recipe.backbone.dim, sources=sources)
    return nn.ModuleDict({"backbone": backbone, "loss": loss})


def check_learning(recipe: Recipe, modules: nn.Module) -> None:
    """Refuse epochs over which nothing would change.

    Raises:
        RecipeError: neither backbone nor loss has a parameter that learns.
    """
    if recipe.schedule.epochs and not any(parameter.requires_grad for parameter in modules.parameters()):
        raise RecipeError(
            f"backbone {recipe.backbone.name!r} has nothing that learns, nor has loss {recipe.loss.name!r}: "
            "set [schedule] epochs = 0 to take the backbone as it comes"
        )


def _made(table: str, name: str, own: Mapping[str, Any], **given: int) -> nn.Module:
    """The variant `name`, built with what every one is given and its own options from the recipe's `table`."""
    kind = find({"backbone": "backbones", "loss": "losses"}[table], name)
    known = [option for option in inspect.signature(kind).parameters if option not in given]
    unknown = [option for option in own if option not in known]
    if unknown:
        there = ", ".join(known) or "none"
        raise RecipeError(f"recipe: [{table}] unknown key {unknown[0]!r}; the options of {name!r} are: {there}")
    try:
        made: nn.Module = kind(**given, **own)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"recipe: [{table}] {name!r} refuses its options: {error}") from error
    return made


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Make the same seed give the same result on the same machine, and leave torch as it was found."""
    cuda = torch.device(device).type == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng(devices=[device] if cuda else []):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


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
    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    run: Run
    position: Position
    processes: World

    def __post_init__(self) -> None:
        backbone = self.modules["backbone"]
        self.processes.synchronise(backbone)
        self.gradients = MeanGradients(self.modules.parameters(), self.processes)
        self.forward: Callable[[Tensor], Tensor] = torch.compile(backbone) if self.hardware.compile else backbone
        self.save_after = time.monotonic() + SAVE_EVERY_S

    @cached_property
    def sampler(self) -> RandomBatches | BalancedBatches:
        """The recipe's batches."""
        return self.data.sampler()

    def run_to_end(self) -> None:
        """All epochs from `position` on."""
        schedule, position = self.recipe.schedule, self.position
        if not schedule.epochs:
            position.finished = True
            with progress("evaluating") as shown:
                self.evaluate(shown)
            self.save()
            return
        with progress("training", schedule.epochs * len(self.sampler), position.steps) as shown:
            while not position.finished:
                self.run_epoch(shown)
                position.epoch, position.step = position.epoch + 1, 0
                position.finished = position.epoch == schedule.epochs
                if position.finished or position.epoch % schedule.eval_every == 0:
                    self.evaluate(shown)
                    self.save()

    def run_epoch(self, shown: Progress) -> None:
        """The batches of one epoch that are still to do."""
        position = self.position
        self.modules.train()
        started, worked, clips = time.monotonic(), time.process_time(), 0
        device = self.processes.device
        for waveforms, labels in self.batches():
            row = self.step(waveforms.to(device), labels.to(device))
            position.step, position.steps, clips = position.step + 1, position.steps + 1, clips + len(labels)
            position.cpu_s, worked = position.cpu_s + time.process_time() - worked, time.process_time()
            row["clips_per_s"] = round(clips / (time.monotonic() - started), 1)
            if position.steps % LOG_EVERY_STEPS == 0 or position.steps == 1:
                self.log(position.epoch + 1, row)
            shown.advance(1, self.note(row))
            if time.monotonic() > self.save_after:
                self.save()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's crops, and all labels, from `position` on, prepared in a thread a few batches ahead."""
        epoch, first = self.position.epoch, self.position.step
        steps = list(enumerate(self.sampler.batches(epoch)))[first:]

        def prepared(at: tuple[int, np.ndarray]) -> tuple[Tensor, Tensor]:
            return self.data.batch(at[1], epoch, at[0], self.processes.part(len(at[1])))

        return in_order(prepared, steps, workers=1, ahead=BATCHES_AHEAD)

    def step(self, waveforms: Tensor, labels: Tensor) -> dict[str, float]:
        """One step of the optimiser; what it showed."""
        recipe, position, device = self.recipe, self.position, torch.device(self.processes.device)
        seed = np.random.SeedSequence([recipe.seed, position.epoch, position.step]).generate_state(1, np.uint64)
        torch.manual_seed((int(seed[0]) + self.processes.rank) % 2**64)  # for dropout, where there is any
        rate = learning_rate(recipe.schedule, position.epoch + (position.step + 1) / len(self.sampler))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=self.hardware.precision == "bfloat16"):
            embeddings = self.processes.gather(self.forward(waveforms).float(), len(labels))
        loss = self.modules["loss"](embeddings, labels)
        if not torch.isfinite(loss):
            raise RecipeError(f"the loss became {loss.item()} in epoch {position.epoch + 1}; lower [schedule] peak_lr")
        self.optimizer.zero_grad()
        loss.backward()
        self.gradients.finish()
        self.optimizer.step()
        with torch.no_grad():
            accuracy = batch_accuracy(self.modules["loss"], embeddings.detach(), labels)
        return {"loss": loss.item(), "accuracy": accuracy, "lr": rate}

    def note(self, row: dict[str, float]) -> str:
        """What stands behind the progress bar."""
        best = "" if self.position.best_eer is None else f" best dev EER {100 * self.position.best_eer:.2f} %"
        return (
            f"epoch {self.position.epoch + 1}/{self.recipe.schedule.epochs} loss {row['loss']:.3f} "
            f"accuracy {100 * row['accuracy']:.0f} % lr {row['lr']:.1e} {row['clips_per_s']:.0f} clips/s{best}"
        )

    def evaluate(self, shown: Progress) -> None:
        """EER over all pairs of the dev split; a new best is kept."""
        position = self.position
        position.last_eer = eer = dev_eer(self.modules["backbone"], self.data, self.processes)
        self.log(position.epoch, {"dev_eer": eer})
        if position.best_eer is None or eer < position.best_eer:
            position.best_eer, position.best_epoch = eer, position.epoch
            if self.processes.first:
                self._keep_best()
        shown.advance(0, f"dev EER {100 * eer:.2f} %")

    def _keep_best(self) -> None:
        with files.atomic(self.run.best_weights) as temporary:
            save_file(_state(self.modules["backbone"]), temporary)

    def log(self, epoch: int, row: dict[str, float]) -> None:
        """Add a line to the log: what is in `row`, and where it is from."""
        position = self.position
        at = {"epoch": epoch, "steps": position.steps, "cpu_s": round(position.cpu_s, 2)}
        self.run.log(at | row, position.steps)

    def save(self) -> None:
        """Write the state that a killed run goes on from."""
        started = time.monotonic()
        self.run.save(self.modules, self.optimizer, self.position)
        ended = time.monotonic()
        self.save_after = ended + max(SAVE_EVERY_S, (ended - started) / SAVE_SHARE)


def batch_accuracy(loss: Any, embeddings: Tensor, labels: Tensor) -> float:
    """Share of a batch [B, D] whose source is found: by the loss's classifier, else by the nearest batch-mate."""
    predicted = loss.predict(embeddings)
    if predicted is None:
        unit = F.normalize(embeddings)
        nearest = (unit @ unit.T).fill_diagonal_(-2.0).argmax(dim=1)
        predicted = labels[nearest]
    return float((predicted == labels).float().mean().item())


def dev_eer(backbone: nn.Module, data: TrainingData, processes: World) -> float:
    """EER over all pairs of the dev split, in [0, 1]; each process embeds a part of it."""
    dev, crop = data.dev, data.recipe.crop.samples
    extractor = TorchExtractor(backbone, crop, data.recipe.backbone.dim, "training", processes.device)
    own = list(enumerate(dev.manifest))[processes.rank :: processes.size]
    embeddings, _ = embed(extractor, ((u.id, dev.wave(i)) for i, u in own))
    parts = [part for part in processes.from_all(embeddings) if part is not None]
    if not parts:
        raise RecipeError("the training has diverged: no dev clip has a finite embedding; lower [schedule] peak_lr")
    embeddings = concatenate(parts)
    source = {u.id: u.source for u in dev.manifest}
    return all_pairs_eer(embeddings, [source[key] for key in embeddings.ids]).eer


def _state(backbone: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}


def _finish(recipe: Recipe, data: TrainingData, modules: nn.ModuleDict, run: Run, position: Position) -> Checkpoint:
    """Write RUN/last and RUN/best, each with its ONNX graph, unless they are there; returns the best."""
    with suppress(CheckpointError):
        there = Checkpoint.load(run.folder / "best")  # it is written last
        if there.digest == files.sha256(run.best_weights):
            return there
    family = {u.source: u.family or "" for u in data.train.manifest}
    common = {"dev_utterances": len(data.dev), "best_dev_eer": position.best_eer}
    last = common | {"epoch": recipe.schedule.epochs, "dev_eer": position.last_eer}
    best = common | {"epoch": position.best_epoch, "dev_eer": position.best_eer}
    backbone = modules["backbone"]
    write_checkpoint(backbone, recipe, family, run.folder / "last", last)
    backbone.load_state_dict(load_file(run.best_weights))
    return write_checkpoint(backbone, recipe, family, run.folder / "best", best)
