"""Answered clips in a search: of very many, those most similar to a clip are found without reading all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.answers.reading import Answers, embeddings_in
from synthprint.tracing.traced_clips import TracedClips


def hold_answered(traced: TracedClips, folders: Sequence[Answers]) -> int:
    """Bring traced clips up to date with folders of answers: afterwards they are the clips of these folders.

    A clip is known by its address. A shard is a segment, by its digest: one that is held is not read again, one that
    no folder has any more, as after `watch` joined some, is dropped. Clips without an embedding are left out.

    Args:
        folders: of answers that one extractor made.

    Returns:
        How many clips were added.

    Raises:
        AnswersError: a shard is missing or damaged.
        SearchError: the collection is out of reach, or holds embeddings of another size.
    """
    shards = {shard.sha256: (answers, shard.name) for answers in folders for shard in answers.shards.values()}
    added = 0
    for segment in traced.missing(shards):
        ids, vectors = _embeddings(*shards[segment])
        if ids:
            traced.add(segment, ids, vectors)
            added += len(ids)
    if traced.drop_others(shards) or added:
        traced.prepare()
    return added


def _embeddings(answers: Answers, name: str) -> tuple[list[str], np.ndarray]:
    """The addresses of a shard's clips, and their embeddings [N, D]."""
    ids: list[str] = []
    blocks = [np.empty((0, answers.origin.dim), np.float32)]
    for batch in answers.shard_batches(name, ["address", "embedding"]):
        ids += batch.filter(batch.column("embedding").is_valid()).column("address").to_pylist()
        blocks.append(embeddings_in(batch))
    return ids, np.concatenate(blocks)
