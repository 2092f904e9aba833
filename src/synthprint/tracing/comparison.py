"""Do two clips, or two sets of clips, come from one source?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.addresses import shown
from synthprint.calibration.alternatives import Weighed, weigh
from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.calibration.verbal import SAME_OR_DIFFERENT, strength
from synthprint.errors import AudioError
from synthprint.extractor.examining import examine_files
from synthprint.model.detector import SYNTHETIC_ANSWER, DetectorAnswer
from synthprint.model.model import Model, open_model
from synthprint.sound.channels import AUTO
from synthprint.stores.listing import StoredClip, listed
from synthprint.vectors.directions import cosines, unit


@dataclass(frozen=True)
class Comparison:
    """Two sets of clips, and what their likeness is worth as evidence.

    Attributes:
        a, b: the clips of each set.
        score: the cosine of the mean directions of their embeddings, from -1 to 1; higher means more likely one source.
        lr: one source made both, against any two different ones; None where the extractor has no calibration.
        calibration: what that was fitted and validated on.
        warnings: what makes the answer less sure, in words.
        failures: path -> reason, of the clips that could not be used.
        lr_same_publisher: as `lr`, against two sources of the same publisher and format; None where the calibration
            data did not say who put the clips out.
        calibration_same_publisher: of that.
        human: path -> whether a person spoke in the clip; empty where the model has no detector.
        strength: of the weaker of the two, on the verbal scale.
        statement, statements: the weaker in a sentence; both, the weaker first.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    score: float
    lr: Evidence | None
    calibration: Calibration | None
    warnings: tuple[str, ...]
    failures: dict[str, str]
    lr_same_publisher: Evidence | None = None
    calibration_same_publisher: Calibration | None = None
    human: dict[str, DetectorAnswer] = field(default_factory=dict)

    @property
    def weighed(self) -> tuple[Weighed, ...]:
        """The LRs with what gave them, the weaker first."""
        return weigh(self.score, self.calibration, self.calibration_same_publisher, *SAME_OR_DIFFERENT)

    @property
    def strength(self) -> str | None:
        """Of the weaker evidence, on the verbal scale."""
        return strength(self.weighed[0].lr.log10_lr) if self.weighed else None

    @property
    def statements(self) -> tuple[str, ...]:
        """What the evidence is worth against each alternative, in sentences, the weaker first."""
        return tuple(weighed.statement for weighed in self.weighed)

    @property
    def statement(self) -> str | None:
        """The first of `statements`."""
        return next(iter(self.statements), None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        calibrations = {
            name: fitted.to_dict() if (fitted := getattr(self, name)) else None
            for name in ("calibration", "calibration_same_publisher")
        }
        words = {"strength": self.strength, "statement": self.statement, "statements": self.statements}
        return {**asdict(self), **words, **calibrations}


@dataclass(frozen=True, eq=False)
class _Set:
    """The usable clips of one side: paths, their mean direction [D], and what is said of those that are not sound."""

    paths: tuple[str, ...]
    direction: np.ndarray
    warnings: tuple[str, ...]
    failures: dict[str, str]
    human: dict[str, DetectorAnswer]


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
    first, second = (_embedded(model, _clips(side), channel) for side in (a, b))
    score = float(cosines(first.direction[None], second.direction[None])[0, 0])
    warnings = [*first.warnings, *second.warnings]
    if both := set(first.paths) & set(second.paths):
        warnings.append(f"{min(both)} is in both sets: it resembles itself, whatever made it")
    warnings += _of_two_kinds(human := {**first.human, **second.human})
    sizes, fitted = (len(first.paths), len(second.paths)), model.calibrations
    calibration = fitted.for_sets(*sizes) if fitted else None
    same_publisher = fitted.same_publisher_for_sets(*sizes) if fitted else None
    if calibration is None:
        warnings.append(
            "this extractor has no calibration, so there is no likelihood ratio: see 'synthprint model calibrate'"
        )
    return Comparison(
        first.paths, second.paths, score, calibration.evidence(score) if calibration else None, calibration,
        tuple(warnings), {**first.failures, **second.failures},
        same_publisher.evidence(score) if same_publisher else None, same_publisher, human,
    )  # fmt: skip


def _of_two_kinds(human: Mapping[str, DetectorAnswer]) -> Iterator[str]:
    """The warnings where a person spoke: an LR of two clips weighs systems."""
    spoken = [path for path, said in human.items() if said.human]
    synthetic = [path for path, said in human.items() if said.answer == SYNTHETIC_ANSWER]
    if spoken and synthetic:
        yield f"{spoken[0]} is human speech by the evidence, and {synthetic[0]} synthetic: no one source made both"
    elif spoken:
        yield f"{spoken[0]} is human speech by the evidence: what is compared then is no system"


def _clips(side: str | Path | Sequence[str | Path]) -> list[StoredClip]:
    return list(listed([side] if isinstance(side, str | Path) else side))


def _embedded(model: Model, stored: Sequence[StoredClip], channel: str) -> _Set:
    examination = examine_files(model.extractor, stored, channel, beside=model.beside)
    for path, reason in examination.failures.items() if len(stored) == 1 else ():
        raise AudioError(path, reason)
    examination.check_usable("compared")
    clips = [clip for clip, _ in examination.usable]
    warnings = [
        f"{shown(clip.path)}: {note}"
        for clip in clips
        for note in (*clip.remarks, *model.beyond_limits(clip.conditions))
    ]
    direction = unit(examination.vectors).mean(axis=0, dtype=np.float64)
    human = {shown(clip.path): said for clip in clips if (said := model.heard(clip.beside))}
    return _Set(tuple(shown(clip.path) for clip in clips), direction, tuple(warnings), examination.failures, human)
