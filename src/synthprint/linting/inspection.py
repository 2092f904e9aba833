"""What can be said of an audio file without listening: is it usable, and its trivial traits.

*Conventions.* Levels are in dB re full scale. Channels are averaged, the native sample rate is kept, and the
file is read in blocks, so that a long recording needs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from synthprint.background import in_order, processors
from synthprint.errors import AudioError, MissingDependency, StoreError
from synthprint.progress import track
from synthprint.reading import doors
from synthprint.sound import audio
from synthprint.sound.audio import AudioInfo
from synthprint.sound.tracks import file_name
from synthprint.sound.traits import FRAME_S, Traits, measure
from synthprint.stores.fetching import Fetchable, local_copy
from synthprint.stores.retrying import NOWHERE

Problem = Literal["missing-file", "empty-file", "unreadable-file", "not-finite", "too-short", "silent-file"]

AHEAD = 4096  # files handed to the threads before their results are taken
BLOCK_S = 10.0


@dataclass(frozen=True)
class Inspection:
    """One file: the `problem` that makes it unusable, with its `reason`; else what was found out.

    Attributes:
        sha256: of the file's bytes; "" where it is missing, empty or unreadable.
        info: what the header says.
        traits: where it was decoded.
    """

    problem: Problem | None = None
    reason: str = ""
    sha256: str = ""
    info: AudioInfo | None = None
    traits: Traits | None = None


def inspect(path: Fetchable, *, decode: bool = True) -> Inspection:
    """Look at one file: its bytes and header, and with `decode` its samples. Never raises on account of the file.

    Raises:
        MissingDependency: the driver of the store where it lies is not installed.
    """
    try:
        with local_copy(path) as file:
            return _inspect(file, decode)
    except MissingDependency:
        raise
    except StoreError as error:
        return Inspection("missing-file" if error.reason == NOWHERE else "unreadable-file", error.reason)
    except AudioError as error:
        return Inspection("unreadable-file", error.reason)
    except Exception as error:  # one bad file must never end a run over a million
        return Inspection("unreadable-file", f"{type(error).__name__}: {error}")


def inspect_all(paths: Sequence[Fetchable], decode: Sequence[bool], workers: int | None = None) -> list[Inspection]:
    """`inspect` for each of `paths`, in order, on `workers` threads (None: a few more than there are processors).

    Threads do, because reading, hashing, decoding and the FFT all release the interpreter.
    """
    threads = workers or processors() + 4
    jobs = zip(paths, decode, strict=True)
    seen = in_order(lambda job: inspect(job[0], decode=job[1]), jobs, threads, AHEAD)
    return list(track(seen, "looking at files", len(paths)))


def _inspect(path: Path, decode: bool) -> Inspection:
    if not path.exists():
        return Inspection("missing-file", "no such file")
    if path.is_file() and path.stat().st_size == 0:
        return Inspection("empty-file", "0 bytes")
    info = audio.info(path)
    digest = doors.sha256(path)
    if info.duration_s < audio.MIN_DURATION_S:
        return Inspection("too-short", f"holds {info.duration_s:.3f} s of audio", digest, info)
    if info.duration_s > audio.MAX_DURATION_S:
        return Inspection("unreadable-file", f"lasts {info.duration_s / 3600:.1f} h; cut it into parts", digest, info)
    return _decoded(path, digest, info) if decode else Inspection(sha256=digest, info=info)


def _decoded(path: Path, digest: str, info: AudioInfo) -> Inspection:
    traits = measure(_blocks(path, info), info.sample_rate)
    if traits is None:
        return Inspection("not-finite", "has samples that are not numbers (NaN or infinite)", digest, info)
    if traits.peak_db < 20 * np.log10(audio.SILENCE):
        return Inspection("silent-file", f"peaks at {traits.peak_db:.0f} dBFS", digest, info)
    return Inspection(sha256=digest, info=info, traits=traits)


def _blocks(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    """The file's samples [T], channels averaged, in blocks of BLOCK_S (the last is shorter)."""
    import soundfile

    try:
        file = soundfile.SoundFile(file_name(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw, which may hold anything
        yield audio.load(path)  # what libsndfile does not read; `info` too has then seen it at SAMPLE_RATE
        return
    with file:
        # A whole number of level frames, so that the contour has no seam.
        size = round(BLOCK_S / FRAME_S) * max(1, round(FRAME_S * info.sample_rate))
        while len(block := file.read(size, dtype="float32", always_2d=True)):  # not `blocks`: it pads a cut mp3
            yield block.mean(axis=1)
