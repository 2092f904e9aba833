"""Do two clips, or two sets of clips, come from one source?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.audio import SAMPLE_RATE
from synthprint.calibration.calibration import Calibration, Evidence
from synthprint.calibration.verbal import strength
from synthprint.conditions import Conditions, Limits, outside
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractors import Extractor
from synthprint.sound.channels import AUTO
from synthprint.tracing.calibrations import ComparisonCalibrations
from synthprint.tracing.examining import UnusableClip, clips_in, examined
from synthprint.vectors import cosines, unit


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
        told = {"strength": self.strength, "statement": self.statement}
        return {**asdict(self), **told, "calibration": calibration}


@dataclass(frozen=True, eq=False)
class _Set:
    """The usable clips of one side: paths, and their mean direction [D]."""

    paths: tuple[str, ...]
    direction: np.ndarray


def compare(
    extractor: Extractor,
    a: str | Path | Sequence[str | Path],
    b: str | Path | Sequence[str | Path],
    calibrations: ComparisonCalibrations | None = None,
    limits: Limits | None = None,
    channel: str = AUTO,
) -> Comparison:
    """How alike two clips, or two sets of clips, are, and how strongly that speaks for one source.

    Args:
        a, b: files, or folders: all audio below them.
        calibrations, limits: of the extractor.
        channel: of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        AudioError: a set is a single file, and not usable audio.
        EmbeddingsError: a set has no usable clip.
    """
    warnings: list[str] = []
    failures: dict[str, str] = {}
    sets = [_embedded(extractor, _paths(side), limits, channel, warnings, failures) for side in (a, b)]
    score = float(cosines(sets[0].direction[None], sets[1].direction[None])[0, 0])
    both = set(sets[0].paths) & set(sets[1].paths)
    if both:
        warnings.append(f"{min(both)} is in both sets: it resembles itself, whatever made it")
    calibration = calibrations.of(len(sets[0].paths), len(sets[1].paths)) if calibrations else None
    if calibration is None:
        warnings.append(
            "this extractor has no calibration, so there is no likelihood ratio: see 'synthprint calibrate'"
        )
    evidence = calibration.evidence(score) if calibration else None
    return Comparison(sets[0].paths, sets[1].paths, score, evidence, calibration, tuple(warnings), failures)


def _paths(side: str | Path | Sequence[str | Path]) -> list[Path]:
    return [path for _, path in clips_in([side] if isinstance(side, str | Path) else side)]


def _embedded(
    extractor: Extractor,
    paths: Sequence[Path],
    limits: Limits | None,
    channel: str,
    warnings: list[str],
    failures: dict[str, str],
) -> _Set:
    vectors, used = [], []
    for clip in examined(extractor, paths, channel):
        if isinstance(clip, UnusableClip):
            if len(paths) == 1:
                raise AudioError(clip.path, clip.reason)
            failures[str(clip.path)] = clip.reason
            continue
        vectors.append(clip.vector)
        used.append(str(clip.path))
        notes = (*clip.remarks, *beyond_limits(extractor, clip.state, limits))
        warnings += [f"{clip.path}: {note}" for note in notes]
    if not used:
        raise EmbeddingsError(
            f"none of {len(paths)} clips is usable; {next(iter(failures.items()), 'none were given')}"
        )
    return _Set(tuple(used), unit(np.stack(vectors)).mean(axis=0, dtype=np.float64))


def beyond_limits(extractor: Extractor, state: Conditions, limits: Limits | None) -> tuple[str, ...]:
    """Which limits of what was validated a clip is beyond, in words; without limits, whether it is short."""
    return outside(state, limits) if limits else tuple(short(extractor, state.duration_s))


def short(extractor: Extractor, duration_s: float | None) -> Iterator[str]:
    """The warning that a clip is shorter than what the extractor was trained on, where it is."""
    window_s = extractor.window_samples / SAMPLE_RATE
    if duration_s is not None and duration_s < window_s:
        yield f"lasts {duration_s:.2f} s; below {window_s:.1f} s an answer is less sure"
