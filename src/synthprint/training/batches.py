"""Which utterances make a batch: at random, or as many of each of a few sources.

Both samplers are pure functions of (seed, epoch): a run that is resumed at any step goes on exactly as if it
had never stopped. `batches(epoch)` gives all of an epoch's batches as arrays of indices into `labels`;
`len()` is their number, the same every epoch. No batch holds a single utterance, on which batch
normalisation fails.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthprint.errors import RecipeError


@dataclass(frozen=True, eq=False)
class RandomBatches:
    """A plain shuffle, cut into batches: every utterance at most once an epoch.

    Args:
        labels: the source of each utterance.
        batch_size: utterances a batch, 2 or more. Fewer utterances than that are one batch.
        seed: 0 or more.
        drop_last: leave out the utterances that do not fill a batch, others every epoch. Otherwise they are a
            last, short batch, or where there is one only it joins the batch before.

    Raises:
        RecipeError: there are fewer than 2 utterances, or `batch_size` or `seed` is out of range.
    """

    labels: Sequence[Any] | np.ndarray
    batch_size: int = 128
    seed: int = 0
    drop_last: bool = True

    def __post_init__(self) -> None:
        require("batch_size", self.batch_size, 2)
        require("seed", self.seed, 0)
        if len(self.labels) < 2:
            raise RecipeError(f"sampler: {len(self.labels)} utterance(s) to train on; a batch needs 2 or more")

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(len(self.labels), self.batch_size)
        return max(1, full + (rest > 1 and not self.drop_last))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch, each [B] int64."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labels))
        cuts = self.batch_size * np.arange(1, len(self))
        if self.drop_last:
            order = order[: self.batch_size * len(self)]
        return np.split(order, cuts)


@dataclass(frozen=True, eq=False)
class BalancedBatches:
    """Batches of N distinct sources with M utterances each, [N * M], a source's utterances side by side.

    An epoch cuts each source's utterances, shuffled, into groups of M and deals the groups out, so that an
    utterance occurs at most once. The sources of a batch are drawn in proportion to the groups they have
    left, and the epoch has as many batches as distinct sources allow.

    Args:
        labels: the source of each utterance.
        sources_per_batch: N, 2 or more.
        utterances_per_source: M, 1 or more.
        seed: 0 or more.
        max_per_source: at most so many utterances of a source an epoch, others every epoch.
        publishers: [C] the publisher of each utterance, as numbers; given, the M utterances of a source come from as
            many publishers as it has in this epoch.

    Raises:
        RecipeError: there are fewer than N sources, or one has fewer than M utterances, or a number is out of
            range.
    """

    labels: Sequence[Any] | np.ndarray
    sources_per_batch: int = 12
    utterances_per_source: int = 1
    seed: int = 0
    max_per_source: int = 500
    publishers: np.ndarray | None = None
    _utterances: tuple[np.ndarray, ...] = field(init=False, repr=False)
    _groups: np.ndarray = field(init=False, repr=False)
    _steps: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require("sources_per_batch", self.sources_per_batch, 2)
        require("utterances_per_source", self.utterances_per_source, 1)
        require("seed", self.seed, 0)
        require("max_per_source", self.max_per_source, self.utterances_per_source)
        sources, owner, counts = np.unique(np.asarray(self.labels), return_inverse=True, return_counts=True)
        check_sources(sources.tolist(), counts, self.sources_per_batch, self.utterances_per_source)
        by_source = np.split(np.argsort(owner, kind="stable"), np.cumsum(counts)[:-1])
        groups = np.minimum(counts, self.max_per_source) // self.utterances_per_source
        object.__setattr__(self, "_utterances", tuple(by_source))
        object.__setattr__(self, "_groups", groups)
        object.__setattr__(self, "_steps", _most_batches(groups, self.sources_per_batch))

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._steps

    def batches(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch, each [N * M] int64: source 0's M utterances, source 1's, …"""
        rng = np.random.default_rng([self.seed, epoch])
        m = self.utterances_per_source
        groups = [
            self._grouped(rng.permutation(utterances)[: count * m], rng)
            for utterances, count in zip(self._utterances, self._groups, strict=True)
        ]
        left = self._groups.copy()
        batches = []
        for batches_left in range(self._steps, 0, -1):
            chosen = self._draw(left, batches_left, rng)
            left[chosen] -= 1
            batches.append(np.concatenate([groups[source][left[source]] for source in chosen]))
        return batches

    def _grouped(self, utterances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A source's utterances [G * M], shuffled, as groups [G, M]."""
        m = self.utterances_per_source
        if self.publishers is None:
            return utterances.reshape(-1, m)
        # Sorted and dealt out like cards: a publisher comes twice to a group only where it has more clips than there
        # are groups. Then the groups are shuffled, for they are taken from the end.
        _, publishers = np.unique(self.publishers[utterances], return_inverse=True)
        order = rng.permutation(len(utterances))[publishers]  # of the publishers, another one every epoch
        by_publisher = utterances[np.argsort(order, kind="stable")]
        return rng.permutation(by_publisher.reshape(m, -1).T)

    def _draw(self, left: np.ndarray, batches_left: int, rng: np.random.Generator) -> np.ndarray:
        """The N sources of the next batch, drawn by groups left [C], such that `batches_left` can be filled.

        A source with as many groups as there are batches, or more, is pressing: it wastes a group in every
        batch that goes without it, and the groups to spare say how many may be wasted now.
        """
        n = self.sources_per_batch
        spare = int(np.minimum(left, batches_left).sum()) - n * batches_left
        # The n smallest of exponential times with rates `left` are a weighted draw without replacement.
        times = np.full(len(left), np.inf)
        np.divide(rng.standard_exponential(len(left)), left, out=times, where=left > 0)
        order = np.argsort(times, kind="stable")
        pressing = order[left[order] >= batches_left]
        must = pressing[: min(n, max(0, len(pressing) - spare))]
        return np.concatenate([must, order[~np.isin(order, must)]])[:n]


def _most_batches(groups: np.ndarray, distinct: int) -> int:
    """The most batches of `distinct` different sources that sources with so many `groups` [C] can fill.

    K batches can be filled exactly when the groups, at most K of each source, are K * distinct or more.
    """
    bound = int(groups.sum()) // distinct
    return bisect_left(range(1, bound + 1), True, key=lambda k: bool(np.minimum(groups, k).sum() < k * distinct))


def check_sources(sources: list[Any], counts: np.ndarray, sources_per_batch: int, utterances_per_source: int) -> None:
    """Refuse sources, with `counts` utterances each, that cannot fill a batch.

    Raises:
        RecipeError: there are too few of them, or one has too few utterances.
    """
    n, m = sources_per_batch, utterances_per_source
    if len(sources) < n:
        raise RecipeError(
            f"sampler: sources_per_batch is {n} and the data has {len(sources)} source(s): "
            "lower it, or give more sources"
        )
    few = np.flatnonzero(counts < m)
    if len(few):
        others = f" (and {len(few) - 1} more sources have too few)" if len(few) > 1 else ""
        raise RecipeError(
            f"sampler: source {sources[few[0]]!r} has {counts[few[0]]} utterance(s) and utterances_per_source "
            f"is {m}{others}: give it more, drop it, or lower utterances_per_source"
        )


def require(name: str, value: int, least: int) -> None:
    """Refuse a number below the least.

    Raises:
        RecipeError: it is.
    """
    if value < least:
        raise RecipeError(f"sampler: {name} is {value}; it must be {least} or more")
