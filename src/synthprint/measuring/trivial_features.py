"""The source guessed from trivial features of the files, and from embeddings, by one and the same classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from synthprint.linting.inspection import inspect_all
from synthprint.linting.shortcuts import FOLDS, guess, measure_shortcuts
from synthprint.types import Embeddings, Manifest, Utterance


def against_trivial_features(manifest: Manifest, clips: Sequence[Utterance], embeddings: Embeddings) -> dict[str, Any]:
    """Balanced accuracy of naming the source: from format, level, silence and bandwidth, and from embeddings.

    Args:
        manifest: where the audio of `clips` lies.
        clips: of two sources or more; those of a source with fewer than five clips are left out.
        embeddings: theirs.

    Returns:
        "trivial", see `linting.shortcuts.Shortcuts`, or None where no two sources have clips enough;
        "embeddings_same_classifier" in 0 ... 1, or None likewise; and the numbers of "clips" and "sources".
    """
    embedded = set(embeddings.ids)
    sizes = {source: sum(u.source == source for u in clips) for source in {u.source for u in clips}}
    clips = [u for u in clips if u.id in embedded and sizes[u.source] >= FOLDS]
    sources = [u.source for u in clips]
    trivial = measure_shortcuts(sources, inspect_all([manifest.audio_path(u) for u in clips], [True] * len(clips)))
    accuracy = None
    if len(set(sources)) > 1:
        _, labels = np.unique(sources, return_inverse=True)
        named = guess(embeddings.select([u.id for u in clips]).vectors, labels)
        accuracy = float(np.mean([float((named[labels == k] == k).mean()) for k in range(labels.max() + 1)]))
    return {
        "trivial": asdict(trivial) if trivial else None,
        "embeddings_same_classifier": accuracy,
        "clips": len(clips), "sources": len(set(sources)),
    }  # fmt: skip
