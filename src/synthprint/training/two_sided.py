"""Batches in which human and synthetic speech weigh alike, page by page: what a detector is trained on.

A page gives its own format, room and microphone to all its clips. Where a batch holds as many human as synthetic clips
of each page, none of that tells them apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from synthprint.errors import RecipeError
from synthprint.types import Utterance


@dataclass(frozen=True, eq=False)
class TwoSidedBatches:
    """Batches of P publishers with S human and S synthetic clips each, [2 P S], a publisher's side by side.

    A pure function of (seed, epoch). An epoch passes through the publishers, shuffled, so often that its batches hold
    as many clips as there are. A synthetic clip is drawn source by source: every source of a publisher is as likely.
    Clips are repeated where a side has fewer than S. A side that a publisher lacks comes from one that has it, drawn
    by chance, so that no clip goes unused and the sides stay even.

    Args:
        utterances: what is trained on; those without a publisher count as one publisher's.
        publishers_per_batch: P, 1 or more; fewer where there are fewer.
        clips_per_side: S, 1 or more.
        seed: 0 or more.

    Raises:
        RecipeError: there is no human or no synthetic clip.
    """

    utterances: Sequence[Utterance]
    publishers_per_batch: int = 16
    clips_per_side: int = 2
    seed: int = 0
    _sides: tuple[tuple[_Side, _Side], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("publishers_per_batch", "clips_per_side"):
            if getattr(self, name) < 1:
                raise RecipeError(f"sampler: {name} is {getattr(self, name)}; it must be 1 or more")
        by_publisher: dict[str, list[int]] = defaultdict(list)
        for place, utterance in enumerate(self.utterances):
            by_publisher[utterance.publisher or ""].append(place)
        sides = tuple(
            (self._side(places, human=True), self._side(places, human=False)) for places in by_publisher.values()
        )
        for number, what in enumerate(("human", "synthetic")):
            if not any(side[number] for side in sides):
                raise RecipeError(f"sampler: there is no {what} clip to train on; a detector needs both kinds")
        object.__setattr__(self, "_sides", sides)

    def _side(self, places: list[int], human: bool) -> _Side:
        by_source: dict[str, list[int]] = defaultdict(list)
        for place in places:
            if self.utterances[place].human == human:
                by_source[self.utterances[place].source].append(place)
        return tuple(np.array(clips) for clips in by_source.values())

    @property
    def _publishers(self) -> int:
        return min(self.publishers_per_batch, len(self._sides))

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(1, len(self.utterances) // (2 * self._publishers * self.clips_per_side))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch, each [2 P S] int64: publisher 0's human clips and its synthetic ones, …"""
        rng = np.random.default_rng([self.seed, epoch])
        needed = len(self) * self._publishers
        passes = -(-needed // len(self._sides))
        order = np.concatenate([rng.permutation(len(self._sides)) for _ in range(passes)])[:needed]
        return [
            np.concatenate([self._drawn(int(publisher), number, rng) for publisher in part for number in (0, 1)])
            for part in order.reshape(len(self), self._publishers)
        ]

    def _drawn(self, publisher: int, number: int, rng: np.random.Generator) -> np.ndarray:
        """S clips [S] of one side of a publisher, or of another that has this side."""
        side = self._sides[publisher][number]
        if not side:
            others = [sides[number] for sides in self._sides if sides[number]]
            side = others[int(rng.integers(len(others)))]
        drawn = rng.permutation(len(side))[np.arange(self.clips_per_side) % len(side)]
        clips: list[np.ndarray] = []
        for source in np.unique(drawn).tolist():
            wanted = int((drawn == source).sum())
            clips.append(rng.permutation(side[source])[np.arange(wanted) % len(side[source])])
        return np.concatenate(clips)


_Side = tuple[np.ndarray, ...]  # of a publisher: the clips of each of its sources, as indices
