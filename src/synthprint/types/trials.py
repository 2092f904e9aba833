"""Pairs of utterances to be scored: `Trials`, and the lines of a list of trials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import files
from synthprint.errors import ManifestError
from synthprint.reading.rows import lines, number
from synthprint.reading.schemas import Refused, short


@dataclass(frozen=True, eq=False)
class Trials:
    """Pairs of utterances and whether they share the source.

    Attributes:
        enrolment, test: K utterance ids each.
        target: [K] bool, true where the source is the same.
    """

    enrolment: tuple[str, ...]
    test: tuple[str, ...]
    target: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "enrolment", tuple(self.enrolment))
        object.__setattr__(self, "test", tuple(self.test))
        object.__setattr__(self, "target", np.asarray(self.target, dtype=bool))
        if not len(self.enrolment) == len(self.test) == len(self.target):
            raise ManifestError("a list of trials needs as many enrolments as tests and labels")

    def __len__(self) -> int:
        return len(self.target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the VoxCeleb form, `1 enrolment test` a line (1 is target).

        Raises:
            ManifestError: an id holds white space.
        """
        files.write_text(Path(path), "".join(f"{line}\n" for line in trial_lines(self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trials:
        """Read the VoxCeleb form, `1 enrolment test` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        target, enrolment, test = read_columns(path, "0|1 enrolment test", (read_label, str, str))
        return cls(enrolment, test, np.array(target, dtype=bool))


def trial_lines(trials: Trials) -> Iterator[str]:
    """Each trial as `1 enrolment test`.

    Raises:
        ManifestError: an id holds white space.
    """
    for target, enrolment, test in zip(trials.target, trials.enrolment, trials.test, strict=True):
        for key in (enrolment, test):
            if len(key.split()) != 1 or key != key.strip():
                raise ManifestError(f"id {key!r} holds white space and cannot stand in a list of trials")
        yield f"{int(target)} {enrolment} {test}"


def read_columns(
    path: str | os.PathLike[str], form: str, kinds: Sequence[Callable[[str], Any]]
) -> tuple[tuple[Any, ...], ...]:
    """The columns of a text file, separated by white space; empty lines are passed over.

    Args:
        form: what a line looks like, for errors.
        kinds: what reads each cell of a line.

    Raises:
        ManifestError: the file is missing or a line has another form.
    """
    rows = []
    try:
        for place, line in enumerate(lines(path), 1):
            if line.strip():
                try:
                    rows.append([kind(cell) for kind, cell in zip(kinds, line.split(), strict=True)])
                except (ValueError, KeyError):
                    raise ManifestError(f"{path}: line {place} is not {form!r}: {short(line.strip())}") from None
    except (OSError, Refused) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ManifestError(f"{path}: cannot be read as lines of {form!r}: {why}") from error
    return tuple(zip(*rows, strict=True)) or ((),) * len(kinds)


def read_label(text: str) -> bool:
    """Whether a trial is marked as a target."""
    return {"0": False, "1": True}[text]


def read_score(text: str) -> float:
    """A number; an infinite one is written as Python does."""
    return float(text) if text in ("inf", "-inf") else number(text)
