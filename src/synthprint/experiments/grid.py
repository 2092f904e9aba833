"""Running a grid of trainings: each cell by the commands that a user would type, several where there are devices.

    OUT/cells/<row>-<dim>d-seed<seed>/    the run's folder, with its embeddings of dev and test
        cell.log        what the commands said
        result.json     the figures; where it stands the cell is done
        failed.json     why it is not

A cell runs `synthprint train` and `synthprint embed` in processes of their own: one that fails, or is killed for
memory, ends itself alone. A grid that was interrupted goes on where it was, each training in its own epoch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from synthprint import __version__, files
from synthprint.background import processors
from synthprint.errors import CheckpointError, EmbeddingsError, RecipeError, SynthprintError
from synthprint.experiments.rows import Cell
from synthprint.extractor.checkpoint import CONFIG, Checkpoint
from synthprint.extractor.recipe import Recipe
from synthprint.progress import progress
from synthprint.reading import doors
from synthprint.reading.schemas import Refused
from synthprint.scoring.all_pairs import evaluate_all_pairs
from synthprint.types import HELD_OUT_SPLITS, Embeddings, Manifest

RESULT, FAILED, LOG = "result.json", "failed.json", "cell.log"
LOOK_EVERY_S = 1.0
WARNED = 1  # what our commands exit with when they are done but some clips could not be read
LAST_LINES = 3
MOST_RESULT_BYTES = 64 << 20


@dataclass(frozen=True)
class GridConditions:
    """What all cells of a grid have in common.

    Attributes:
        data: a manifest or a data set's folder, as `synthprint train --data` takes it.
        manifest: the same, opened.
        epochs: instead of the recipes' own.
        settings: "key=value" overrides of the recipes.
        precision, compile: see `training.hardware.Hardware`.
        pack: where decoded audio is kept; default: in the grid's folder.
    """

    data: str | Path
    manifest: Manifest
    protocol: str | None = None
    epochs: int | None = None
    settings: tuple[str, ...] = ()
    precision: str = "float32"
    compile: bool = False
    pack: Path | None = None

    def recipe(self, cell: Cell) -> Recipe:
        """The resolved recipe of a cell.

        Raises:
            RecipeError: a setting does not fit it.
        """
        recipe = Recipe.load(cell.row.recipe)
        recipe = recipe.shortened(self.epochs) if self.epochs else recipe
        return recipe.changed([f"backbone.dim={cell.dim}", f"seed={cell.seed}", *self.settings])

    @property
    def splits(self) -> list[str]:
        """Those of `HELD_OUT_SPLITS` that the manifest has."""
        splits = {u.split for u in self.manifest}
        return [split for split in HELD_OUT_SPLITS if split in splits]


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: `result` as result.json has it, or None and the reason."""

    cell: Cell
    result: dict[str, Any] | None
    reason: str = ""


def run(
    cells: Sequence[Cell], conditions: GridConditions, out: Path, devices: Sequence[str] = ("cpu",)
) -> list[Outcome]:
    """Train and measure every cell that is not done yet.

    Args:
        devices: torch devices; one cell at a time runs on each. A device that is named twice runs two.

    Returns:
        The outcomes in the order of `cells`.
    """
    grid = _Grid(conditions, out, devices)
    outcomes: dict[Cell, Outcome] = {}
    with progress("cells", len(cells)) as shown, grid.workers() as pool:
        pending: dict[Future[Outcome], Cell] = {pool.submit(grid.outcome, cell): cell for cell in cells}
        while pending:
            done = wait(pending, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED).done
            for future in done:
                outcomes[pending.pop(future)] = future.result()
            shown.advance(len(done), grid.note())
    return [outcomes[cell] for cell in cells]


class _Grid:
    """The state that the workers share: free devices, and the processes that run."""

    def __init__(self, conditions: GridConditions, out: Path, devices: Sequence[str]) -> None:
        self.conditions = conditions
        self.folder = out / "cells"
        self.pack = conditions.pack or out / "pack"
        self.devices: SimpleQueue[str] = SimpleQueue()
        for device in devices:
            self.devices.put(device)
        self.n_workers = len(devices)
        self.threads = max(1, processors() // len(devices))
        self.data_digest = conditions.manifest.digest()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._stopped = False

    @contextmanager
    def workers(self) -> Iterator[ThreadPoolExecutor]:
        """A thread for each device; whatever ends the block early ends the processes too."""
        pool = ThreadPoolExecutor(self.n_workers)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            with self._lock:
                self._stopped = True
                for process in self._running.values():
                    process.terminate()
            pool.shutdown(wait=True)

    def note(self) -> str:
        """What the running cells say."""
        with self._lock:
            names = list(self._running)
        return " | ".join(f"{name}: {_last_lines(self.folder / name / LOG, 1)}" for name in names)

    def outcome(self, cell: Cell) -> Outcome:
        """Do what is to do for one cell; its failure is an outcome."""
        folder = self.folder / cell.name
        try:
            expected = {"recipe": self.conditions.recipe(cell).to_dict(), "data": self.data_digest}
            result = _finished(folder, expected) or self._measure(cell, folder, expected)
        except (SynthprintError, OSError) as error:
            files.write_json(folder / FAILED, {"cell": cell.name, "reason": str(error)})
            return Outcome(cell, None, str(error))
        (folder / FAILED).unlink(missing_ok=True)
        return Outcome(cell, result)

    def _measure(self, cell: Cell, folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
        device = self.devices.get()
        try:
            train = ["train", cell.row.recipe, "--out", str(folder), *self._options(cell)]
            self._call(cell, train, folder / "best" / CONFIG, device)
            checkpoint = Checkpoint.load(folder / "best")
            figures = {}
            for split in self.conditions.splits:
                figures[split] = self._evaluate(cell, folder, checkpoint, split, device)
        finally:
            self.devices.put(device)
        result = {
            "cell": cell.name,
            "device": device,
            "precision": self.conditions.precision,
            "synthprint": __version__,
            "best_epoch": checkpoint.results["epoch"],
            **figures,
            **expected,
        }
        files.write_json(folder / RESULT, result)
        return result

    def _options(self, cell: Cell) -> list[str]:
        how = self.conditions
        options = ["--dim", str(cell.dim), "--seed", str(cell.seed), "--precision", how.precision]
        options += ["--epochs", str(how.epochs)] if how.epochs else []
        options += ["--compile"] if how.compile else []
        return options + [part for setting in how.settings for part in ("--set", setting)]

    def _evaluate(self, cell: Cell, folder: Path, checkpoint: Checkpoint, split: str, device: str) -> dict[str, Any]:
        path = folder / f"{split}.safetensors"
        if not _is_of(path, checkpoint):
            self._call(cell, ["embed", str(folder), "--split", split, "--out", str(path)], path, device)
        embeddings = Embeddings.load(path)
        by_id = {u.id: u for u in self.conditions.manifest.split(split)}
        utterances = [by_id[key] for key in embeddings.ids]
        evaluation = evaluate_all_pairs(
            embeddings, [u.source for u in utterances], [u.quadrant for u in utterances], self.threads
        ).to_dict()
        return {name: evaluation[name] for name in ("utterances", "pooled", "source_balanced", "quadrants")}

    def _call(self, cell: Cell, command: list[str], makes: Path, device: str) -> None:
        """Run one of our own commands, which makes a file; what it says goes to the cell's log.

        Raises:
            CheckpointError: it failed.
        """
        how, folder = self.conditions, self.folder / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        command = [*command, "--data", str(how.data), "--pack", str(self.pack), "--device", device]
        command += ["--protocol", how.protocol] if how.protocol else []
        # Threads of several trainings on one processor would get in each other's way.
        environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(self.threads))}
        log = folder / LOG
        with open(log, "ab") as output:
            output.write(f"$ synthprint {' '.join(command)}\n".encode(errors="backslashreplace"))
            output.flush()
            with self._lock:
                if self._stopped:
                    raise CheckpointError(f"{folder}: the grid was stopped")
                process = subprocess.Popen(
                    [sys.executable, "-m", "synthprint", *command], stdout=output, stderr=output, env=environment
                )
                self._running[cell.name] = process
            try:
                code = process.wait()
            finally:
                with self._lock:
                    del self._running[cell.name]
        if code not in (0, WARNED) or not makes.exists():
            raise CheckpointError(f"`synthprint {command[0]}` ended with {code}: {_last_lines(log, LAST_LINES)}")


def _finished(folder: Path, expected: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a cell that is done.

    Raises:
        RecipeError: the folder's result is damaged, or of another recipe or other data.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = doors.read_json(path, dict[str, Any], MOST_RESULT_BYTES)
    except (OSError, Refused) as error:
        raise RecipeError(f"{path}: is damaged ({error}); delete it, and the cell is measured again") from error
    if any(result.get(name) != value for name, value in expected.items()):
        raise RecipeError(f"{path}: is of another recipe or other data; name another folder, or delete this cell's")
    return result


def _is_of(path: Path, checkpoint: Checkpoint) -> bool:
    """Whether `path` holds embeddings that this checkpoint made."""
    try:
        return Embeddings.load(path).extractor == checkpoint.digest
    except (EmbeddingsError, OSError):
        return False


def _last_lines(log: Path, count: int) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return " / ".join(line.strip() for line in lines[-count:] if line.strip())
