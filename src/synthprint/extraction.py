"""Checkpoint + audio -> `Embeddings`.

An utterance is covered by windows of the training length, evenly spaced, the last one ending where the clip
ends; a shorter clip is repeated. Each window's embedding is L2-normalised, and the utterance's embedding is
their L2-normalised mean. Windows without any sound are left out of the mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint import audio, doors, files
from synthprint.audio import SAMPLE_RATE
from synthprint.background import in_order
from synthprint.embedding_cache import EmbeddingCache
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractors import Extractor
from synthprint.progress import progress
from synthprint.schemas import Refused
from synthprint.sound.waves import AnyWave
from synthprint.types import Embeddings, Manifest, Utterance, Windows
from synthprint.vectors import unit

if TYPE_CHECKING:
    from synthprint.packing import Pack

CHUNK_WINDOWS = 256  # windows that are gathered from several utterances and embedded together
NOT_FINITE = "gives an embedding that is not finite"
LONG_WINDOWS = 600  # half an hour of 3 s windows
PART_UTTERANCES = 5000  # an interrupted job goes on after its last whole part
CACHED_UTTERANCES = 250  # what is made is cached after so many
MOST_FAILURES_BYTES = 1 << 30  # of the list that an interrupted job leaves with a part
METHOD = "windows-mean-3"  # in the cache: raise it when other embeddings come of the same weights and audio

Wave = AnyWave | AudioError  # [T] at 16 kHz, or the error met on the way to it


@dataclass(frozen=True, eq=False)
class Covered:
    """The windows [window] of a wave [T] that hold any sound: where they start, in samples."""

    wave: AnyWave
    window: int
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def starts_s(self) -> np.ndarray:
        """[W] in seconds."""
        return self.starts / SAMPLE_RATE

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in self.starts.tolist():
            yield np.ascontiguousarray(audio.wrap(self.wave[start : start + self.window], self.window))


def cover(wave: AnyWave, window: int, path: str | Path) -> Covered:
    """The windows [window] of `wave` [T] that hold any sound.

    Raises:
        AudioError: none does; `path` names the clip.
    """
    if audio.is_silent(wave):
        raise AudioError(path, audio.SILENT)
    starts = audio.window_starts(len(wave), window)
    heard = [not audio.is_silent(wave[start : start + window]) for start in starts.tolist()]
    return Covered(wave, window, starts[heard])


def embed_wave(extractor: Extractor, wave: AnyWave, path: str | Path = "clip") -> tuple[np.ndarray, Windows]:
    """The embedding [D] of one wave [T] at 16 kHz, and those of its windows.

    Raises:
        AudioError: it is silent.
    """
    covered = cover(wave, extractor.window_samples, path)
    vectors = _embedded(extractor, [covered])
    if not np.isfinite(vectors).all():
        raise AudioError(path, NOT_FINITE)
    return pooled(vectors), Windows(vectors, np.zeros(len(vectors), np.int64), covered.starts_s)


def pooled(vectors: np.ndarray) -> np.ndarray:
    """Embeddings of windows [W, D] -> the L2-normalised mean [D]."""
    mean: np.ndarray = unit(vectors.mean(axis=0, dtype=np.float64)[None])[0]
    return mean


@dataclass(frozen=True, eq=False)
class Embedded:
    """An utterance's embedding [D], and those of its windows [W, D] that start at `starts_s` [W]."""

    vector: np.ndarray
    windows: np.ndarray
    starts_s: np.ndarray


def embed_each(
    extractor: Extractor, waves: Iterable[tuple[str, Wave]], most_clips: int | None = None
) -> Iterator[tuple[str, Embedded | AudioError]]:
    """Embed a stream of (id, wave [T] at 16 kHz, or the error met on the way to it), in order.

    Args:
        most_clips: that are gathered before they are embedded; fewer are, where they have many windows.
    """
    for chunk in _chunks(waves, extractor.window_samples, most_clips):
        flat = _embedded(extractor, [covered for _, covered in chunk if isinstance(covered, Covered)])
        position = 0
        for key, covered in chunk:
            if isinstance(covered, AudioError):
                yield key, covered
                continue
            own = flat[position : position + len(covered)]
            position += len(own)
            finite = bool(np.isfinite(own).all())
            yield key, Embedded(pooled(own), own, covered.starts_s) if finite else AudioError(key, NOT_FINITE)


def embed(
    extractor: Extractor, waves: Iterable[tuple[str, Wave]], keep_windows: bool = False
) -> tuple[Embeddings | None, dict[str, str]]:
    """Embed a stream as `embed_each` does.

    Returns:
        The embeddings in the order of the stream (None if there is none), and id -> reason of each failure.
    """
    ids: list[str] = []
    vectors: list[np.ndarray] = []
    windows: list[Windows] = []
    failures: dict[str, str] = {}
    for key, embedded in embed_each(extractor, waves):
        if isinstance(embedded, AudioError):
            failures[key] = embedded.reason
            continue
        if keep_windows:
            owners = np.full(len(embedded.windows), len(ids))
            windows.append(Windows(embedded.windows, owners, embedded.starts_s))
        ids.append(key)
        vectors.append(embedded.vector)
    if not ids:
        return None, failures
    return Embeddings(tuple(ids), np.stack(vectors), extractor.digest, _joined(windows)), failures


def _embedded(extractor: Extractor, waves: Sequence[Covered]) -> np.ndarray:
    """The windows of waves -> [W, D], so many at a time; of a long clip showing how far it is."""
    total = sum(map(len, waves))
    if not total:
        return np.zeros((0, extractor.dim), np.float32)
    windows = (window for covered in waves for window in covered)
    if total < LONG_WINDOWS:
        return extractor.embed_windows(list(windows))
    parts = []
    with progress("embedding a long clip", total) as shown:
        while some := list(islice(windows, CHUNK_WINDOWS)):
            parts.append(extractor.embed_windows(some))
            shown.advance(len(some))
    return np.concatenate(parts)


def _chunks(
    waves: Iterable[tuple[str, Wave]], window: int, most_clips: int | None
) -> Iterator[list[tuple[str, Covered | AudioError]]]:
    """The utterances with their windows, several at a time, or why they have none."""
    chunk: list[tuple[str, Covered | AudioError]] = []
    count = 0
    for key, wave in waves:
        try:
            covered: Covered | AudioError = wave if isinstance(wave, AudioError) else cover(wave, window, key)
        except AudioError as error:
            covered = error
        chunk.append((key, covered))
        count += len(covered) if isinstance(covered, Covered) else 0
        if count >= CHUNK_WINDOWS or len(chunk) == most_clips:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _joined(windows: list[Windows]) -> Windows | None:
    if not windows:
        return None
    parts = ([getattr(w, name) for w in windows] for name in ("vectors", "owners", "starts_s"))
    return Windows(*(np.concatenate(part) for part in parts))


def embed_manifest(
    extractor: Extractor,
    manifest: Manifest,
    keep_windows: bool = False,
    pack: Pack | None = None,
    parts: Path | None = None,
    cache: Path | None = None,
) -> tuple[Embeddings, dict[str, str]]:
    """Embed every utterance of a manifest.

    Args:
        pack: where the audio is decoded already; else the files are decoded on the way.
        parts: a folder for finished parts; a job that was interrupted goes on after the last of them. Whoever
            calls removes it, once the result is safe.
        cache: a folder of embeddings that this extractor made before (see `embedding_cache`), where those made now
            are kept too; a job that was interrupted goes on from there, without `parts`. Windows are not cached.

    Returns:
        The embeddings, and id -> reason of each utterance that failed.

    Raises:
        EmbeddingsError: no utterance could be embedded.
    """
    known = None
    if cache and not keep_windows:
        known = EmbeddingCache(cache, f"{extractor.digest} {METHOD}", extractor.window_samples, extractor.dim)
    pieces: list[Embeddings] = []
    failures: dict[str, str] = {}
    step = PART_UTTERANCES if known is None else CACHED_UTTERANCES
    tag = f"{extractor.digest[:12]}-{manifest.digest()[:12]}-{'windows' if keep_windows else 'utterances'}"
    with progress("embedding", len(manifest)) as shown:
        for start in range(0, len(manifest), step):
            utterances = manifest.utterances[start : start + step]
            part = parts / f"{tag}-{start:08d}" if parts and known is None else None
            done = _load_part(part) if part else None
            if done is not None:
                shown.advance(len(utterances))
            elif known is not None:
                done = _embed_unknown(extractor, manifest, utterances, pack, known, shown.advance)
            else:
                done = embed(extractor, _counted(_waves(manifest, utterances, pack), shown.advance), keep_windows)
                if part:
                    _save_part(part, *done)
            pieces += [done[0]] if done[0] else []
            failures |= done[1]
    if not pieces:
        for file in parts.glob(f"{tag}-*") if parts else ():  # the job has ended: the next one starts afresh
            file.unlink()
        key, reason = next(iter(failures.items()))
        raise EmbeddingsError(f"{manifest.name}: none of {len(manifest)} clips could be embedded; {key}: {reason}")
    return concatenate(pieces), failures


def _embed_unknown(
    extractor: Extractor,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    pack: Pack | None,
    known: EmbeddingCache,
    advance: Callable[[int], None],
) -> tuple[Embeddings | None, dict[str, str]]:
    """As `embed`, without windows: takes what is known from the cache, and adds what is not."""
    stamps = _stamps(manifest, utterances)
    contents = _contents(manifest, utterances, pack)
    vectors = {key: vector for key, content in contents.items() if (vector := known.get(content)) is not None}
    advance(len(vectors))
    unknown = [u for u in utterances if u.id not in vectors]
    made, failures = embed(extractor, _counted(_waves(manifest, unknown, pack), lambda: advance(1)))
    if made:
        vectors |= dict(zip(made.ids, made.vectors, strict=True))
        after = _stamps(manifest, unknown)  # a file that was changed meanwhile may not be what was hashed
        kept = [key for key in made.ids if key in contents and (pack is not None or after[key] == stamps[key])]
        known.add([contents[key] for key in kept], made.select(kept).vectors)
    ids = tuple(u.id for u in utterances if u.id in vectors)
    if not ids:
        return None, failures
    return Embeddings(ids, np.stack([vectors[key] for key in ids]), extractor.digest), failures


def _contents(manifest: Manifest, utterances: Sequence[Utterance], pack: Pack | None) -> dict[str, bytes]:
    """Utterance id -> SHA-256 of the file's bytes, or of its samples in the pack; without what cannot be read."""
    if pack is not None:
        return {u.id: bytes.fromhex(pack.hashes[pack.index[u.id]]) for u in utterances if u.id in pack.index}
    workers = os.cpu_count() or 1
    hashes = in_order(_hash_or_none, [manifest.audio_path(u) for u in utterances], workers, workers + 2)
    return {u.id: content for u, content in zip(utterances, hashes, strict=True) if content}


def _hash_or_none(path: Path) -> bytes | None:
    try:
        return bytes.fromhex(doors.sha256(path))
    except (OSError, ValueError):
        return None


def _stamps(manifest: Manifest, utterances: Sequence[Utterance]) -> dict[str, tuple[int, int] | None]:
    """Utterance id -> what changes when the file does."""
    return {u.id: files.stamp(manifest.audio_path(u)) for u in utterances}


def _save_part(part: Path, embeddings: Embeddings | None, failures: dict[str, str]) -> None:
    if embeddings:
        embeddings.save(part.with_suffix(".safetensors"))
    files.write_json(part.with_suffix(".json"), failures)  # the last: with it the part is whole


def _load_part(part: Path) -> tuple[Embeddings | None, dict[str, str]] | None:
    if not part.with_suffix(".json").exists():
        return None
    saved = part.with_suffix(".safetensors")
    try:
        failures = doors.read_json(part.with_suffix(".json"), dict[str, str], MOST_FAILURES_BYTES)
        return Embeddings.load(saved) if saved.exists() else None, failures
    except (OSError, Refused, EmbeddingsError):  # damaged: the part is made again
        return None


def _waves(manifest: Manifest, utterances: Sequence[Utterance], pack: Pack | None) -> Iterator[tuple[str, Wave]]:
    if pack is not None:
        return ((u.id, _packed(pack, u)) for u in utterances)
    sounds = audio.decoded([manifest.audio_path(u) for u in utterances])
    waves = (sound if isinstance(sound, AudioError) else sound.wave for sound in sounds)
    return zip((u.id for u in utterances), waves, strict=True)


def _packed(pack: Pack, utterance: Utterance) -> Wave:
    if utterance.id in pack.index:
        return pack.wave(pack.index[utterance.id])
    return AudioError(utterance.path, pack.failures.get(utterance.path, "is not in the pack; pack the manifest again"))


def _counted(items: Iterable[tuple[str, Wave]], count: Callable[[], None]) -> Iterator[tuple[str, Wave]]:
    for item in items:
        yield item
        count()


def concatenate(pieces: Sequence[Embeddings]) -> Embeddings:
    """Embeddings one after another.

    Raises:
        EmbeddingsError: they come from different extractors, or an id occurs twice.
    """
    if len({piece.extractor for piece in pieces}) > 1:
        raise EmbeddingsError("embeddings of different extractors cannot be put together")
    ids = tuple(key for piece in pieces for key in piece.ids)
    windows, before = [], 0
    for piece in pieces:
        if piece.windows is not None:
            windows.append(replace(piece.windows, owners=piece.windows.owners + before))
        before += len(piece)
    return Embeddings(ids, np.concatenate([p.vectors for p in pieces]), pieces[0].extractor, _joined(windows))
