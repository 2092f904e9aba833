"""Files as a user brings them: decoded, embedded and measured, as a stream in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthprint.addresses import Address, shown
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.embedding import embed_each
from synthprint.extractor.runtime import Extractor
from synthprint.progress import track
from synthprint.sound.audio import Sound, decoded
from synthprint.sound.channels import AUTO
from synthprint.sound.conditions import Conditions, conditions
from synthprint.sound.tracks import VANISHED, Stamp, check_unchanged
from synthprint.sound.waves import AnyWave
from synthprint.stores.fetching import Fetchable, address_of, sha256
from synthprint.stores.listing import NO_AUDIO, StoredClip, listed

BATCH_CLIPS = 16  # embedded together: enough to keep all cores busy, few enough to answer soon


def distinct_clips(addresses: Iterable[str | Path]) -> list[StoredClip]:
    """As `stores.listing.listed`, each clip once."""
    return list({clip.address: clip for clip in listed(addresses)}.values())


@dataclass(frozen=True, eq=False)
class ExaminedClip:
    """A clip that could be used.

    Attributes:
        path: of the file, or the address where the clip lies.
        vector: its embedding [D].
        conditions: measured of it.
        remarks: what is odd about the file, in sentences.
        stamp: of the file, when it was read.
        beside: its embedding by the extractor beside the first, where there was one.
        fetched_sha256: hex, of the bytes of one that was fetched.
    """

    path: Address
    vector: np.ndarray
    conditions: Conditions
    remarks: tuple[str, ...]
    stamp: Stamp
    beside: np.ndarray | None = None
    fetched_sha256: str | None = None

    def sha256(self) -> str:
        """Of the bytes that were examined, hex.

        Raises:
            AudioError: the file was changed or taken away since.
        """
        return self.fetched_sha256 or examined_digest(self.path, self.stamp)


@dataclass(frozen=True)
class UnusableClip:
    """A clip that could not be used, and why."""

    path: Address
    reason: str


def examined_digest(path: Address, stamp: Stamp | None) -> str:
    """SHA-256 of a clip that was read when it had this stamp, hex; None: when there was none.

    Raises:
        AudioError: it was changed or taken away since.
    """
    try:
        digest = sha256(path)
    except OSError:
        raise AudioError(shown(path), VANISHED) from None
    check_unchanged(path, stamp)
    return digest


def describe_remarks(sound: Sound) -> tuple[str, ...]:
    """What is odd about a file, in sentences."""
    return tuple(f"the file {remark}" for remark in sound.remarks)


def examined(
    extractor: Extractor,
    clips: Iterable[Fetchable],
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Iterator[ExaminedClip | UnusableClip]:
    """Decode, embed and measure clips, in order, as they come; what fails stands in its place, with the reason.

    Args:
        clips: paths, addresses, or what a listing gave.
        channel: of files with several: "auto", "mean", "side", or a number from 1.
        doing: what a progress display says; None: none is shown.
        beside: a further extractor of the same clips, such as a detector.

    Raises:
        MissingDependency: the driver of a store is not installed.
    """
    asked: deque[Address] = deque()
    seen: dict[str, tuple[Conditions, tuple[str, ...], Stamp, str | None]] = {}

    def noted(clips: Iterable[Fetchable]) -> Iterator[Fetchable]:
        for clip in clips:
            asked.append(address_of(clip))
            yield clip

    def waves() -> Iterator[tuple[str, AnyWave | AudioError]]:
        todo = list(clips) if doing else clips
        sounds = decoded(noted(todo), channel)
        for place, sound in enumerate(track(sounds, doing, len(todo)) if doing else sounds):  # type: ignore[arg-type]
            if isinstance(sound, AudioError):
                yield str(place), sound
                continue
            seen[str(place)] = (conditions(sound.wave), describe_remarks(sound), sound.stamp, sound.sha256)
            yield str(place), sound.wave

    for key, embedded in embed_each(extractor, waves(), BATCH_CLIPS, beside):
        address, measured = asked.popleft(), seen.pop(key, None)
        if isinstance(embedded, AudioError):
            yield UnusableClip(address, _failure_reason(address, embedded.reason))
        elif measured is not None:
            yield ExaminedClip(address, embedded.vector, *measured[:3], embedded.beside, measured[3])


def _failure_reason(address: Address, reason: str) -> str:
    """Why a clip failed, told better where it is a folder."""
    return NO_AUDIO if isinstance(address, Path) and address.is_dir() else reason


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
    """Clips examined together, in order: the usable ones with their SHA-256, and why the others are not."""

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
        """Path, or address as it is shown, -> reason, of the others."""
        return {shown(result.path): result.reason for result in self.results if isinstance(result, UnusableClip)}

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
    clips: Iterable[Fetchable],
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Examination:
    """Examine clips together, with their digests; see `examined`."""
    return Examination(tuple(with_digests(examined(extractor, clips, channel, doing, beside))))


def examine_all(
    extractor: Extractor,
    clips: Iterable[Fetchable],
    purpose: str,
    channel: str = AUTO,
    doing: str | None = None,
    beside: Extractor | None = None,
) -> Examination:
    """Examine clips, of which at least one must be usable; see `Examination.check_usable` and `examined`.

    Raises:
        EmbeddingsError: none is usable.
    """
    examination = examine_files(extractor, clips, channel, doing, beside)
    examination.check_usable(purpose)
    return examination
