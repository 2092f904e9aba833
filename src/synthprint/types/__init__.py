"""The nouns: what passes from room to room. Frozen, checked once, each with `save` and `load`.

Utterance ─► Manifest ─► Embeddings ─► Trials ─► Scores
"""

from __future__ import annotations

from synthprint.types.embeddings import EMBEDDINGS_FORMAT, Embeddings, Windows
from synthprint.types.manifest import COLUMNS, SPLITS, Manifest, Utterance
from synthprint.types.trials import Scores, Trials

__all__ = [
    "COLUMNS",
    "EMBEDDINGS_FORMAT",
    "SPLITS",
    "Embeddings",
    "Manifest",
    "Scores",
    "Trials",
    "Utterance",
    "Windows",
]
