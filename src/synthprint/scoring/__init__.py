"""Embeddings in, scores and EERs out: of all pairs, or of lists of trials; exact, in bounded memory."""

from __future__ import annotations

from synthprint.scoring.all_pairs import all_pairs_eer as all_pairs_eer
from synthprint.scoring.all_pairs import evaluate_all_pairs as evaluate_all_pairs
from synthprint.scoring.all_pairs import score_trials as score_trials
