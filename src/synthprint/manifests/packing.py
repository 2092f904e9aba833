"""A manifest decoded once into one memory-mapped store, so that training never decodes twice.

    FOLDER/audio.i16      all samples, 16 kHz mono, int16, one recording after another
    FOLDER/index.jsonl    a line per decoded file: path, size, mtime_ns, sha256 of its samples, offset, length

Of a clip that lies elsewhere the path is its address, and mtime_ns a number that its store's stamp gives.

The store is addressed by content: recordings with the same samples share one place. It grows by appending,
samples first and then the line, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.addresses import is_remote, placed
from synthprint.errors import AudioError, ManifestError, OutputError
from synthprint.files import cache_folder, locked
from synthprint.progress import track
from synthprint.reading.doors import JsonReader
from synthprint.reading.schemas import Refused, Sha256, construct, table_schema
from synthprint.sound import audio
from synthprint.sound.waves import SILENT, AnyWave, blocks, is_silent
from synthprint.stores.stamps import stamps
from synthprint.types import Manifest

INT16_FULL_SCALE = 32767
SAMPLE_BYTES = 2
SAMPLES, INDEX = "audio.i16", "index.jsonl"


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    mtime_ns: int
    sha256: str
    offset: int
    length: int


_ENTRY: Any = table_schema(_Entry, path=str, sha256=Sha256, mtime_ns=int)


class Pack:
    """The audio of a manifest's utterances, in its order.

    Attributes:
        manifest: the utterances that could be decoded.
        folder: the store.
        failures: path -> reason, of those that could not, or are silent.
        lengths: [N] int64, samples of each utterance.
        hashes: N SHA-256 digests of the decoded samples.
        index: utterance id -> its place.
    """

    def __init__(
        self, manifest: Manifest, entries: list[_Entry], samples: np.ndarray, failures: dict[str, str], folder: Path
    ) -> None:
        self.manifest = manifest
        self.folder = folder
        self.failures = failures
        self.lengths = np.array([entry.length for entry in entries], dtype=np.int64)
        self.hashes = [entry.sha256 for entry in entries]
        self.index = {u.id: i for i, u in enumerate(manifest)}
        self._entries = entries
        self._offsets = np.array([entry.offset for entry in entries], dtype=np.int64)
        self._samples = samples

    def __len__(self) -> int:
        return len(self.lengths)

    def split(self, name: str) -> Pack:
        """The utterances of one split, over the same store.

        Raises:
            ManifestError: it has none.
        """
        part = self.manifest.split(name)
        places = [i for i, u in enumerate(self.manifest) if u.split == name]
        return Pack(part, [self._entries[i] for i in places], self._samples, self.failures, self.folder)

    def wave(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Samples of utterance `index` as float32 [T]; only the part asked for is read."""
        return self.stored(index, start, length).astype(np.float32) / INT16_FULL_SCALE

    def stored(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """As `wave`, but as it is stored: int16 [T], full scale at INT16_FULL_SCALE."""
        first = int(self._offsets[index]) + start
        stop = int(self._offsets[index] + self.lengths[index])
        if length is not None:
            stop = min(stop, first + length)
        return self._samples[first:stop]

    def crop_start(self, index: int, n_samples: int, rng: np.random.Generator) -> int:
        """Where a random crop of `n_samples` of utterance `index` starts; 0 where that is shorter."""
        spare = max(0, int(self.lengths[index]) - n_samples)
        return int(rng.integers(spare + 1))

    def crop(self, index: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """A random crop [n_samples] of utterance `index`; a shorter one is wrapped (see `audio.crop`)."""
        start = self.crop_start(index, n_samples, rng)
        return audio.wrap(self.wave(index, start, n_samples), n_samples)


def default_folder(manifest: Manifest) -> Path:
    """Where the pack of `manifest` is kept; see `files.cache_folder`."""
    return cache_folder() / "packs-2" / manifest.digest()[:16]


def pack(manifest: Manifest, folder: Path | None = None) -> Pack:
    """Decode what `folder` does not hold yet and open it.

    Args:
        manifest: the utterances.
        folder: the store; made where it does not exist. Default: `default_folder(manifest)`.

    Raises:
        ManifestError: no utterance could be decoded, or the folder cannot be written.
    """
    folder = folder or default_folder(manifest)
    places = [manifest.audio_path(u) for u in manifest]
    paths = [place if isinstance(place, str) else os.path.abspath(place) for place in places]
    with writable(folder, "the decoded audio"), locked(folder):
        entries = _read_index(folder, set(paths))
        reasons = _append(list(dict.fromkeys(path for path in paths if path not in entries)), folder, entries)
    failures = {u.path: reasons[path] for u, path in zip(manifest, paths, strict=True) if path in reasons}
    usable = tuple(u for u in manifest if u.path not in failures)
    if not usable:
        path, reason = next(iter(failures.items()))
        raise ManifestError(f"{manifest.name}: none of {len(manifest)} files could be decoded; {path}: {reason}")
    samples = np.memmap(folder / SAMPLES, np.int16, mode="r")
    in_order = [entries[path] for path in paths if path in entries]
    return Pack(replace(manifest, utterances=usable), in_order, samples, failures, folder)


@contextmanager
def writable(folder: Path, what: str) -> Iterator[None]:
    """An OSError in the block is that `what` cannot be stored in `folder`.

    Raises:
        ManifestError: there was one.
    """
    try:
        yield
    except (OSError, OutputError) as error:
        reason = error.reason if isinstance(error, OutputError) else error.strerror
        raise ManifestError(
            f"{folder}: {what} cannot be stored here ({reason}); "
            "make room, or name another folder for it, or for all of the cache (SYNTHPRINT_CACHE)",
            parameter="pack",
        ) from error


def _read_index(folder: Path, asked: Container[str]) -> dict[str, _Entry]:
    """The entries whose clips are unchanged, by path; cuts off what a kill left half written.

    No store is asked for a clip that is not `asked` for.
    """
    index, samples = folder / INDEX, folder / SAMPLES
    index.touch()
    samples.touch()
    data = index.read_bytes()
    os.truncate(index, data.rfind(b"\n") + 1)
    held = samples.stat().st_size // SAMPLE_BYTES
    entries: dict[str, _Entry] = {}
    end, reader = 0, JsonReader()
    for line in data.splitlines():
        with suppress(Refused):  # a damaged line: its file is decoded again
            entry = construct(_Entry, reader.checked(line, _ENTRY))
            if entry.offset + entry.length <= held:
                end = max(end, entry.offset + entry.length)
                entries[entry.path] = entry
    os.truncate(samples, end * SAMPLE_BYTES)
    held_paths = [path for path in entries if path in asked or not is_remote(path)]
    now = zip(held_paths, stamps([placed(path) for path in held_paths]), strict=True)
    return {path: entries[path] for path, at in now if at == (entries[path].size, entries[path].mtime_ns)}


def _append(paths: list[str], folder: Path, entries: dict[str, _Entry]) -> dict[str, str]:
    """Decode `paths` into the store; fills `entries`, returns path -> reason of the failures."""
    reasons: dict[str, str] = {}
    if not paths:
        return reasons
    by_content = {entry.sha256: entry for entry in entries.values()}
    # Files are stamped before they are read: one that is changed meanwhile is decoded again the next time.
    stamped_at = [at or (0, 0) for at in stamps([placed(path) for path in paths])]
    sounds = audio.decoded([placed(path) for path in paths])
    with open(folder / SAMPLES, "ab") as samples, open(folder / INDEX, "a", encoding="utf-8") as index:
        for path, stamped, sound in track(zip(paths, stamped_at, sounds, strict=True), "decoding", total=len(paths)):
            if isinstance(sound, AudioError) or is_silent(sound.wave):
                reasons[path] = sound.reason if isinstance(sound, AudioError) else SILENT
                continue
            digest = hashlib.sha256()
            for data in _stored(sound.wave):
                digest.update(data)
            twin = by_content.get(digest.hexdigest())
            if not twin:
                offset = samples.tell() // SAMPLE_BYTES
                for data in _stored(sound.wave):
                    samples.write(data)
                samples.flush()
            entry = _Entry(path, *stamped, digest.hexdigest(), twin.offset if twin else offset, len(sound.wave))
            index.write(json.dumps(asdict(entry)) + "\n")
            index.flush()
            entries[path] = by_content[entry.sha256] = entry
    return reasons


def _stored(wave: AnyWave) -> Iterator[bytes]:
    """A wave as it is stored, a block at a time."""
    for block in blocks(wave):
        yield np.round(block * INT16_FULL_SCALE).astype(np.int16).tobytes()
