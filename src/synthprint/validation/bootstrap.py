"""Confidence intervals by drawing sources, not trials, with replacement.

Trials of one source are alike, and there may be millions of them: what is uncertain is which sources were there. Each
replicate draws as many sources as there are, with replacement; a source drawn m times weighs m. A trial of source j
alone weighs m_j, a trial of two sources m_j m_k (the subset bootstrap of Bolle, Ratha and Pankanti, "Error analysis of
pattern recognition systems", 2004, with sources as subsets, taken on both sides).

Maps and thresholds are not fitted anew: an interval says how the figures of *this* system vary with the sources.

To be affordable on millions of trials, scores are first put into some 700 bins for each kind and trials of the same
sources in the same bin are added up. Bins only serve the intervals; the figures themselves are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

CONFIDENCE = 0.95
REPLICATES = 500
LEAST_SOURCES = 3  # below, an interval would say nothing
MIDDLE, TAIL = 400, 150  # bins between evenly spread quantiles of each kind, and in each of their tails


@dataclass(frozen=True)
class Figure:
    """A value and its interval, None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Binned:
    """Trials added up: E entries of one kind, one bin and the same sources.

    Attributes:
        bins: [E] rising with the score.
        first, second: [E] sources.
        kind: [E] small whole numbers; in verification 1 is target and 0 nontarget.
        weights: [E] sums of weights.
        costs: [E] sums of weight times cost in bits, or zeros.
        n_bins, n_kinds, n_sources: sizes.
    """

    bins: np.ndarray
    first: np.ndarray
    second: np.ndarray
    kind: np.ndarray
    weights: np.ndarray
    costs: np.ndarray
    n_bins: int
    n_kinds: int
    n_sources: int

    def counts(self, times: np.ndarray) -> np.ndarray:
        """[kinds, bins] sums of weights, where source j was drawn times[j] times."""
        return np.bincount(self._place, self.weights * self._times(times), self.n_kinds * self.n_bins).reshape(
            self.n_kinds, self.n_bins
        )

    def cost(self, times: np.ndarray) -> float:
        """Mean over kinds of the mean cost."""
        drawn = self._times(times)
        sums = [np.bincount(self.kind, values * drawn, self.n_kinds) for values in (self.costs, self.weights)]
        return float((sums[0] / sums[1]).mean())

    @cached_property
    def _place(self) -> np.ndarray:
        return self.kind * self.n_bins + self.bins

    def _times(self, times: np.ndarray) -> np.ndarray:
        return np.where(self.first == self.second, times[self.first], times[self.first] * times[self.second])


def binned(
    scores: np.ndarray,
    kind: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    n_sources: int,
    weights: np.ndarray | None = None,
    costs: np.ndarray | None = None,
) -> Binned:
    """Add up trials [K]; see `Binned`. Distinct scores keep a bin each where there are few."""
    weights = np.ones(len(scores)) if weights is None else weights
    edges = bin_edges(scores, kind)
    bins = np.searchsorted(edges, scores, "right") - 1
    n_kinds = int(kind.max()) + 1
    low, high = np.minimum(first, second), np.maximum(first, second)
    key = ((low * n_sources + high) * len(edges) + bins) * n_kinds + kind
    entries, index = np.unique(key, return_inverse=True)
    rest, kinds = np.divmod(entries, n_kinds)
    units, places = np.divmod(rest, len(edges))
    sides = np.divmod(units, n_sources)
    totals = np.bincount(index, weights, len(entries))
    total_costs = np.zeros(len(entries)) if costs is None else np.bincount(index, weights * costs, len(entries))
    return Binned(places, sides[0], sides[1], kinds, totals, total_costs, len(edges), n_kinds, n_sources)


def bin_edges(scores: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Where bins start: quantiles of each kind, close together in its tails, where detection costs are decided."""
    tail = np.geomspace(1e-7, 1 / MIDDLE, TAIL)
    levels = np.concatenate([[0], tail, np.arange(1, MIDDLE) / MIDDLE, 1 - tail, [1]])
    edges = [np.quantile(scores[kind == one], levels, method="lower") for one in np.unique(kind)]
    return np.unique(np.concatenate(edges))


def draws(n_sources: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each source was drawn, [n_sources], for each replicate."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, n_sources, n_sources), minlength=n_sources)


def stratified_draws(strata: Sequence[np.ndarray], size: int, replicates: int, seed: int) -> np.ndarray:
    """How often each of `size` units was drawn, [replicates, size]; from each of `strata`, as many as it has."""
    times = np.zeros((replicates, size), np.float32)
    for number, units in enumerate(strata):
        for replicate, drawn in enumerate(draws(len(units), replicates, seed + number) if len(units) else ()):
            times[replicate, units] = drawn
    return times


def intervals(
    figures: Callable[[np.ndarray], Mapping[str, float] | None],
    values: Mapping[str, float | None],
    sources: np.ndarray,
    n_sources: int,
    replicates: int,
    seed: int,
) -> dict[str, Figure]:
    """Percentile intervals of figures.

    Args:
        figures: the figures where source j was drawn times[j] times; None where they are not defined.
        values: the figures themselves. A value without an interval stays without.
        sources: indices of those that take part; below `LEAST_SOURCES` there is no interval.
        n_sources: length of `times`.
        replicates: how many; 0 for no intervals.
        seed: of the draws.
    """
    found: dict[str, list[float]] = {name: [] for name in values}
    if len(sources) >= LEAST_SOURCES:
        for drawn in draws(len(sources), replicates, seed):
            times = np.zeros(n_sources)
            times[sources] = drawn
            for name, value in (figures(times) or {}).items():
                found[name].append(value)
    return {name: percentiles(value, np.array(found[name]), replicates) for name, value in values.items()}


def percentiles(value: float | None, replicated: np.ndarray, replicates: int) -> Figure:
    """A figure with the percentiles of what its replicates gave, those in which it was defined.

    Where it was undefined in more than half of them an interval would mislead, and there is none.
    """
    if value is None or not len(replicated) or 2 * len(replicated) < replicates:
        return Figure(value)
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    return Figure(value, *map(float, np.quantile(replicated, tails)))
