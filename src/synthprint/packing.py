"""A manifest decoded once into one memory-mapped store, so that training never decodes twice.

    FOLDER/audio.i16      all samples, 16 kHz mono, int16, one recording after another
    FOLDER/index.jsonl    a line per decoded file: path, size, mtime_ns, sha256 of its samples, offset, length

The store is addressed by content: recordings with the same samples share one place. It grows by appending,
samples first and then the line, so a build that was killed goes on where it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from synthprint import audio
from synthprint.errors import AudioError, ManifestError
from synthprint.progress import track
from synthprint.types import Manifest

INT16_FULL_SCALE = 32767
SAMPLE_BYTES = 2


@dataclass(frozen=True)
class _Entry:
    path: str
    size: int
    mtime_ns: int
    sha256: str
    offset: int
    length: int


class Pack:
    """The audio of a manifest's utterances, in its order.

    Attributes:
        manifest: the utterances that could be decoded.
        failures: path -> reason, of those that could not.
        lengths: [N] int64, samples of each utterance.
        hashes: N SHA-256 digests of the decoded samples.
    """

    def __init__(
        self, manifest: Manifest, entries: list[_Entry], samples: np.ndarray, failures: dict[str, str]
    ) -> None:
        self.manifest = manifest
        self.failures = failures
        self.lengths = np.array([entry.length for entry in entries], dtype=np.int64)
        self.hashes = [entry.sha256 for entry in entries]
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
        kept = [i for i, u in enumerate(self.manifest) if u.split == name]
        return Pack(part, [self._entries[i] for i in kept], self._samples, self.failures)

    def wave(self, index: int, start: int = 0, length: int | None = None) -> np.ndarray:
        """Samples of utterance `index` as float32 [T]; only the part asked for is read."""
        first = int(self._offsets[index]) + start
        stop = int(self._offsets[index] + self.lengths[index])
        if length is not None:
            stop = min(stop, first + length)
        return self._samples[first:stop].astype(np.float32) / INT16_FULL_SCALE

    def crop(self, index: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """A random crop [n_samples] of utterance `index`; a shorter one is wrapped (see `audio.crop`)."""
        spare = max(0, int(self.lengths[index]) - n_samples)
        return audio.wrap(self.wave(index, int(rng.integers(spare + 1)), n_samples), n_samples)


def default_folder(manifest: Manifest) -> Path:
    """Where the pack of `manifest` is kept: under $SYNTHPRINT_CACHE, or ~/.cache/synthprint."""
    cache = Path(os.environ.get("SYNTHPRINT_CACHE") or Path.home() / ".cache" / "synthprint")
    return cache / "packs" / manifest.digest()[:16]


def pack(manifest: Manifest, folder: Path | None = None) -> Pack:
    """Decode what `folder` does not hold yet and open it.

    Args:
        manifest: the utterances.
        folder: the store; made where it does not exist. Default: `default_folder(manifest)`.

    Raises:
        ManifestError: no utterance could be decoded.
    """
    folder = folder or default_folder(manifest)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        entries = _read_index(folder)
        failures = _append_missing(manifest, folder, entries)
    kept = manifest.filter(lambda u: u.path not in failures) if len(failures) < len(manifest) else None
    if kept is None:
        path, reason = next(iter(failures.items()))
        raise ManifestError(f"{manifest.name}: none of {len(manifest)} files could be decoded; {path}: {reason}")
    chosen = [entries[str(manifest.audio_path(u))] for u in kept]
    return Pack(kept, chosen, np.memmap(folder / "audio.i16", np.int16, mode="r"), failures)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may start on the same data
        yield


def _read_index(folder: Path) -> dict[str, _Entry]:
    """The entries whose files are unchanged, by path. A line that a kill cut short is cut off."""
    index, entries = folder / "index.jsonl", {}
    if not index.exists():
        return {}
    data = index.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(index, len(whole))
    held = (folder / "audio.i16").stat().st_size // SAMPLE_BYTES
    for line in whole.splitlines():
        entry = _Entry(**json.loads(line))
        if entry.offset + entry.length <= held and _stamp(Path(entry.path)) == (entry.size, entry.mtime_ns):
            entries[entry.path] = entry
    return entries


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _append_missing(manifest: Manifest, folder: Path, entries: dict[str, _Entry]) -> dict[str, str]:
    """Decode the missing files into the store; fills `entries`, returns path -> reason of the failures."""
    missing = [u for u in manifest if str(manifest.audio_path(u)) not in entries]
    by_content = {entry.sha256: entry for entry in entries.values()}
    failures: dict[str, str] = {}
    if not missing:
        return failures
    with open(folder / "audio.i16", "ab") as samples, open(folder / "index.jsonl", "a") as index:
        paths = [manifest.audio_path(u) for u in missing]
        decoded = _in_order(paths)
        for utterance, path, result in track(zip(missing, paths, decoded, strict=True), "decoding", total=len(missing)):
            if isinstance(result, AudioError):
                failures[utterance.path] = result.reason
                continue
            digest = hashlib.sha256(result.tobytes()).hexdigest()
            twin = by_content.get(digest)
            offset = twin.offset if twin else samples.tell() // SAMPLE_BYTES
            if not twin:
                samples.write(result.tobytes())
                samples.flush()
            size, mtime_ns = _stamp(path) or (0, 0)
            entry = _Entry(str(path), size, mtime_ns, digest, offset, len(result))
            index.write(json.dumps(asdict(entry)) + "\n")
            index.flush()
            entries[str(path)] = by_content[digest] = entry
    return failures


def _in_order(paths: list[Path]) -> Iterator[np.ndarray | AudioError]:
    """Decode in parallel, a bounded number ahead, and yield in order."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead = [pool.submit(_decode, path) for path in paths[: 4 * workers]]
        for position in range(len(paths)):
            upcoming = position + len(ahead)
            result = ahead.pop(0).result()
            if upcoming < len(paths):
                ahead.append(pool.submit(_decode, paths[upcoming]))
            yield result


def _decode(path: Path) -> np.ndarray | AudioError:
    try:
        wave = audio.load(path)
    except AudioError as error:
        return error
    return np.round(np.clip(wave, -1.0, 1.0) * INT16_FULL_SCALE).astype(np.int16)
