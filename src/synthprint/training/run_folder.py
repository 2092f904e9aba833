"""The folder of a training run: what must survive a kill, and what a person reads.

RUN/state.safetensors   weights, optimiser state and position; replaced as a whole
RUN/best.safetensors    the backbone with the lowest development EER so far
RUN/log.jsonl           a line per logged step and per development evaluation
RUN/tensorboard/        the same for TensorBoard, where it is installed
RUN/recipe.json         the resolved recipe
RUN/unreadable.json     path -> reason, of the clips that could not be decoded and are left out
RUN/best/, RUN/last/    finished checkpoints, written at the end
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from synthprint import files
from synthprint.errors import CheckpointError
from synthprint.extractor.checkpoint import RUN_STATE
from synthprint.reading import doors
from synthprint.reading.doors import JsonReader
from synthprint.reading.schemas import Refused, construct, table_schema
from synthprint.reading.tensors import check_tensors

STATE_FORMAT = "synthprint-run-1"
AFRESH = "delete the folder to start afresh"
MOST_LOG_BYTES = 4 << 30


@dataclass
class Position:
    """How far a run is: `step` of `epoch`, both from 0, comes next; `steps` is the number of steps done in all.

    `cpu_s` is the processor time that they took, in seconds, evaluations left out.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    best_eer: float | None = None
    best_epoch: int = -1
    last_eer: float | None = None
    finished: bool = False
    cpu_s: float = 0.0


_POSITION: Any = table_schema(Position, best_epoch=int)


class Run:
    """Reads and writes one run folder.

    Args:
        identity: names what is trained on what.
        writes: false for a process beside the one that writes: it leaves the folder as it is.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], writes: bool = True) -> None:
        self.folder = folder
        self.writes = writes
        self._identity = json.dumps(identity, sort_keys=True)
        self._writer: Any = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training in this folder while the block runs.

        Raises:
            CheckpointError: another one does already.
        """
        if not self.writes:
            yield
            return
        with files.locked(self.folder, wait=False) as held:
            if not held:
                raise CheckpointError(
                    f"{self.folder}: another process is training here; wait, or choose another folder"
                )
            yield

    @property
    def best_weights(self) -> Path:
        """The backbone with the lowest development EER so far."""
        return self.folder / "best.safetensors"

    def save(self, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer, position: Position) -> None:
        """Write the state; a kill leaves the old one or the new one, never half of each."""
        if not self.writes:
            return
        tensors = {f"module.{name}": tensor for name, tensor in modules.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        metadata = {
            "format": STATE_FORMAT,
            "identity": self._identity,
            "position": json.dumps(asdict(position)),
        }
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        files.write_tensors(self.folder / RUN_STATE, whole, metadata)

    def resume(self, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> Position:
        """Load the state into `modules` and `optimizer`; the beginning, where there is none yet.

        Raises:
            CheckpointError: the folder holds another training, or a damaged state.
        """
        path = self.folder / RUN_STATE
        position = self._load(path, modules, optimizer) if path.exists() else Position()
        self._clean_up(position)
        return position

    def _load(self, path: Path, modules: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> Position:
        with doors.ending_in(CheckpointError, path, AFRESH):
            metadata = check_tensors(path)
        if metadata.get("format") != STATE_FORMAT:
            raise CheckpointError(f"{path}: was written by another version; choose another folder")
        if metadata.get("identity") != self._identity:
            raise CheckpointError(
                f"{self.folder}: holds a training of {_difference(metadata.get('identity', ''), self._identity)}; "
                "choose another folder, or delete this one"
            )
        try:
            position = construct(Position, JsonReader().checked(metadata.get("position", ""), _POSITION))
            tensors = load_file(path)
            modules.load_state_dict(_under("module.", tensors))
            optimizer.load_state_dict(
                {"state": _optimizer_state(tensors), "param_groups": optimizer.state_dict()["param_groups"]}
            )
        except (OSError, SafetensorError, RuntimeError, LookupError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: is not the state of this training ({why}); {AFRESH}") from error
        return position

    def log(self, row: dict[str, Any], step: int) -> None:
        """Append one line to log.jsonl, and its numbers to TensorBoard; `step` counts the steps done in all."""
        if not self.writes:
            return
        path = self.folder / "log.jsonl"
        with files.writing(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        board = self.folder / "tensorboard"
        with files.writing(board):
            if self._writer is None:
                self._writer = _tensorboard(board, step)
            for name, value in row.items():
                if self._writer and isinstance(value, float):
                    self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        with files.writing(self.folder / "tensorboard"):
            if self._writer:
                self._writer.close()

    def _clean_up(self, position: Position) -> None:
        """Remove what a kill left: half-written files, and log lines of steps that will be done again."""
        for stale in self.folder.glob(".*.tmp*"):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        path = self.folder / "log.jsonl"
        if path.exists():
            standing = []
            reader = JsonReader()
            for line in doors.read_bytes(path, MOST_LOG_BYTES, "log").decode("utf-8", "replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a kill may have cut a line short
                    if _stands(reader.checked(line, dict[str, Any]), position):
                        standing.append(line + "\n")
            files.write_text(path, "".join(standing))


def _stands(row: Mapping[str, Any], position: Position) -> bool:
    """Whether a line of the log tells of something that will not be done again from `position`."""
    if "dev_eer" in row:
        return bool(row["epoch"] <= position.epoch)
    return bool(row["steps"] <= position.steps)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer_state(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    return state


def _difference(written: str, wanted: str) -> str:
    """In words, where two identities differ first."""
    try:
        a, b = JsonReader().checked(written, dict[str, Any]), json.loads(wanted)
    except Refused:
        return "another kind"
    if a.get("data") != b.get("data"):
        return "other data"
    recipe = a.get("recipe")
    if not isinstance(recipe, dict):
        return "another kind"
    changed = [key for key in b["recipe"] if recipe.get(key) != b["recipe"][key]]
    return f"another recipe ([{changed[0]}] differs)" if changed else "another kind"


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    earlier = threading.excepthook

    def quiet(failed: threading.ExceptHookArgs) -> None:
        if type(failed.thread).__name__ != "_AsyncWriterThread":  # TensorBoard's, which raises it again at the next row
            earlier(failed)

    threading.excepthook = quiet
    return SummaryWriter(str(folder), purge_step=step)
