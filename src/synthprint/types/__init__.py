"""The nouns: what passes from room to room. Frozen, checked once, each with `save` and `load`.

Utterance ─► Manifest ─► Embeddings ─► Labelled ─► Trials ─► ScoredTrials, IdentificationTrials
"""

from __future__ import annotations

from synthprint.types.embeddings import EMBEDDINGS_FORMAT, Embeddings, Windows
from synthprint.types.labelled import Labelled
from synthprint.types.manifest import COLUMNS, HELD_OUT_SPLITS, HUMAN, SPLITS, Manifest, Utterance
from synthprint.types.provenance import Provenance
from synthprint.types.scored import IdentificationTrials, ScoredTrials, TrialCount
from synthprint.types.trials import Trials

__all__ = [
    "COLUMNS",
    "EMBEDDINGS_FORMAT",
    "HELD_OUT_SPLITS",
    "HUMAN",
    "SPLITS",
    "Embeddings",
    "IdentificationTrials",
    "Labelled",
    "Manifest",
    "Provenance",
    "ScoredTrials",
    "TrialCount",
    "Trials",
    "Utterance",
    "Windows",
]
