"""The EER over all pairs of held-out clips, as they are and each sent through a channel of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from synthprint.errors import AudioError, EmbeddingsError
from synthprint.extractor.embedding import embed
from synthprint.extractor.runtime import Extractor
from synthprint.manifests.corpora import Selection
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.sound import audio
from synthprint.sound.augmentation import CHANNEL
from synthprint.types import Embeddings, Manifest

SEED = 7


def through_channels(extractor: Extractor, manifest: Manifest) -> Embeddings:
    """Embeddings of the clips, each sent through a channel of its own; clips that cannot be read are left out.

    Raises:
        EmbeddingsError: no clip can be embedded.
    """

    def waves() -> Iterator[tuple[str, np.ndarray | AudioError]]:
        decoded = audio.decoded([manifest.audio_path(u) for u in manifest])
        for place, (u, sound) in enumerate(zip(manifest, decoded, strict=True)):
            if isinstance(sound, AudioError):
                yield u.id, sound
            else:
                yield u.id, CHANNEL(np.asarray(sound.wave[:]), np.random.default_rng([SEED, place]))

    embeddings, failures = embed(extractor, waves())
    if embeddings is None:
        raise EmbeddingsError(f"{manifest.name}: no clip can be embedded; the first: {next(iter(failures.values()))}")
    return embeddings


def equal_errors(
    embeddings: Embeddings, manifest: Manifest, split: str, subsets: Mapping[str, Selection]
) -> dict[str, Any]:
    """The EER over all pairs of one split, for each subset that has two sources or more.

    Returns:
        Name -> "eer" in 0 ... 1, and the numbers of "clips", "sources", "targets" and "nontargets".
    """
    utterances = {u.id: u for u in manifest}
    figures = {}
    for name, belongs in subsets.items():
        ids = [key for key in embeddings.ids if utterances[key].split == split and belongs(utterances[key])]
        sources = [utterances[key].source for key in ids]
        if 1 < len(set(sources)) < len(sources):
            scored = all_pairs_eer(embeddings.select(ids), sources)
            figures[name] = {
                "eer": scored.eer, "clips": len(ids), "sources": len(set(sources)),
                "targets": scored.targets, "nontargets": scored.nontargets,
            }  # fmt: skip
    return figures
