"""Pairs of utterances and how alike they are: `Trials` and `Scores`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import files
from synthprint.errors import EmbeddingsError, ManifestError
from synthprint.rows import lines, number
from synthprint.schemas import Refused, short


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
        files.write_text(Path(path), "".join(f"{line}\n" for line in _lines(self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trials:
        """Read the VoxCeleb form, `1 enrolment test` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        target, enrolment, test = _columns(path, "0|1 enrolment test", (_label, str, str))
        return cls(enrolment, test, np.array(target, dtype=bool))


@dataclass(frozen=True, eq=False)
class Scores:
    """A score per trial, [K] float; higher always means more likely the same source.

    Raises:
        EmbeddingsError: there are more or fewer scores than trials, or one is not a number.
    """

    trials: Trials
    values: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values))
        if self.values.shape != (len(self.trials),):
            raise EmbeddingsError(f"{len(self.trials)} trials need as many scores, not {list(self.values.shape)}")
        if np.isnan(self.values).any():
            trial = int(np.flatnonzero(np.isnan(self.values))[0])
            raise EmbeddingsError(f"the score of trial {trial + 1} is not a number")

    @property
    def target(self) -> np.ndarray:
        """Scores of the target trials."""
        return self.values[self.trials.target]

    @property
    def nontarget(self) -> np.ndarray:
        """Scores of the nontarget trials."""
        return self.values[~self.trials.target]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `1 enrolment test score` a line.

        Raises:
            ManifestError: an id holds white space.
        """
        rows = zip(_lines(self.trials), self.values.tolist(), strict=True)
        files.write_text(Path(path), "".join(f"{line} {score!r}\n" for line, score in rows))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scores:
        """Read `1 enrolment test score` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        target, enrolment, test, values = _columns(path, "0|1 enrolment test score", (_label, str, str, _score))
        return cls(Trials(enrolment, test, np.array(target, dtype=bool)), np.array(values, dtype=np.float64))


def _lines(trials: Trials) -> Iterator[str]:
    for target, enrolment, test in zip(trials.target, trials.enrolment, trials.test, strict=True):
        for key in (enrolment, test):
            if len(key.split()) != 1 or key != key.strip():
                raise ManifestError(f"id {key!r} holds white space and cannot stand in a list of trials")
        yield f"{int(target)} {enrolment} {test}"


def _columns(
    path: str | os.PathLike[str], form: str, kinds: Sequence[Callable[[str], Any]]
) -> tuple[tuple[Any, ...], ...]:
    """The columns of a text file, separated by white space; empty lines are passed over."""
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


def _label(text: str) -> bool:
    return {"0": False, "1": True}[text]


def _score(text: str) -> float:
    """A number; an infinite one is written as Python does."""
    return float(text) if text in ("inf", "-inf") else number(text)
