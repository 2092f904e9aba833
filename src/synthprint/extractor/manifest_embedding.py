"""A whole manifest -> `Embeddings`: in parts, so that an interrupted job goes on, and with a cache of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint import files
from synthprint.addresses import Address
from synthprint.background import in_order, processors
from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.cache import EmbeddingCache
from synthprint.extractor.embedding import Wave, concatenate, embed
from synthprint.extractor.runtime import Extractor
from synthprint.progress import progress
from synthprint.reading import doors
from synthprint.reading.schemas import Refused
from synthprint.sound import audio
from synthprint.types import Embeddings, Manifest, Utterance

if TYPE_CHECKING:
    from synthprint.manifests.packing import Pack

PART_UTTERANCES = 5000  # an interrupted job goes on after its last whole part
CACHED_UTTERANCES = 250  # fresh embeddings are cached after so many
MOST_FAILURES_BYTES = 1 << 30  # of the list that an interrupted job leaves with a part
METHOD = "windows-mean-3"  # in the cache: raise it when other embeddings come of the same weights and audio


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
        keep_windows: whether the embedding of each window is in the result too.
        pack: the audio, where it is decoded already; else the files are decoded on the way.
        parts: a folder for finished parts, after the last of which an interrupted job goes on. Whoever calls
            removes it, once the result is safe.
        cache: a folder of this extractor's earlier embeddings (see `extractor.cache`), to which new ones are added.
            An interrupted job goes on from there, without `parts`. Windows are not cached.

    Returns:
        The embeddings, and id -> reason of each utterance that failed.

    Raises:
        EmbeddingsError: no utterance could be embedded.
    """
    earlier = None
    if cache and not keep_windows:
        earlier = EmbeddingCache(cache, f"{extractor.digest} {METHOD}", extractor.window_samples, extractor.dim)
    pieces: list[Embeddings] = []
    failures: dict[str, str] = {}
    step = PART_UTTERANCES if earlier is None else CACHED_UTTERANCES
    tag = f"{extractor.digest[:12]}-{manifest.digest()[:12]}-{'windows' if keep_windows else 'utterances'}"
    with progress("embedding", len(manifest)) as shown:
        for start in range(0, len(manifest), step):
            utterances = manifest.utterances[start : start + step]
            part = parts / f"{tag}-{start:08d}" if parts and earlier is None else None
            done = _load_part(part) if part else None
            if done is not None:
                shown.advance(len(utterances))
            elif earlier is not None:
                done = _embed_uncached(extractor, manifest, utterances, pack, earlier, shown.advance)
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


def _embed_uncached(
    extractor: Extractor,
    manifest: Manifest,
    utterances: Sequence[Utterance],
    pack: Pack | None,
    earlier: EmbeddingCache,
    advance: Callable[[int], None],
) -> tuple[Embeddings | None, dict[str, str]]:
    """As `embed`, without windows: takes from the cache what it has, embeds the rest, and adds that."""
    here = [u for u in utterances if pack is not None or isinstance(manifest.audio_path(u), Path)]
    stamps = _stamps(manifest, here)
    contents = _contents(manifest, here, pack)
    vectors = {key: vector for key, content in contents.items() if (vector := earlier.get(content)) is not None}
    advance(len(vectors))
    uncached = [u for u in utterances if u.id not in vectors]
    if pack is not None:
        waves = _counted(_waves(manifest, uncached, pack), lambda: advance(1))
    else:
        waves = _not_cached(manifest, uncached, earlier, contents, vectors, advance)
    fresh, failures = embed(extractor, waves)
    if fresh:
        vectors |= dict(zip(fresh.ids, fresh.vectors, strict=True))
        # A file that was changed meanwhile may not be what was hashed; what was fetched is.
        after = _stamps(manifest, [u for u in uncached if u.id in stamps])
        unchanged = [k for k in fresh.ids if k in contents and (pack or k not in stamps or after[k] == stamps[k])]
        earlier.add([contents[key] for key in unchanged], fresh.select(unchanged).vectors)
    ids = tuple(u.id for u in utterances if u.id in vectors)
    if not ids:
        return None, failures
    return Embeddings(ids, np.stack([vectors[key] for key in ids]), extractor.digest), failures


def _not_cached(
    manifest: Manifest,
    utterances: Sequence[Utterance],
    earlier: EmbeddingCache,
    contents: dict[str, bytes],
    vectors: dict[str, np.ndarray],
    advance: Callable[[int], None],
) -> Iterator[tuple[str, Wave]]:
    """The waves of utterances, but of what was fetched only now, and is in the cache; fills `contents`, `vectors`."""
    sounds = audio.decoded(manifest.audio_path(u) for u in utterances)
    for u, sound in zip(utterances, sounds, strict=True):
        advance(1)
        if not isinstance(sound, AudioError) and sound.sha256:
            contents[u.id] = bytes.fromhex(sound.sha256)
            if (vector := earlier.get(contents[u.id])) is not None:
                vectors[u.id] = vector
                continue
        yield u.id, sound if isinstance(sound, AudioError) else sound.wave


def _contents(manifest: Manifest, utterances: Sequence[Utterance], pack: Pack | None) -> dict[str, bytes]:
    """Utterance id -> SHA-256 of the file's bytes, or of its samples in the pack; without what cannot be read."""
    if pack is not None:
        return {u.id: bytes.fromhex(pack.hashes[pack.index[u.id]]) for u in utterances if u.id in pack.index}
    workers = processors()
    hashes = in_order(_hash_or_none, (manifest.audio_path(u) for u in utterances), workers, workers + 2)
    return {u.id: content for u, content in zip(utterances, hashes, strict=True) if content}


def _hash_or_none(path: Address) -> bytes | None:
    try:
        return bytes.fromhex(doors.sha256(path))
    except (OSError, ValueError):
        return None


def _stamps(manifest: Manifest, utterances: Sequence[Utterance]) -> dict[str, tuple[int, int] | None]:
    """Utterance id -> what changes when the file does."""
    return {u.id: files.stamp(Path(manifest.audio_path(u))) for u in utterances}


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
