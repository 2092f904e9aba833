"""The EER inside page groups: one publisher, the same sentences, one format; only the system differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from synthprint.validation.crossed_trials import LEVELS, SCORES_AT_ONCE, CrossedClips, TraitBins, eer_of, levels

SIDES = TARGET, NONTARGET = range(2)


class PageGroup(NamedTuple):
    """One page group.

    Attributes:
        group, trait: its number, and that of its publisher.
        eer: at each threshold P_miss is the mean over its sources that have target trials in it, P_fa that over
            those that have nontarget trials in it; None where there is no trial of a side.
        trials: [2] target and nontarget trials.
        sources: that are asked in it.
    """

    group: int
    trait: int
    eer: float | None
    trials: np.ndarray
    sources: int


def count_groups(clips: CrossedClips, bins: TraitBins | None = None) -> tuple[list[PageGroup], np.ndarray]:
    """All trials of an asked and an enrolled clip of one page group: each group for itself, and all together.

    Together they are sums of weights [2, LEVELS], in which every source weighs the same on each side; `bins` takes
    them up too.
    """
    groups = [(number, _totals(clips, number)) for number in np.unique(clips.related.groups[clips.asked]).tolist()]
    groups = [(number, totals) for number, totals in groups if number >= 0 and totals.any()]
    everywhere = np.sum([totals for _, totals in groups], axis=0)
    together, counted = np.zeros((2, LEVELS)), []
    for number, totals in groups:
        alone, part = np.zeros((2, 2, LEVELS))
        for side, owners, reached in _trials(clips, number):
            place = side * LEVELS + reached
            alone += np.bincount(place, 1 / totals[side, owners], 2 * LEVELS).reshape(2, LEVELS)
            part += np.bincount(place, 1 / everywhere[side, owners], 2 * LEVELS).reshape(2, LEVELS)
        trait = int(clips.traits[clips.asked[clips.related.groups[clips.asked] == number][0]])
        if bins is not None:
            bins.add_group(trait, part)
        together += part
        sources = int((totals > 0).any(axis=0).sum())
        counted.append(PageGroup(number, trait, eer_of(alone), totals.sum(axis=1), sources))
    return counted, together


def _totals(clips: CrossedClips, group: int) -> np.ndarray:
    """[2, sources] the trials of each source in a group."""
    totals = np.zeros((2, int(clips.related.sources.max()) + 1), np.int64)
    for side, owners, _ in _trials(clips, group, scored=False):
        np.add.at(totals, (side, owners), 1)
    return totals


def _trials(
    clips: CrossedClips, group: int, scored: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Side, source and level of the trials [K] in a page group, some at a time; without a level if not `scored`."""
    related = clips.related
    asked, enrolled = (side[related.groups[side] == group] for side in (clips.asked, clips.enrolled))
    step = max(1, SCORES_AT_ONCE // max(1, len(enrolled)))
    for start in range(0, len(asked), step):
        a, b = asked[start : start + step, None], enrolled[None, :]
        trial = (a != b) & ~related.undecided(a, b)
        side = np.where(related.same_source(a, b), TARGET, NONTARGET)[trial]
        owners = np.broadcast_to(related.sources[a], trial.shape)[trial]
        reached = levels(clips.vectors[a[:, 0]] @ clips.vectors[enrolled].T)[trial] if scored else owners
        yield side, owners, reached
