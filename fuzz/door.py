"""What a door is: a way by which a file of a stranger comes into synthprint."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

MOST_BYTES = 1 << 20  # of a case: what is to be met in it is not size
LARGE = 30_000  # bytes; what a change has made larger is not changed again: that is slow, and its size is the point
HERE = b"@HERE@"  # in a case, stands for the folder it is placed in: so that a case is the same wherever it runs


def nothing(room: Path) -> Path:
    """The preparation of a door that needs none."""
    return room


@dataclass(frozen=True)
class Door:
    """One kind of file, and what opens it.

    Attributes:
        name: "room.kind"; also the folder that faulty cases are kept in.
        file: the name that a case has when it is opened, below the room (a folder of the worker's own).
        enter: (what `prepare` gave, path of the case) -> the result, which must hold no NaN; or a SynthprintError.
        seeds: what `prepare` gave -> files to start from. The first is sound: to refuse it is a fault.
        mutators: one of them is chosen for each change; one that is listed twice is chosen twice as often.
        prepare: called once by a worker: lays what belongs to the case into the room, opens what is heavy.
        names_folder: an error may name a folder that holds the case, or what belongs to it there, instead of its file.
        opens_others: it is asked to open the files that the case names, so that this is no fault.
        limit_s: a case may take so long.
        memory_mb: a case may take so much more memory than its worker has after `prepare`.
        weight: its share of the time, in shares.
    """

    name: str
    file: str
    enter: Callable[[Any, Path], object]
    seeds: Callable[[Any], Sequence[bytes]]
    mutators: Sequence[Mutator]
    prepare: Callable[[Path], Any] = nothing
    names_folder: bool = False
    opens_others: bool = False
    limit_s: float = 5.0
    memory_mb: int = 512
    weight: float = 1.0

    def case(self, seeds: Sequence[bytes], seed: int, index: int) -> bytes:
        """Case number `index` of a run with `seed`: the seeds as they are, then mutations of them; always the same."""
        if index < len(seeds):
            return seeds[index]
        rng = random.Random(f"{seed}/{self.name}/{index}")
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
            if len(data) > LARGE:
                break
            data = rng.choice(self.mutators)(rng, data, seeds)[:MOST_BYTES]
        return data


def all_doors(source: Path | None = None) -> list[Door]:
    """The doors of each module in `fuzz.doors`, or those of the Python file `source`, by name."""
    if source is None:
        import fuzz.doors

        names = sorted(module.name for module in pkgutil.iter_modules(fuzz.doors.__path__))
        modules = [importlib.import_module(f"fuzz.doors.{name}") for name in names]
    else:
        modules = [_from_file(source)]
    doors = sorted((door for module in modules for door in getattr(module, "DOORS", ())), key=lambda door: door.name)
    if len({door.name for door in doors}) < len(doors):
        raise ValueError("two doors have the same name")
    return doors


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
