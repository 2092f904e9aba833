"""A part of a clip that lies elsewhere: only the bytes that it needs are fetched, where format and store allow it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from synthprint.addresses import ending, shard_and_member, shown
from synthprint.errors import StoreError
from synthprint.sound import decoding, quiet
from synthprint.sound.tracks import RATES, Track
from synthprint.stores.fetching import Fetchable, address_of
from synthprint.stores.listing import StoredClip
from synthprint.stores.ranges import NoRanges, RangeFile

SOUGHT = frozenset((".aif", ".aiff", ".au", ".caf", ".flac", ".w64", ".wav"))  # in which libsndfile finds a place


def section(clip: Fetchable, first: int, count: int, channel: str) -> np.ndarray | None:
    """`count` samples at SAMPLE_RATE from `first` on, [count] float32, by what the header says.

    Returns:
        None where that does not give so many: then the whole clip must be fetched, and looked at.

    Raises:
        AudioError: the clip cannot be fetched, or has no such channel.
        MissingDependency: the driver of its store is not installed.
    """
    address = address_of(clip)
    if not isinstance(address, str) or shard_and_member(address) or ending(address) not in SOUGHT:
        return None
    try:
        file = _Read(address, clip.size if isinstance(clip, StoredClip) else None)
    except NoRanges:
        return None
    wave = _section(file, address, first, count, channel)
    if file.failure and not isinstance(file.failure, NoRanges):
        raise file.failure
    return wave if wave is not None and len(wave) == count and not file.failure else None


def _section(file: _Read, address: str, first: int, count: int, channel: str) -> np.ndarray | None:
    import soundfile

    def opening() -> Any:
        file.seek(0)
        return soundfile.SoundFile(file)

    with suppress(soundfile.LibsndfileError), quiet.decoding():
        with opening() as opened:
            rate, channels, frames = opened.samplerate, opened.channels, opened.frames
        if RATES[0] <= rate <= RATES[1]:
            track = Track(rate, channels, lambda: iter(()), frames, opening=opening)
            return decoding.section(shown(address), track, first, count, channel)
    return None


class _Read(RangeFile):
    """As libsndfile reads it, which knows no exceptions: one is kept, and the file ends there."""

    failure: StoreError | None = None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return super().readinto(buffer)
        except StoreError as error:
            self.failure = error
            return 0
