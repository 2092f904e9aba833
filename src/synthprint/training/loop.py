"""Training an extractor: recipe + manifest -> run folder with checkpoints.

    for each epoch:
        for each batch of the sampler:  crops -> augmentation -> backbone -> loss -> Adam     (see `training.step`)
        every `eval_every` epochs:      EER over all pairs of the dev split; keep the best

Everything random is drawn from (seed, epoch, step), never from a state that goes along, so a run that was
killed at any moment and is started again ends with the same weights. Under torchrun several processes share each
batch (see `distributed`); the first one writes.
"""

# Long: a run from its inputs to its checkpoints, in the order in which it goes.
from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from synthprint import files
from synthprint.errors import CheckpointError, ManifestError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.embedding import concatenate, embed
from synthprint.extractor.recipe import Recipe
from synthprint.extractor.runtime import TorchExtractor
from synthprint.manifests.packing import Pack
from synthprint.progress import Progress, progress, silent
from synthprint.reading import doors
from synthprint.reading.tensors import check_tensors
from synthprint.training.averaging import add_average, evaluated
from synthprint.training.data import TrainingData
from synthprint.training.distributed import ProcessGroup, join_processes
from synthprint.training.export import stored_state, write_checkpoint
from synthprint.training.feature_corpus import FeatureCorpus
from synthprint.training.hardware import Hardware
from synthprint.training.labels import detects, development_eer
from synthprint.training.preflight import preflight
from synthprint.training.resident import ResidentCorpus, resident
from synthprint.training.run_folder import AFRESH, Position, Run
from synthprint.training.samplers import Sampler
from synthprint.training.step import Step, adam, prepared, repeatable
from synthprint.training.whitening import fit_whitening, reset_whitening, whitens
from synthprint.types import Embeddings, Manifest

LOG_EVERY_STEPS = 10
NOTE_EVERY_S = 1.0  # at least; what is shown is waited for
SAVE_EVERY_S = 60.0
SAVE_SHARE = 0.05  # of the time, at most, goes into saving the state


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
        RecipeError: the data cannot fill the recipe's batches, or the recipe has an option that does not exist, or
            the hardware cannot be used as it is asked for.
        ManifestError: a split is missing, has no pairs to score, or a source of which nothing can be decoded; or
            the processes of a training see different data.
        CheckpointError: `out` holds another training, or another process trains there.
    """
    hardware = hardware or Hardware()
    with join_processes(hardware.device) as processes, repeatable(processes.device), silent(not processes.first):
        modules = preflight(recipe, manifest, hardware, processes).to(processes.device)
        with processes.first_of_each_machine():
            data = TrainingData.open(recipe, manifest, pack_folder)
        optimizer = adam(modules, recipe.schedule, processes.device)
        if recipe.schedule.average:
            add_average(modules)
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


@dataclass(eq=False)
class _Loop:
    recipe: Recipe
    hardware: Hardware
    data: TrainingData
    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    run: Run
    position: Position
    processes: ProcessGroup

    def __post_init__(self) -> None:
        hardware, device = self.hardware, self.processes.device
        trains = self.recipe.schedule.epochs > 0
        computed = trains and self.recipe.features.copies > 0
        self.resident: ResidentCorpus | FeatureCorpus | None = None
        if computed:
            self.resident = self.feature_corpus()
        elif trains:
            self.resident = resident(self.data, device, hardware.resident)
        self.make_step = Step(
            self.recipe, self.modules, self.optimizer, self.processes,
            self.resident.train.crops if isinstance(self.resident, ResidentCorpus) else lambda waveforms: waveforms,
            bfloat16=hardware.precision == "bfloat16", compiled=hardware.compile, captured=hardware.capture,
            computed=computed,
        )  # fmt: skip
        self.note_after = 0.0
        self.save_after = time.monotonic() + SAVE_EVERY_S

    def feature_corpus(self) -> FeatureCorpus:
        """The features of both splits; how long they took to compute goes into the log."""
        with self.processes.first_of_each_machine():
            corpus = FeatureCorpus(self.data, self.modules["backbone"], self.processes.device)
        if corpus.computed:
            self.log(self.position.epoch, {"feature_clips": corpus.computed, "features_s": round(corpus.computed_s, 1)})
        return corpus

    @cached_property
    def sampler(self) -> Sampler:
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
        for inputs, labels, undecided in self.batches():
            self.step(inputs, labels, undecided)
            position.step, position.steps, clips = position.step + 1, position.steps + 1, clips + len(labels)
            position.cpu_s, worked = position.cpu_s + time.process_time() - worked, time.process_time()
            logs = position.steps % LOG_EVERY_STEPS == 0 or position.steps == 1
            if logs or time.monotonic() > self.note_after:
                row = self.make_step.seen(position.epoch + 1)
                row["clips_per_s"] = round(clips / (time.monotonic() - started), 1)
                if logs:
                    self.log(position.epoch + 1, row)
                shown.advance(0, self.note(row))
                self.note_after = time.monotonic() + NOTE_EVERY_S
            shown.advance()
            if time.monotonic() > self.save_after:
                self.make_step.seen(position.epoch + 1)
                self.save()
        self.make_step.seen(position.epoch + 1)  # before a broken backbone is evaluated and kept

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The epoch's batches from `position` on."""
        epoch, first = self.position.epoch, self.position.step
        steps = list(enumerate(self.sampler.batches(epoch)))[first:]
        return prepared(self.resident or self.data, epoch, steps, self.processes)

    def step(self, inputs: Tensor, labels: Tensor, undecided: Tensor) -> None:
        """The step that comes next."""
        self.make_step(inputs, labels, self.position.epoch, self.position.step, len(self.sampler), undecided)

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
        self.whiten()
        position.last_eer = eer = dev_eer(evaluated(self.modules), self.data, self.processes, self.resident)
        self.log(position.epoch, {"dev_eer": eer})
        if position.best_eer is None or eer < position.best_eer:
            position.best_eer, position.best_epoch = eer, position.epoch
            if self.processes.first:
                self._keep_best()
        shown.advance(0, f"dev EER {100 * eer:.2f} %")

    def whiten(self) -> None:
        """Fit the map that makes light of how clips of one source differ, where the backbone has one."""
        backbone = evaluated(self.modules)
        if not whitens(backbone):
            return
        reset_whitening(backbone)
        if isinstance(self.resident, FeatureCorpus):
            embeddings = self.resident.embed_train(backbone)
        else:
            part = slice(self.processes.rank, None, self.processes.size)
            own = _embed(backbone, self.recipe, self.data.train, self.processes, part)
            parts = [embedded for embedded in self.processes.from_all(own) if embedded is not None]
            embeddings = concatenate(parts) if parts else None
        if embeddings is not None:
            fit_whitening(backbone, embeddings, self.data.train.manifest.utterances)

    def _keep_best(self) -> None:
        files.write_tensors(self.run.best_weights, stored_state(evaluated(self.modules), self.recipe))

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


def dev_eer(
    backbone: nn.Module,
    data: TrainingData,
    processes: ProcessGroup,
    resident_corpus: ResidentCorpus | FeatureCorpus | None = None,
) -> float:
    """EER of the dev split (see `labels.development_eer`), in [0, 1]; each process embeds a part of it."""
    part = slice(processes.rank, None, processes.size)
    own = (
        resident_corpus.embed_dev(backbone, part)
        if resident_corpus
        else _embed(backbone, data.recipe, data.dev, processes, part)
    )
    parts = [found for found in processes.from_all(own) if found is not None]
    if not parts:
        raise RecipeError("the training has diverged: no dev clip has a finite embedding; lower [schedule] peak_lr")
    return development_eer(data.recipe, concatenate(parts), data.dev.manifest)


def _embed(backbone: nn.Module, recipe: Recipe, split: Pack, processes: ProcessGroup, part: slice) -> Embeddings | None:
    extractor = TorchExtractor(backbone, recipe.crop.samples, recipe.backbone.dim, "training", processes.device)
    return embed(extractor, ((u.id, split.wave(i)) for i, u in list(enumerate(split.manifest))[part]))[0]


def _finish(recipe: Recipe, data: TrainingData, modules: nn.ModuleDict, run: Run, position: Position) -> Checkpoint:
    """Write RUN/last and RUN/best, each with its ONNX graph, unless they are there; returns the best."""
    with suppress(CheckpointError):
        there = Checkpoint.load(run.folder / "best")  # it is written last
        with doors.ending_in(CheckpointError, run.best_weights):
            if there.digest == doors.sha256(run.best_weights):
                return there
    family = {u.source: u.family or "" for u in data.train.manifest}
    common: dict[str, Any] = {"dev_utterances": len(data.dev), "best_dev_eer": position.best_eer}
    if detects(recipe):  # what it is calibrated on must come from others
        common["publishers"] = sorted({u.publisher for u in data.train.manifest if u.publisher})
    last = common | {"epoch": recipe.schedule.epochs, "dev_eer": position.last_eer}
    best = common | {"epoch": position.best_epoch, "dev_eer": position.best_eer}
    backbone = evaluated(modules)
    written = write_checkpoint(backbone, recipe, family, run.folder / "last", last)
    with doors.ending_in(CheckpointError, run.best_weights, AFRESH):
        if written.digest == doors.sha256(run.best_weights):  # the same weights, and exporting a graph takes seconds
            return _copy(written, run.folder / "best", best)
        check_tensors(run.best_weights)
    try:
        backbone.load_state_dict(load_file(run.best_weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{run.best_weights}: does not fit {recipe.backbone.name!r} ({why}); {AFRESH}") from error
    return write_checkpoint(backbone, recipe, family, run.folder / "best", best)


def _copy(checkpoint: Checkpoint, folder: Path, results: dict[str, Any]) -> Checkpoint:
    """The checkpoint once more in `folder`, with other results."""
    with files.together(folder) as place:
        shutil.copytree(checkpoint.folder, place, dirs_exist_ok=True)
        replace(checkpoint, folder=place, results=results).write_config()
    return replace(checkpoint, folder=folder, results=results)
