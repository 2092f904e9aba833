"""Do two clips, or two sets of clips, come from one source?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.calibration.verbal import strength
from synthprint.errors import AudioError
from synthprint.extractor.examining import clips_in, examine_files
from synthprint.model.model import Model, open_model
from synthprint.sound.channels import AUTO
from synthprint.vectors.directions import cosines, unit


@dataclass(frozen=True)
class Comparison:
    """Two sets of clips, and what their likeness is worth as evidence.

    Attributes:
        a, b: the clips of each set.
        score: the cosine of the mean directions of their embeddings, from -1 to 1; higher means more likely one source.
        lr: one source made both, against two different ones; None where the extractor has no calibration.
        strength: of the evidence, on the verbal scale.
        statement: the same in a sentence.
        calibration: what the LR was fitted and validated on.
        warnings: what makes the answer less sure, in words.
        failures: path -> reason, of the clips that could not be used.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    score: float
    lr: Evidence | None
    calibration: Calibration | None
    warnings: tuple[str, ...]
    failures: dict[str, str]

    @property
    def strength(self) -> str | None:
        """Of the evidence, on the verbal scale."""
        return strength(self.lr.log10_lr) if self.lr else None

    @property
    def statement(self) -> str | None:
        """What the evidence is worth, in a sentence."""
        return self.calibration.say(self.lr) if self.calibration and self.lr else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        calibration = self.calibration.to_dict() if self.calibration else None
        words = {"strength": self.strength, "statement": self.statement}
        return {**asdict(self), **words, "calibration": calibration}


@dataclass(frozen=True, eq=False)
class _Set:
    """The usable clips of one side: paths, their mean direction [D], and what is said of those that are not sound."""

    paths: tuple[str, ...]
    direction: np.ndarray
    warnings: tuple[str, ...]
    failures: dict[str, str]


def compare(
    a: str | Path | Sequence[str | Path],
    b: str | Path | Sequence[str | Path],
    model: Model | str | Path | None = None,
    channel: str = AUTO,
    threads: int | None = None,
) -> Comparison:
    """How alike two clips, or two sets of clips, are, and how strongly that speaks for one source.

    Args:
        a, b: files, or folders: all audio below them.
        model: one that is open, a folder, or "default"; None: the one that comes with synthprint.
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        threads: that embed, where the model is to be opened; by default all cores.

    Raises:
        AudioError: a set is a single file, and not usable audio.
        CheckpointError: the model is missing or damaged.
        EmbeddingsError: a set has no usable clip.
    """
    model = open_model(model, threads)
    first, second = (_embedded(model, _paths(side), channel) for side in (a, b))
    score = float(cosines(first.direction[None], second.direction[None])[0, 0])
    warnings = [*first.warnings, *second.warnings]
    if both := set(first.paths) & set(second.paths):
        warnings.append(f"{min(both)} is in both sets: it resembles itself, whatever made it")
    calibration = model.calibrations.for_sets(len(first.paths), len(second.paths)) if model.calibrations else None
    if calibration is None:
        warnings.append(
            "this extractor has no calibration, so there is no likelihood ratio: see 'synthprint model calibrate'"
        )
    evidence = calibration.evidence(score) if calibration else None
    failures = {**first.failures, **second.failures}
    return Comparison(first.paths, second.paths, score, evidence, calibration, tuple(warnings), failures)


def _paths(side: str | Path | Sequence[str | Path]) -> list[Path]:
    return [path for _, path in clips_in([side] if isinstance(side, str | Path) else side)]


def _embedded(model: Model, paths: Sequence[Path], channel: str) -> _Set:
    examination = examine_files(model.extractor, paths, channel)
    for path, reason in examination.failures.items() if len(paths) == 1 else ():
        raise AudioError(path, reason)
    examination.check_usable("compared")
    clips = [clip for clip, _ in examination.usable]
    warnings = [
        f"{clip.path}: {note}" for clip in clips for note in (*clip.remarks, *model.beyond_limits(clip.conditions))
    ]
    direction = unit(examination.vectors).mean(axis=0, dtype=np.float64)
    return _Set(tuple(str(clip.path) for clip in clips), direction, tuple(warnings), examination.failures)
