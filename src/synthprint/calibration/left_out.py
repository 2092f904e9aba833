"""Clips against enrolled sources, with the clip itself, or its source, left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from synthprint.shelves import Backend, JointBackend, SourceScorer

Enrol: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray | None], SourceScorer]


def left_out_scores(
    vectors: np.ndarray, owners: np.ndarray, backend: Backend, publishers: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """[S, N] every clip against every source, twice: its own enrolled without the clip, and its own not enrolled.

    -inf where the own source has no other clip, and in the second matrix for every own source.
    """
    alone, together = _apart(backend)
    scores = alone(vectors, owners, publishers)(vectors).astype(np.float64)
    without = scores.copy()
    without[owners, np.arange(len(owners))] = -np.inf
    for source in range(int(owners.max()) + 1):
        members = np.flatnonzero(owners == source)
        for position, clip in enumerate(members):
            others = np.delete(members, position)
            scores[source, clip] = -np.inf
            if len(others):
                theirs = None if publishers is None else publishers[others]
                scorer = alone(vectors[others], np.zeros(len(others), np.int64), theirs)
                scores[source, clip] = scorer(vectors[[clip]])[0, 0]
    return together(scores), together(without)


def scores_without_own(
    vectors: np.ndarray,
    owners: np.ndarray,
    backend: Backend,
    test: np.ndarray,
    rows: np.ndarray,
    publishers: np.ndarray | None = None,
) -> np.ndarray:
    """[S, T] clips [T, D] against every source but their own, which scores -inf; `rows` [T] is its index, or -1."""
    alone, together = _apart(backend)
    scores = alone(vectors, owners, publishers)(test).astype(np.float64)
    enrolled = np.flatnonzero(rows >= 0)
    scores[rows[enrolled], enrolled] = -np.inf
    return together(scores)


def scores_left_out(
    vectors: np.ndarray, owners: np.ndarray, backend: Backend, test: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """[S, T] clips [T, D] against every source; where `left_out` [S, T] is true, it is not enrolled and scores -inf."""
    alone, together = _apart(backend)
    scores = alone(vectors, owners, None)(test).astype(np.float64)
    scores[left_out] = -np.inf
    return together(scores)


def _apart(backend: Backend) -> tuple[Enrol, Callable[[np.ndarray], np.ndarray]]:
    """What enrols so that each source is scored by itself, and what turns such scores into the backend's own."""
    return (backend.alone, backend.together) if isinstance(backend, JointBackend) else (backend.enrol, np.asarray)
