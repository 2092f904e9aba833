"""What each of some scored trials weighs, where trials, sources or publishers count alike."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

WEIGHTINGS = ("sources", "trials", "publishers")
CROSSED_SHARE = 0.5  # of the targets, of those whose two clips two publishers put out, where publishers count alike
Sides: TypeAlias = tuple[np.ndarray, np.ndarray]  # [K] what stands on the first side of each trial, and on the second


class Weights(NamedTuple):
    """`each` [K], adding up to 1 over the targets and over the nontargets; and what one more of a kind would weigh.

    `further` is the share of one trial, or where sources or publishers count alike that of one of them (target) and of
    one pair of them (nontarget).
    """

    each: np.ndarray
    further: tuple[float, float]


def even_weights(target: np.ndarray) -> Weights:
    """All trials of a kind alike; `target` is [K] bool."""
    further = 1 / int(target.sum()), 1 / int((~target).sum())
    return Weights(np.where(target, *further), further)


def share_weights(target: np.ndarray, shares: np.ndarray, owners: Sides) -> Weights:
    """Each trial its share [K] among its kind; one more is that of a source, or of a pair of sources."""
    weights = np.zeros(len(target))
    for kind in (target, ~target):
        weights[kind] = shares[kind] / shares[kind].sum()
    pairs = _pairs(owners)
    return Weights(weights, (1 / len(np.unique(pairs[target])), 1 / len(np.unique(pairs[~target]))))


def unit_weights(target: np.ndarray, crossed: np.ndarray, units: Sides, owners: Sides) -> Weights:
    """All units of a kind alike, and within a unit all its sources.

    A side weighs 1 / (K_u N_uk): u is its unit, with K_u sources in trials of the kind, and N_uk the number of sides of
    its source k there. A trial weighs what its sides do. Where units are sources, K_u is 1.

    Args:
        target: [K] bool.
        crossed: [K] bool; where some targets are and some are not, the two weigh CROSSED_SHARE and the rest.
        units, owners: the unit and the source of each side, as whole numbers.
    """
    shares = [(target & crossed, CROSSED_SHARE), (target & ~crossed, 1 - CROSSED_SHARE), (~target, 1.0)]
    mixed = shares[0][0].any() and shares[1][0].any()
    weights = np.zeros(len(target))
    for part, share in shares:
        if part.any():
            each = _side_weights(*((first[part], second[part]) for first, second in (units, owners)))
            weights[part] = each / each.sum() * (share if mixed and share < 1 else 1.0)
    first, second = units
    pairs = _pairs(units)
    targets = np.unique(np.concatenate([first[target], second[target]]))
    return Weights(weights, (1 / len(targets), 1 / len(np.unique(pairs[~target]))))


def _pairs(sides: Sides) -> np.ndarray:
    """[K] a number for what stands on the two sides, whichever is first."""
    first, second = sides
    return np.minimum(first, second) * (int(np.concatenate(sides).max(initial=0)) + 1) + np.maximum(first, second)


def _side_weights(units: Sides, owners: Sides) -> np.ndarray:
    """[K] the sum over both sides of 1 / (sources of its unit · sides of its source in that)."""
    unit, owner = np.concatenate(units), np.concatenate(owners)
    _, cell, sides = np.unique(unit * (owner.max() + 1) + owner, return_inverse=True, return_counts=True)
    unit_of_cell = np.empty(len(sides), np.int64)
    unit_of_cell[cell] = unit
    each = 1 / (np.bincount(unit_of_cell)[unit] * sides[cell])
    return np.asarray(each[: len(units[0])] + each[len(units[0]) :])
