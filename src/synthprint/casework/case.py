"""What a report says, as data: the clips with their traces and timelines, the pairs, the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthprint import __version__
from synthprint.addresses import Address, shown
from synthprint.calibration.calibration import Calibration
from synthprint.casework.case_contents import CASE, CLIPS, FiledClip, Question
from synthprint.casework.case_folder import CaseFolder
from synthprint.errors import AudioError, CaseError, EmbeddingsError
from synthprint.extractor.examining import (
    Examination,
    ExaminedClip,
    UnusableClip,
    describe_remarks,
    distinct_clips,
    examine_all,
    examine_files,
)
from synthprint.gallery.gate import Gate
from synthprint.gallery.index import INDEX
from synthprint.gallery.rules import Rule
from synthprint.model.calibrations import SourceCalibrations
from synthprint.model.detector import DetectorCalibration
from synthprint.model.limits import Limits
from synthprint.reading import doors
from synthprint.sound import audio
from synthprint.sound.audio import AudioInfo
from synthprint.tracing.timeline import Timeline, trace_over_time
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Trace
from synthprint.vectors.directions import cosines, unit
from synthprint.wording import counted

WORTH_A_TIMELINE_S = 4.0  # below, no change of source is found reliably
MOST_PAIRED = 20  # clips, of which all pairs are shown


@dataclass(frozen=True, eq=False)
class CaseClip:
    """A clip of a case: its file (of a case on disk, its name there), what that is, and its answers."""

    path: str
    sha256: str
    info: AudioInfo | None
    trace: Trace
    timeline: Timeline | None


@dataclass(frozen=True)
class Unread:
    """Why a clip could not be examined; the digest of its bytes, "" where there is no such file."""

    reason: str
    sha256: str


@dataclass(frozen=True)
class Method:
    """By what the answers were made, and what is known of how good they are.

    Attributes:
        version: of synthprint.
        extractor, gallery: digests of the weights, and of the gallery's index, which names those of its segments.
        sources, clips: enrolled.
        backend: what scored.
        rule: when a source is named, and what that did on development data.
        calibrations: what a score is worth, and on what that was fitted.
        limits: which clips the extractor was validated for.
        command: that makes the report again.
        detector: of human speech: what its scores are worth; None where the model has none.
        gate: what says whether a source is enrolled, in place of the rule's threshold; None: that does.
    """

    version: str
    extractor: str
    gallery: str
    sources: int
    clips: int
    backend: str
    rule: Rule | None
    calibrations: SourceCalibrations
    limits: Limits | None
    command: str
    detector: DetectorCalibration | None = None
    gate: Gate | None = None


@dataclass(frozen=True, eq=False)
class PairMatrix:
    """Every pair of clips: cosines [N, N], log10 LRs [N, N] where there is a calibration, and that.

    `log10_lr` is against any two sources, `log10_lr_same_publisher` against two of the same publisher and format.
    """

    cosines: np.ndarray
    log10_lr: np.ndarray | None
    calibration: Calibration | None
    log10_lr_same_publisher: np.ndarray | None = None
    calibration_same_publisher: Calibration | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """All that a report says; `failures` by path."""

    asked: Question
    clips: tuple[CaseClip, ...]
    pairs: PairMatrix | None
    method: Method
    failures: dict[str, Unread]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        pairs = self.pairs
        return {
            "asked": asdict(self.asked),
            "clips": [
                {
                    "path": clip.path,
                    "sha256": clip.sha256,
                    "file": asdict(clip.info) if clip.info else None,
                    "trace": clip.trace.to_dict(),
                    "timeline": clip.timeline.to_dict() if clip.timeline else None,
                }
                for clip in self.clips
            ],
            "pairs": pairs
            and {
                "cosine": pairs.cosines.astype(float).tolist(),
                "log10_lr": None if pairs.log10_lr is None else pairs.log10_lr.tolist(),
                "calibration": pairs.calibration.to_dict() if pairs.calibration else None,
                **_same_publisher(pairs),
            },
            "method": {
                **asdict(self.method),
                "calibrations": self.method.calibrations.to_dict(),
                "limits": self.method.limits.to_dict() if self.method.limits else None,
                "detector": self.method.detector.to_dict() if self.method.detector else None,
                "gate": self.method.gate.to_dict() if self.method.gate else None,
            },
            "failures": {path: asdict(unread) for path, unread in self.failures.items()},
        }


def examine(tracer: Tracer, paths: Sequence[str | Path], asked: Question, command: str) -> Case:
    """Trace clips for a report.

    Args:
        paths: files, or folders: all audio below them.
        command: that makes the report again.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: nothing is enrolled.
    """
    files = distinct_clips(paths)
    examination = examine_all(tracer.extractor, files, "examined", tracer.channel, "examining", tracer.model.beside)
    return _answered(tracer, examination, asked, command, {})


def examine_folder(tracer: Tracer, case: CaseFolder, asked: Question, command: str) -> Case:
    """Trace the clips of a case on disk for a report: by their names there, in its order.

    A clip whose bytes are not those that case.json names is a failure.

    Args:
        asked: what the report is to say of the case; see `Question.overridden`.
        command: that makes the report again.

    Raises:
        EmbeddingsError: no clip is usable.
        GalleryError: nothing is enrolled.
    """
    places = {clip.id: case.folder / CLIPS / clip.file for clip in case.contents.clips}
    refused: dict[str, UnusableClip] = {}
    for clip in case.contents.clips:
        try:
            case.locate(clip)
        except CaseError as error:
            refused[clip.id] = UnusableClip(places[clip.id], str(error).removeprefix(f"{places[clip.id]}: "))
    todo = [path for key, path in places.items() if key not in refused]
    examined = iter(examine_files(tracer.extractor, todo, tracer.channel, "examining", tracer.model.beside).results)
    results = [refused.get(clip.id) or _as_filed(next(examined), clip) for clip in case.contents.clips]
    examination = Examination(tuple(results))
    names: dict[Address, str] = {places[key]: name for key, name in case.shown().items()}
    if not examination.usable and examination.failures:
        path, reason = next(iter(examination.failures.items()))
        raise EmbeddingsError(
            f"{case.folder}: none of {counted(len(results), 'clip')} can be examined; {names[Path(path)]}: {reason}"
        )
    examination.check_usable("examined")
    return _answered(tracer, examination, asked, command, names)


def _as_filed(
    result: tuple[ExaminedClip, str] | UnusableClip, clip: FiledClip
) -> tuple[ExaminedClip, str] | UnusableClip:
    """What came of a clip of a case; a failure, where its bytes are not those that case.json names."""
    path, digest = (
        (result.path, _digest(result.path)) if isinstance(result, UnusableClip) else (result[0].path, result[1])
    )
    if digest in ("", clip.sha256):
        return result
    return UnusableClip(
        path,
        f"is not the file of the case: {CASE} names one with the SHA-256 {clip.sha256[:12]}, this is {digest[:12]}",
    )


def _answered(
    tracer: Tracer, examination: Examination, asked: Question, command: str, names: Mapping[Address, str]
) -> Case:
    """The case of clips that were examined; `names` of those that are shown by another than their path."""
    traces = tracer.answer_clips([clip for clip, _ in examination.usable])
    clips = tuple(
        _clip(tracer, clip.path, digest, trace, names.get(clip.path, shown(clip.path)))
        for (clip, digest), trace in zip(examination.usable, traces, strict=True)
    )
    failures = {
        names.get(Path(path), path): Unread(reason, _digest(Path(path)))
        for path, reason in examination.failures.items()
    }
    return Case(asked, clips, _pairs(tracer, examination.vectors), _method(tracer, command), failures)


def _digest(path: str | Path) -> str:
    """Of a file that could not be examined; "" where it cannot be read either."""
    try:
        return doors.sha256(path) if Path(path).is_file() else ""
    except OSError:
        return ""


def _clip(tracer: Tracer, path: Address, sha256: str, trace: Trace, name: str) -> CaseClip:
    header = timeline = None
    with suppress(AudioError):  # a format that only ffmpeg reads
        header = audio.info(path)
    # Decoded again: the waves of all clips of a case may not fit into memory, and a long one lies in a temporary file,
    # of which there is one at a time.
    with suppress(AudioError):  # gone since it was traced
        if tracer.model.timeline and (trace.duration_s or 0.0) >= WORTH_A_TIMELINE_S:
            sound = audio.decode(path, tracer.channel)
            timeline = trace_over_time(tracer, sound.wave, name, describe_remarks(sound))
    return CaseClip(name, sha256, header, replace(trace, path=name), timeline)


def _pairs(tracer: Tracer, vectors: np.ndarray) -> PairMatrix | None:
    if not 2 <= len(vectors) <= MOST_PAIRED:
        return None
    similarity = cosines(unit(vectors), unit(vectors))
    fitted = tracer.model.calibrations
    calibrations = (fitted.for_sets(1, 1), fitted.same_publisher_for_sets(1, 1)) if fitted else (None, None)
    any_two, same_publisher = ((one.apply(similarity) if one else None, one) for one in calibrations)
    return PairMatrix(similarity, *any_two, *same_publisher)


def _same_publisher(pairs: PairMatrix) -> dict[str, Any]:
    """Further keys, where that was calibrated."""
    if pairs.log10_lr_same_publisher is None or pairs.calibration_same_publisher is None:
        return {}
    return {
        "log10_lr_same_publisher": pairs.log10_lr_same_publisher.tolist(),
        "calibration_same_publisher": pairs.calibration_same_publisher.to_dict(),
    }


def _method(tracer: Tracer, command: str) -> Method:
    gallery, setting = tracer.gallery, tracer.gallery.setting(tracer.backend)
    return Method(
        version=__version__,
        extractor=tracer.model.digest,
        gallery=doors.sha256(gallery.folder / INDEX),
        sources=len(gallery.names),
        clips=len(gallery.clips),
        backend=tracer.backend,
        rule=setting.rule,
        calibrations=setting.calibrations or SourceCalibrations(),
        limits=tracer.model.limits,
        command=command,
        detector=tracer.model.detector.calibration if tracer.model.detector else None,
        gate=setting.gate if setting.gate and setting.gate.serves(len(gallery.names)) else None,
    )
