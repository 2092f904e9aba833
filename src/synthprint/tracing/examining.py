"""Files as a user brings them: decoded, embedded and measured, as a stream in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint import doors
from synthprint.audio import Sound, decoded
from synthprint.conditions import Conditions, conditions
from synthprint.errors import AudioError
from synthprint.extraction import embed_each
from synthprint.extractors import Extractor
from synthprint.progress import track
from synthprint.protocols.folder import AUDIO_ENDINGS, audio_files
from synthprint.sound.channels import AUTO
from synthprint.sound.tracks import VANISHED, Stamp, check_unchanged
from synthprint.sound.waves import AnyWave

BATCH_CLIPS = 16  # embedded together: enough to keep all cores busy, few enough to answer soon


def clips_in(paths: Iterable[str | Path]) -> Iterator[tuple[str, Path]]:
    """Files as they are, and the audio files below folders, sorted: a short name, and the path.

    A folder without audio stands for itself, so that it is met as a failure.
    """
    for path in map(Path, paths):
        below = sorted(audio_files(path)) if path.is_dir() else []
        yield from ((found.relative_to(path).as_posix(), found) for found in below)
        if not below:
            yield path.name or str(path), path


def reason_of(path: Path, reason: str) -> str:
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
        state: its conditions.
        remarks: what is odd about the file, in sentences.
        stamp: of the file, when it was read.
    """

    path: Path
    vector: np.ndarray
    state: Conditions
    remarks: tuple[str, ...]
    stamp: Stamp

    def sha256(self) -> str:
        """Of the bytes that were examined, hex.

        Raises:
            AudioError: the file was changed or taken away since.
        """
        return digest_of(self.path, self.stamp)


@dataclass(frozen=True)
class UnusableClip:
    """A file that could not be used, and why."""

    path: Path
    reason: str


def digest_of(path: Path, stamp: Stamp) -> str:
    """SHA-256 of a file that was read when it had this stamp, hex.

    Raises:
        AudioError: it was changed or taken away since.
    """
    try:
        digest = doors.sha256(path)
    except OSError:
        raise AudioError(path, VANISHED) from None
    check_unchanged(path, stamp)
    return digest


def remarks_of(sound: Sound) -> tuple[str, ...]:
    """What is odd about a file, in sentences."""
    return tuple(f"the file {remark}" for remark in sound.remarks)


def examined(
    extractor: Extractor, paths: Iterable[Path], channel: str = AUTO, doing: str | None = None
) -> Iterator[ExaminedClip | UnusableClip]:
    """Decode, embed and measure files, in order; what fails stands in its place, with the reason.

    Args:
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        doing: what a progress display says; None: none is shown.
    """
    todo = list(paths)
    sounds = decoded(todo, channel)
    seen: dict[int, tuple[Conditions, tuple[str, ...], Stamp]] = {}

    def waves() -> Iterator[tuple[str, AnyWave | AudioError]]:
        for place, sound in enumerate(track(sounds, doing, len(todo)) if doing else sounds):
            if isinstance(sound, AudioError):
                yield str(place), sound
                continue
            seen[place] = (conditions(sound.wave), remarks_of(sound), sound.stamp)
            yield str(place), sound.wave

    for key, embedded in embed_each(extractor, waves(), BATCH_CLIPS):
        path = todo[int(key)]
        if isinstance(embedded, AudioError):
            yield UnusableClip(path, reason_of(path, embedded.reason))
        else:
            yield ExaminedClip(path, embedded.vector, *seen.pop(int(key)))


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
