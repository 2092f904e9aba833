"""Identification of known systems from a new publisher: leave one publisher of a source out, and ask its clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthprint.validation.crossed_trials import CrossedClips
from synthprint.vectors.directions import unit


@dataclass(frozen=True, eq=False)
class Ranks:
    """The place of the right source for K asked clips.

    Attributes:
        clips: [K] which.
        publishers: [K] how many of the source's publishers are enrolled, the clip's own left out.
        ranks: [K] 1 is first. Its source is enrolled without the clip's publisher.
        with_own: [K] the same with the clip's publisher, and without the clip itself.
        rivals: [K] how many other sources it was compared with.
        enrolled: how many sources are enrolled.
    """

    clips: np.ndarray
    publishers: np.ndarray
    ranks: np.ndarray
    with_own: np.ndarray
    rivals: np.ndarray
    enrolled: int


def rank_new_publishers(clips: CrossedClips) -> Ranks:
    """Ask each clip whose source is also enrolled from other publishers; those of its own publisher are left out.

    A source is enrolled as the mean of the directions of its clips, as by the backend *centroid*. Every other source
    is enrolled with all of its clips, those of the asked clip's publisher too. A source of which any enrolled clip is
    undecided with the asked one takes no part. Equal scores count against the right source.
    """
    enrolled, related = clips.enrolled, clips.related
    sources, owners = np.unique(related.sources[enrolled], return_inverse=True)
    sums = np.zeros((len(sources), clips.vectors.shape[1]))
    np.add.at(sums, owners.ravel(), clips.vectors[enrolled])
    centroids = unit(sums)
    found: list[tuple[np.ndarray, ...]] = []
    for run in clips.runs():
        own = related.sources[enrolled] == run.source
        others = enrolled[own & (clips.traits[enrolled] != run.trait)]
        if not len(others):
            continue
        asked, place = run.asked, int(np.searchsorted(sources, run.source))
        undecided = np.bincount(owners.ravel()[related.undecided(asked[0], enrolled)], minlength=len(sources)) > 0
        rival = ~undecided
        rival[place] = False
        best = clips.vectors[asked] @ centroids[rival].T  # [A, rivals]
        without = clips.vectors[others].sum(axis=0, dtype=np.float64)
        again = np.isin(asked, enrolled)
        withal = sums[place] - np.where(again[:, None], clips.vectors[asked], 0)
        places = [
            1 + (best >= np.einsum("ad,ad->a", clips.vectors[asked], unit(towards))[:, None]).sum(axis=1)
            for towards in (np.broadcast_to(without, withal.shape), withal)
        ]
        counts = np.full(len(asked), len(np.unique(clips.traits[others])))
        found.append((asked, counts, *places, np.full(len(asked), int(rival.sum()))))
    columns = [np.concatenate(part) for part in zip(*found, strict=True)] if found else [np.zeros(0, int)] * 5
    asked_clips, publishers, ranks, with_own, rivals = columns
    return Ranks(asked_clips, publishers, ranks, with_own, rivals, len(sources))
