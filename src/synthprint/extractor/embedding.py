"""Extractor + waves -> `Embeddings`; a whole manifest is for `manifest_embedding`.

An utterance is covered by windows of the training length, evenly spaced, the last one ending where the clip
ends; a shorter clip is repeated. Each window's embedding is L2-normalised, and the utterance's embedding is
their L2-normalised mean. Windows without any sound are left out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.runtime import Extractor, HeadExtractor
from synthprint.extractor.windows import AudibleWindows, audible_windows, recut
from synthprint.progress import progress
from synthprint.sound.waves import AnyWave
from synthprint.types import Embeddings, Windows
from synthprint.vectors.directions import averaged

CHUNK_WINDOWS = 256  # windows that are gathered from several utterances and embedded together
NOT_FINITE = "gives an embedding that is not finite"
LONG_WINDOWS = 600  # half an hour of 3 s windows

Wave = AnyWave | AudioError  # [T] at 16 kHz, or the error met on the way to it


def embed_wave(extractor: Extractor, wave: AnyWave, path: str | Path = "clip") -> tuple[np.ndarray, Windows]:
    """The embedding [D] of one wave [T] at 16 kHz, and those of its windows.

    Raises:
        AudioError: it is silent.
    """
    embedded = embed_beside(extractor, wave, None, path)
    return embedded.vector, Windows(embedded.windows, np.zeros(len(embedded.windows), np.int64), embedded.starts_s)


@dataclass(frozen=True, eq=False)
class Embedded:
    """An utterance, embedded.

    Attributes:
        vector: [D] its embedding.
        windows: [W, D] the embeddings of its windows.
        starts_s: [W] where these start, in seconds.
        beside: its embedding by the extractor beside the first, where there is one.
    """

    vector: np.ndarray
    windows: np.ndarray
    starts_s: np.ndarray
    beside: np.ndarray | None = None


def embed_beside(extractor: Extractor, wave: AnyWave, beside: Extractor | None, path: str | Path = "clip") -> Embedded:
    """Embed one wave [T] at 16 kHz, with a further extractor beside the first where there is one.

    Raises:
        AudioError: it is silent; `path` stands for it.
    """
    ((_, embedded),) = embed_each(extractor, [(str(path), wave)], beside=beside)
    if isinstance(embedded, AudioError):
        raise embedded
    return embedded


def embed_each(
    extractor: Extractor,
    waves: Iterable[tuple[str, Wave]],
    clips_per_batch: int | None = None,
    beside: Extractor | None = None,
) -> Iterator[tuple[str, Embedded | AudioError]]:
    """Embed a stream of clips, in order.

    Args:
        waves: of each clip its id and its wave [T] at 16 kHz, or the error met on the way to that.
        clips_per_batch: how many are gathered before they are embedded; fewer are, where they have many windows.
        beside: a further extractor of the same clips, such as a detector. Of a head on the features of `extractor`
            these are computed once for both.
    """
    for batch in _batches(waves, extractor.window_samples, clips_per_batch):
        audible = [windows for _, windows in batch if isinstance(windows, AudibleWindows)]
        flat, seconds = _embedded_beside(extractor, beside, audible)
        further = iter(seconds)
        position = 0
        for key, windows in batch:
            if isinstance(windows, AudioError):
                yield key, windows
                continue
            vectors = flat[position : position + len(windows)]
            position += len(vectors)
            second = next(further)
            if np.isfinite(vectors).all() and (second is None or np.isfinite(second).all()):
                yield key, Embedded(averaged(vectors), vectors, windows.starts_s, second)
            else:
                yield key, AudioError(key, NOT_FINITE)


def embed(
    extractor: Extractor, waves: Iterable[tuple[str, Wave]], keep_windows: bool = False
) -> tuple[Embeddings | None, dict[str, str]]:
    """Embed a stream as `embed_each` does, and gather what it gives.

    Args:
        waves: as for `embed_each`.
        keep_windows: whether the embedding of each window is in the result too.

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


def _embedded_beside(
    extractor: Extractor, beside: Extractor | None, clips: Sequence[AudibleWindows]
) -> tuple[np.ndarray, Sequence[np.ndarray | None]]:
    """The embeddings of all windows [W, D], and that of each clip by a second extractor.

    This one takes the same windows where its own are as long, and where it is a head the features that they gave.
    """
    if not clips:
        return np.zeros((0, extractor.dim), np.float32), []
    if isinstance(beside, HeadExtractor) and beside.base is extractor:
        flat, second = _in_parts(beside.embed_beside, clips)
        return flat, _averages(second, clips)
    (flat,) = _in_parts(lambda windows: (extractor.embed_windows(windows),), clips)
    if beside is None:
        return flat, [None] * len(clips)
    own = [recut(windows, beside.window_samples) for windows in clips]
    (second,) = _in_parts(lambda windows: (beside.embed_windows(windows),), own)
    return flat, _averages(second, own)


def _in_parts(
    embed_windows: Callable[[list[np.ndarray]], tuple[np.ndarray, ...]], clips: Sequence[AudibleWindows]
) -> list[np.ndarray]:
    """What is given for the windows of all clips, each [W, size]; a long clip's some at a time, with a display."""
    total = sum(map(len, clips))
    windows = (window for clip in clips for window in clip)
    if total < LONG_WINDOWS:
        return list(embed_windows(list(windows)))
    parts = []
    with progress("embedding a long clip", total) as shown:
        while some := list(islice(windows, CHUNK_WINDOWS)):
            parts.append(embed_windows(some))
            shown.advance(len(some))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _averages(vectors: np.ndarray, clips: Sequence[AudibleWindows]) -> list[np.ndarray]:
    """The embedding of each clip from those of all windows [W, D]."""
    return [averaged(part) for part in np.split(vectors, np.cumsum([len(windows) for windows in clips])[:-1])]


def _batches(
    waves: Iterable[tuple[str, Wave]], window: int, clips_per_batch: int | None
) -> Iterator[list[tuple[str, AudibleWindows | AudioError]]]:
    """The clips with their windows, several at a time, or why they have none."""
    batch: list[tuple[str, AudibleWindows | AudioError]] = []
    count = 0
    for key, wave in waves:
        try:
            windows = wave if isinstance(wave, AudioError) else audible_windows(wave, window, key)
        except AudioError as error:
            windows = error
        batch.append((key, windows))
        count += len(windows) if isinstance(windows, AudibleWindows) else 0
        if count >= CHUNK_WINDOWS or len(batch) == clips_per_batch:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _joined(windows: list[Windows]) -> Windows | None:
    if not windows:
        return None
    parts = ([getattr(w, name) for w in windows] for name in ("vectors", "owners", "starts_s"))
    return Windows(*(np.concatenate(part) for part in parts))


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
