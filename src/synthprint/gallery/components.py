"""What the enrolled sources that resemble a clip have in common: its vocoder, its acoustic model, its family.

Sources share components: a vocoder serves many systems. Where the source of a clip is not enrolled, or cannot be told
from another, a component of it may still be told from the sources that have it. Which backend scored, and in which
room the clip is answered, does not matter here: scores of S sources come in, those of C component values come out.
They are read as scores of sources are: the best value, unless it lies below a threshold or another is within a margin
(`synthprint.gallery.rules` sets both from development trials, with values in the place of sources).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthprint.errors import GalleryError

__all__ = ["ComponentAnswer", "answer", "component_scores"]


@dataclass(frozen=True)
class ComponentAnswer:
    """What is said of one component of one clip.

    Attributes:
        value: the component; None where that is not known.
        ranked: every value with its score, best first; None stands for the sources whose component is not on record.
    """

    value: str | None
    ranked: tuple[tuple[str | None, float], ...]


def component_scores(scores: np.ndarray, values: Sequence[str | None]) -> tuple[tuple[str | None, ...], np.ndarray]:
    """The score of each component value: that of its best source.

    Args:
        scores: [S, T] of S enrolled sources; higher is closer.
        values: the component of each source [S]; None where it is not on record.

    Returns:
        C values, sorted, None last where it occurs, and their scores [C, T].

    Raises:
        GalleryError: there are not as many values as sources, or none.
    """
    if not values or len(values) != len(scores):
        raise GalleryError(f"{len(scores)} sources need as many component values, and at least one, not {len(values)}")
    names, order, starts = _grouped(tuple(values))
    return names, np.maximum.reduceat(scores[order], starts, axis=0)


@lru_cache(64)  # of a gallery they stay the same for all clips
def _grouped(values: tuple[str | None, ...]) -> tuple[tuple[str | None, ...], np.ndarray, np.ndarray]:
    """The values that occur, the sources [S] ordered by them, and where in that order each value begins [C]."""
    names = tuple(sorted({value for value in values if value is not None})) + (None,) * (None in values)
    place = {name: i for i, name in enumerate(names)}
    rows = np.array([place[value] for value in values])
    order = np.argsort(rows, kind="stable")
    return names, order, np.searchsorted(rows[order], np.arange(len(names)))


def answer(
    scores: np.ndarray, values: Sequence[str | None], threshold: float = -np.inf, margin: float = 0.0
) -> ComponentAnswer:
    """The component of one clip, from the scores [S] of the enrolled sources and the component of each.

    It is not known where the best value lies below `threshold`, where another value is less than `margin` behind, or
    where sources whose component is not on record are the closest.

    Raises:
        GalleryError: there are not as many values as sources, or none.
    """
    names, found = component_scores(scores[:, None], values)
    order = np.argsort(-found[:, 0], kind="stable")
    ranked = tuple(zip([names[i] for i in order.tolist()], found[order, 0].tolist(), strict=True))
    value, best = ranked[0]
    sure = best >= threshold and (len(ranked) == 1 or best - ranked[1][1] >= margin)
    return ComponentAnswer(value if sure else None, ranked)
