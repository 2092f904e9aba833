"""Any file in, 16 kHz mono float32 out.

*Conventions.* A wave is a one-dimensional float32 array at `SAMPLE_RATE`, full scale at ±1. Channels are averaged,
unless they cancel each other (see `channels`). Lengths in samples are `n_samples`, in seconds `duration_s`.

A clip is named by its path, or by the address where it lies, or is one that a listing met (see `stores`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from synthprint.addresses import shown
from synthprint.background import in_order, processors
from synthprint.errors import AudioError
from synthprint.sound import decoding, ranged
from synthprint.sound.channels import AUTO
from synthprint.sound.decoding import MAX_DURATION_S, MIN_DURATION_S, LongSound, Sound, checked, mixed
from synthprint.sound.tracks import RATES, opened
from synthprint.sound.waves import (
    SAMPLE_RATE,
    SILENCE,
    SILENT,
    crop,
    is_silent,
    resample,
    window_starts,
    windows,
    wrap,
)
from synthprint.stores.fetching import Fetchable, FetchedClip, address_of, fetched, fetched_ahead, local_copy, told_of

__all__ = [
    "MAX_DURATION_S", "MIN_DURATION_S", "RATES", "SAMPLE_RATE", "SILENCE", "SILENT", "AudioInfo", "Decoder", "Sound",
    "checked", "crop", "decode", "decoded", "decoding_by", "info", "is_silent", "load", "mixed", "resample",
    "window_starts", "windows", "wrap",
]  # fmt: skip


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        sample_rate: the native one, in Hz.
        channels: how many it has.
        duration_s: its length; where no header gives it, or gives it wrongly, that of what decodes.
        format, subtype: container and coding, by libsndfile's names.
    """

    sample_rate: int
    channels: int
    duration_s: float
    format: str
    subtype: str


class Decoder(Protocol):
    """What decodes in place of this process; its methods are `decode`, `info` and `load`, as below."""

    def decode(self, path: Path, channel: str, in_memory: bool) -> Sound: ...
    def info(self, path: Path) -> AudioInfo: ...
    def load(self, path: Path, start_s: float, duration_s: float | None, channel: str) -> np.ndarray: ...


_DECODERS: list[Decoder] = []  # the last of them decodes; none: this process does


@contextmanager
def decoding_by(decoder: Decoder) -> Iterator[None]:
    """While the block runs, `decoder` does what is asked of `decode`, `decoded`, `info` and `load`, in all threads."""
    _DECODERS.append(decoder)
    try:
        yield
    finally:
        _DECODERS.remove(decoder)


def decode(path: Fetchable, channel: str = AUTO, in_memory: bool = False) -> Sound:
    """All audio of a clip, see `decoding.decode`; where `decoding_by` named a decoder, by that one.

    Raises:
        AudioError: see `load`.
        MissingDependency: the driver of the store where it lies is not installed.
    """
    with closing(fetched(path)) as clip:
        return _decoded(clip, channel, in_memory)


def _decoded(clip: FetchedClip, channel: str, in_memory: bool = False) -> Sound:
    with told_of(clip.address):
        decoder = _DECODERS[-1].decode if _DECODERS else decoding.decode
        sound = decoder(clip.path, channel, in_memory)
    return replace(sound, sha256=clip.sha256) if clip.sha256 else sound


def info(path: Fetchable) -> AudioInfo:
    """Read the header of a clip.

    Raises:
        AudioError: it is missing, empty, or not audio; or cannot be fetched.
        MissingDependency: the driver of the store where it lies is not installed.
    """
    with local_copy(path) as file:
        return _DECODERS[-1].info(file) if _DECODERS else _info(file)


def _info(path: Path) -> AudioInfo:
    with opened(path) as source:
        first = source.tracks[0]
        counted = [track.frames for track in source.tracks]
        if source.native and None not in counted:
            seconds = sum((frames or 0) / track.rate for frames, track in zip(counted, source.tracks, strict=True))
            return AudioInfo(first.rate, first.channels, seconds, first.format, first.subtype)
    sound = decode(path)  # no header to trust: the length is that of what decodes
    seconds = len(sound.wave) / SAMPLE_RATE
    if source.native:
        return AudioInfo(first.rate, first.channels, seconds, first.format, first.subtype)
    return AudioInfo(SAMPLE_RATE, 1, seconds, path.suffix.lstrip(".").upper(), "")


def load(path: Fetchable, start_s: float = 0.0, duration_s: float | None = None, channel: str = AUTO) -> np.ndarray:
    """Decode a clip, or the part of it from `start_s` on, to 16 kHz mono.

    Where libsndfile can seek, only the part asked for is decoded; of a WAV or FLAC in a store only that is fetched, by
    what its header says. Lossy codecs may pass full scale a little;
    what does is clipped, as any player would. `decode` also says what is odd about the file.

    Args:
        path: the clip.
        start_s: where the part begins, in seconds.
        duration_s: how long it is, in seconds; None: to the end.
        channel: "auto", "mean", "side", or a channel's number, from 1.

    Returns:
        float32 [T], within ±1. Four hours take 920 MB; `decode` keeps them in a file.

    Raises:
        AudioError: missing, empty, truncated to nothing, not audio, not finite, not scaled to ±1, longer than
            MAX_DURATION_S, shorter than MIN_DURATION_S, without that channel, or changed meanwhile; or it cannot be
            fetched.
        MissingDependency: the driver of the store where it lies is not installed.
    """
    first = round(start_s * SAMPLE_RATE)
    count = None if duration_s is None else round(duration_s * SAMPLE_RATE)
    if count is not None and not _DECODERS and (wave := ranged.section(path, first, count, channel)) is not None:
        return np.asarray(checked(wave, shown(address_of(path)))[:])
    with local_copy(path) as file:
        if _DECODERS and (first or count is not None):
            return _DECODERS[-1].load(file, start_s, duration_s, channel)
        return _load(file, first, count, channel)


def _load(path: Path, first: int, count: int | None, channel: str) -> np.ndarray:
    if first or count is not None:
        with opened(path) as source:
            track = source.tracks[0]
            if len(source.tracks) == 1 and track.frames is not None:
                return np.asarray(checked(decoding.section(path, track, first, count, channel), path)[:])
    wave = decode(path, channel).wave
    last = len(wave) if count is None else first + count
    return np.asarray(checked(wave[first:last], path)[:])


def decoded(clips: Iterable[Fetchable], channel: str = AUTO) -> Iterator[Sound | AudioError]:
    """Each of `clips` decoded (see `decode`), in order, a few ahead on all cores; an error takes its sound's place.

    Of sounds that are too long to be kept in memory, one is decoded at a time.

    Raises:
        MissingDependency: the driver of a store is not installed.
    """
    workers = processors()
    ahead = in_order(lambda clip: (clip, _or_error(clip, channel, True)), fetched_ahead(clips), workers, workers + 2)
    for clip, sound in ahead:
        yield _or_error(clip, channel) if isinstance(sound, LongSound) else sound  # type: ignore[misc]
        if isinstance(clip, FetchedClip):
            clip.close()


def _or_error(clip: FetchedClip | AudioError, channel: str, in_memory: bool = False) -> Sound | AudioError | LongSound:
    if isinstance(clip, AudioError):
        return clip
    try:
        return _decoded(clip, channel, in_memory)
    except (AudioError, LongSound) as error:
        return error
