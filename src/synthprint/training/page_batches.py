"""Batches of whole page groups: clips that differ in their system and in nothing else.

Within a page group publisher, sentences and format are the same, so only the system tells its sources apart. Such a
batch holds P of them, and other sources beside, those first that several publishers put out. As the samplers of
`training.batches` it is a pure function of (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthprint.errors import RecipeError
from synthprint.training.batches import check_sources, require


@dataclass(frozen=True, eq=False)
class PageBatches:
    """Batches of N distinct sources with M utterances each, [N * M], among them those of P page groups.

    The page groups come in a random order, all of them before any comes again. Of each, sources are taken with
    utterances from it while there are any; what is left of the N is filled with other sources: those that were drawn
    least for what they have, and of these first the ones of several publishers. A source that was drawn
    `max_per_source` // M times in an epoch is drawn again only where fewer than N others are left.

    Args:
        labels: the source of each utterance.
        groups: [C] int, the page group of each utterance, -1 where it has none.
        publishers: [C] int, the publisher of each utterance, -1 where it has none.
        sources_per_batch: N, 2 or more.
        utterances_per_source: M, 1 or more.
        page_groups: P, from 1 to N // 2.
        sources_per_group: at most so many sources of each page group, 2 or more; 0 is as many as fit, N // P.
        across_publishers: take a source's utterances from as many publishers as there are, one of its group first.
        seed: 0 or more.
        max_per_source: at most about so many utterances of a source an epoch.

    Raises:
        RecipeError: no page group has two sources, there are fewer than N sources, or one has fewer than M utterances,
            or a number is out of range.
    """

    labels: Sequence[Any] | np.ndarray
    groups: np.ndarray
    publishers: np.ndarray
    sources_per_batch: int = 12
    utterances_per_source: int = 2
    page_groups: int = 2
    sources_per_group: int = 0
    across_publishers: bool = False
    seed: int = 0
    max_per_source: int = 500
    _utterances: tuple[np.ndarray, ...] = field(init=False, repr=False)
    _pages: tuple[tuple[int, np.ndarray], ...] = field(init=False, repr=False)  # group, its sources
    _crossing: np.ndarray = field(init=False, repr=False)
    _steps: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("sources_per_batch", 2), ("utterances_per_source", 1), ("page_groups", 1), ("seed", 0)):
            require(name, getattr(self, name), least)
        require("max_per_source", self.max_per_source, self.utterances_per_source)
        if 2 * self.page_groups > self.sources_per_batch:
            raise RecipeError(
                f"sampler: {self.page_groups} page_groups of two sources or more do not fit into sources_per_batch = "
                f"{self.sources_per_batch}: lower the one, or raise the other"
            )
        if self.sources_per_group and not 2 <= self.sources_per_group <= self._most_of_a_group:
            raise RecipeError(
                f"sampler: sources_per_group is {self.sources_per_group}; it must be 0 (as many as fit), or from 2 to "
                f"sources_per_batch / page_groups = {self._most_of_a_group}"
            )
        sources, owner, counts = np.unique(np.asarray(self.labels), return_inverse=True, return_counts=True)
        check_sources(sources.tolist(), counts, self.sources_per_batch, self.utterances_per_source)
        pages = [(int(g), np.unique(owner[self.groups == g])) for g in np.unique(self.groups[self.groups >= 0])]
        pages = [page for page in pages if len(page[1]) > 1]
        if not pages:
            raise RecipeError(
                "sampler: no page group has two sources: give the manifest the column group, or take the balanced "
                "sampler"
            )
        by_source = np.split(np.argsort(owner, kind="stable"), np.cumsum(counts)[:-1])
        usable = int(np.minimum(counts, self.max_per_source).sum())
        steps = max(1, usable // (self.sources_per_batch * self.utterances_per_source))
        object.__setattr__(self, "_utterances", tuple(by_source))
        object.__setattr__(self, "_pages", tuple(pages))
        object.__setattr__(self, "_crossing", np.array([len(self._named(clips)) > 1 for clips in by_source]))
        object.__setattr__(self, "_steps", steps)

    @property
    def _most_of_a_group(self) -> int:
        return self.sources_per_batch // self.page_groups

    def _named(self, clips: np.ndarray) -> np.ndarray:
        """The publishers of some utterances that are known by name."""
        publishers = np.unique(self.publishers[clips])
        return publishers[publishers >= 0]

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._steps

    def batches(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch, each [N * M] int64: source 0's M utterances, source 1's, …"""
        rng = np.random.default_rng([self.seed, epoch])
        drawn = np.zeros(len(self._utterances), np.int64)  # times in this epoch
        pages = self._in_turn(rng)
        return [self._batch([next(pages) for _ in range(self.page_groups)], drawn, rng) for _ in range(self._steps)]

    def _in_turn(self, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            yield from (self._pages[place] for place in rng.permutation(len(self._pages)))

    def _batch(self, pages: list[tuple[int, np.ndarray]], drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One batch of the given pages; `drawn` [S] is counted on."""
        group_of: dict[int, int] = {}  # source -> the page group that it is drawn for, -1 for none
        most_draws = self.max_per_source // self.utterances_per_source
        for group, sources in pages:
            free = [int(s) for s in rng.permutation(sources) if s not in group_of and drawn[s] < most_draws]
            group_of |= dict.fromkeys(free[: self.sources_per_group or self._most_of_a_group], group)
        others = np.setdiff1d(np.arange(len(drawn)), list(group_of))
        sizes = np.array([len(clips) for clips in self._utterances])[others]
        rounds = drawn[others] * self.utterances_per_source // sizes
        order = np.lexsort((rng.random(len(others)), ~self._crossing[others], rounds, drawn[others] >= most_draws))
        group_of |= dict.fromkeys(others[order[: self.sources_per_batch - len(group_of)]].tolist(), -1)
        drawn[list(group_of)] += 1
        return np.concatenate([self._drawn(source, group, rng) for source, group in group_of.items()])

    def _drawn(self, source: int, group: int, rng: np.random.Generator) -> np.ndarray:
        """M utterances [M] of a source: those of the page group first, with `across_publishers` in turn with others."""
        clips = rng.permutation(self._utterances[source])
        elsewhere = (self.groups[clips] != group) if group >= 0 else np.zeros(len(clips), bool)
        clips = clips[np.argsort(elsewhere, kind="stable")]
        if self.across_publishers:
            clips = clips[np.argsort(turns(self.publishers[clips]), kind="stable")]
        return clips[: self.utterances_per_source]


def turns(names: np.ndarray) -> np.ndarray:
    """How often each name [C] has stood before: sorted by it, no name comes again before all have come."""
    order = np.argsort(names, kind="stable")
    _, firsts, counts = np.unique(names[order], return_index=True, return_counts=True)
    before = np.empty(len(names), np.int64)
    before[order] = np.arange(len(names)) - np.repeat(firsts, counts)
    return before
