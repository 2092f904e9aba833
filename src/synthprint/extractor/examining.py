"""Files as a user brings them: decoded, embedded and measured, as a stream in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.embedding import embed_each
from synthprint.extractor.runtime import Extractor
from synthprint.progress import track
from synthprint.protocols.folder import AUDIO_ENDINGS, audio_files
from synthprint.reading import doors
from synthprint.sound.audio import Sound, decoded
from synthprint.sound.channels import AUTO
from synthprint.sound.conditions import Conditions, conditions
from synthprint.sound.tracks import VANISHED, Stamp, check_unchanged
from synthprint.sound.waves import AnyWave

BATCH_CLIPS = 16  # embedded together: enough to keep all cores busy, few enough to answer soon


def clips_in(paths: Iterable[str | Path]) -> Iterator[tuple[str, Path]]:
    """Files as they are, and the audio files below folders, sorted: a short name, and the path.

    A folder without audio stands for itself, so that it is met as a failure.
    """
    for path in map(Path, paths):
        below = sorted(audio_files(path)) if path.is_dir() else []
        yield from ((file.relative_to(path).as_posix(), file) for file in below)
        if not below:
            yield path.name or str(path), path


def distinct_files(paths: Iterable[str | Path]) -> list[Path]:
    """As `clips_in`, the paths alone, and each once."""
    return list(dict.fromkeys(path for _, path in clips_in(paths)))


def failure_reason(path: Path, reason: str) -> str:
    """Why `path` failed, told better where it is a folder without audio."""
    if path.is_dir():
        return f"holds no audio; files with these endings were looked for: {' '.join(sorted(AUDIO_ENDINGS))}"
    return reason


@dataclass(frozen=True, eq=False)
class ExaminedClip:
    """A file that could be used.

    Attributes:
        path: of the file.
        vector: its embedding [D].
        conditions: measured of it.
        remarks: what is odd about the file, in sentences.
        stamp: of the file, when it was read.
        beside: its embedding by the extractor beside the first, where there was one.
    """

    path: Path
    vector: np.ndarray
    conditions: Conditions
    remarks: tuple[str, ...]
    stamp: Stamp
    beside: np.ndarray | None = None

    def sha256(self) -> str:
        """Of the bytes that were examined, hex.

        Raises:
            AudioError: the file was changed or taken away since.
        """
        return examined_digest(self.path, self.stamp)


@dataclass(frozen=True)
class UnusableClip:
    """A file that could not be used, and why."""

    path: Path
    reason: str


def examined_digest(path: Path, stamp: Stamp | None) -> str:
    """SHA-256 of a file that was read when it had this stamp, hex; None: when there was no file.

    Raises:
        AudioError: it was changed or taken away since.
    """
    try:
        digest = doors.sha256(path)
    except OSError:
        raise AudioError(path, VANISHED) from None
    check_unchanged(path, stamp)
    return digest


def describe_remarks(sound: Sound) -> tuple[str, ...]:
    """What is odd about a file, in sentences."""
    return tuple(f"the file {remark}" for remark in sound.remarks)


def examined(
    extractor: Extractor,
    paths: Iterable[Path],
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Iterator[ExaminedClip | UnusableClip]:
    """Decode, embed and measure files, in order; what fails stands in its place, with the reason.

    Args:
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        doing: what a progress display says; None: none is shown.
        beside: a further extractor of the same clips, such as a detector.
    """
    todo = list(paths)
    sounds = decoded(todo, channel)
    seen: dict[int, tuple[Conditions, tuple[str, ...], Stamp]] = {}

    def waves() -> Iterator[tuple[str, AnyWave | AudioError]]:
        for place, sound in enumerate(track(sounds, doing, len(todo)) if doing else sounds):
            if isinstance(sound, AudioError):
                yield str(place), sound
                continue
            seen[place] = (conditions(sound.wave), describe_remarks(sound), sound.stamp)
            yield str(place), sound.wave

    for key, embedded in embed_each(extractor, waves(), BATCH_CLIPS, beside):
        path = todo[int(key)]
        if isinstance(embedded, AudioError):
            yield UnusableClip(path, failure_reason(path, embedded.reason))
        else:
            yield ExaminedClip(path, embedded.vector, *seen.pop(int(key)), embedded.beside)


def with_digests(
    clips: Iterable[ExaminedClip | UnusableClip],
) -> Iterator[tuple[ExaminedClip, str] | UnusableClip]:
    """Each clip and its SHA-256; one that was changed or taken away since it was examined is unusable."""
    for clip in clips:
        if isinstance(clip, UnusableClip):
            yield clip
            continue
        try:
            digest = clip.sha256()
        except AudioError as error:
            yield UnusableClip(clip.path, error.reason)
        else:
            yield clip, digest


@dataclass(frozen=True, eq=False)
class Examination:
    """Files examined together, in order: the usable ones with their SHA-256, and why the others are not."""

    results: tuple[tuple[ExaminedClip, str] | UnusableClip, ...]

    @property
    def usable(self) -> list[tuple[ExaminedClip, str]]:
        """The clips that could be used, and the SHA-256 of each, hex."""
        return [result for result in self.results if not isinstance(result, UnusableClip)]

    @property
    def vectors(self) -> np.ndarray:
        """Their embeddings [N, D]."""
        return np.stack([clip.vector for clip, _ in self.usable])

    @property
    def failures(self) -> dict[str, str]:
        """Path -> reason, of the others."""
        return {str(result.path): result.reason for result in self.results if isinstance(result, UnusableClip)}

    def check_usable(self, purpose: str) -> None:
        """Make sure that there is a clip to go on with.

        Args:
            purpose: what is to be done with them, as an error says it: "none of 3 clips can be <purpose>".

        Raises:
            EmbeddingsError: none is usable.
        """
        if not self.usable:
            first = next(iter(self.failures.items()), None)
            why = ": ".join(first) if first else "no clips were given"
            raise EmbeddingsError(f"none of {len(self.results)} clips can be {purpose}; {why}")


def examine_files(
    extractor: Extractor,
    paths: Sequence[Path],
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Examination:
    """Examine files together, with their digests; see `examined`."""
    return Examination(tuple(with_digests(examined(extractor, paths, channel, doing, beside))))


def examine_all(
    extractor: Extractor,
    paths: Sequence[Path],
    purpose: str,
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Examination:
    """Examine files, of which at least one must be usable; see `Examination.check_usable` and `examined`.

    Raises:
        EmbeddingsError: none is usable.
    """
    examination = examine_files(extractor, paths, channel, doing, beside)
    examination.check_usable(purpose)
    return examination
