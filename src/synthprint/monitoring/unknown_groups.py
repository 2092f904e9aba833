"""Unknown clips grouped as they come, in bounded memory: a group that grows may be a new system in the wild.

A clip joins the group to whose clips its mean cosine is greatest, where that is at least the model's threshold, by
which `synthprint.casework.clusters` joins groups too; else it starts a group (leader clustering, Hartigan 1975). The
mean cosine to all clips of a group is one product, with the mean of their directions: a group is a sum, not its clips.
At the end groups are joined by average linkage, down to the same threshold: that mends much of what the order of the
clips did. Of more than MOST_GROUPS the smallest, and of these the oldest, are forgotten, which the result says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from synthprint.vectors.directions import unit

MOST_GROUPS = 2048  # while clips come
PIECE = 512  # clips that are compared with the groups at once
LEAST_CLIPS = 5  # of a group that is reported
EXAMPLES, RELATIVES = 5, 3
MOST_RELATIVES = 64  # sources that a group counts
Nearest = Sequence[tuple[str, float]]  # of a clip: the sources of the nearest enrolled clips, and their cosines


@dataclass(frozen=True)
class Relative:
    """An enrolled source whose clips are among the nearest of a group's.

    Attributes:
        source: its name.
        share: of the group's clips, those that have it among their nearest.
        cosine: mean of the greatest cosine to it, of these clips.
    """

    source: str
    share: float
    cosine: float


@dataclass(frozen=True)
class UnknownGroup:
    """Unknown clips that one system may have made.

    Attributes:
        number: from 1, the largest group first.
        clips: how many.
        by_window: window -> how many of them.
        mean_cosine: between its clips.
        relatives: the enrolled sources that are most often among the nearest.
        examples: addresses of the first few.
        before: how many of them are of the reference.
        grows: whether its growth is an alarm.
    """

    number: int
    clips: int
    by_window: dict[str, int]
    mean_cosine: float
    relatives: tuple[Relative, ...]
    examples: tuple[str, ...]
    before: int = 0
    grows: bool = False

    @property
    def is_new(self) -> bool:
        """Whether none is of the reference."""
        return not self.before

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f"unknown group {self.number}"

    def within(self, windows: Collection[str]) -> int:
        """How many of its clips are of these windows."""
        return sum(self.by_window.get(window, 0) for window in windows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "is_new": self.is_new}


@dataclass
class _Gathered:
    """What is known of the clips of a group, beside their sum."""

    by_window: Counter[str] = field(default_factory=Counter)
    relatives: dict[str, tuple[int, float]] = field(default_factory=dict)  # source -> clips, sum of cosines
    examples: list[str] = field(default_factory=list)
    latest: int = 0

    def meet(self, source: str, cosine: float, clips: int = 1) -> None:
        count, total = self.relatives.get(source, (0, 0.0))
        self.relatives[source] = (count + clips, total + cosine)
        if len(self.relatives) > MOST_RELATIVES:
            self.relatives = dict(sorted(self.relatives.items(), key=lambda item: -item[1][0])[: MOST_RELATIVES // 2])

    def take(self, other: _Gathered) -> None:
        self.by_window += other.by_window
        self.examples = (self.examples + other.examples)[:EXAMPLES]
        for source, (count, total) in other.relatives.items():
            self.meet(source, total, count)


class UnknownGroups:
    """Groups of unknown clips, to which clips are added.

    Args:
        threshold: least mean cosine of a clip, or a group, with the group that it joins.

    Attributes:
        forgotten: clips of groups that were given up to keep within MOST_GROUPS.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold, self.forgotten = threshold, 0
        self._room = np.zeros((0, 0))  # of the sums: a row for each group, and for those to come
        self._sizes = np.zeros(0, np.int64)
        self._gathered: list[_Gathered] = []
        self._seen = 0

    def add(
        self,
        vectors: np.ndarray,
        window: str,
        addresses: Sequence[str],
        nearest: Sequence[Nearest],
    ) -> None:
        """Add clips of one window.

        Args:
            vectors: their embeddings [n, D].
            window: its name.
            addresses: [n].
            nearest: [n].
        """
        directions = unit(vectors, np.float64)
        if not self._room.size:
            self._room = np.zeros((MOST_GROUPS + PIECE, directions.shape[1]))
        for start in range(0, len(directions), PIECE):
            part = slice(start, start + PIECE)
            self._add(directions[part], window, addresses[part], nearest[part])
            if len(self._sizes) > MOST_GROUPS:
                self._join()
                self._forget()

    def _add(self, directions: np.ndarray, window: str, addresses: Sequence[str], nearest: Sequence[Nearest]) -> None:
        before = len(self._sizes)
        homes, likeness = self._closest(directions)
        for place, direction in enumerate(directions):
            group, cosine = int(homes[place]), float(likeness[place])
            if cosine < self.threshold and len(self._sizes) > before:  # else one that was started meanwhile
                among = self._sums[before:] @ direction / self._sizes[before:]
                group, cosine = before + int(among.argmax()), float(among.max())
            if cosine < self.threshold:
                group = self._start(direction)
            else:
                self._sums[group] += direction
                self._sizes[group] += 1
            self._note(group, window, addresses[place], nearest[place])

    def _closest(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[n] the group whose clips are most similar to each, and the mean cosine with them; -inf without groups."""
        if not len(self._sizes):
            return np.zeros(len(directions), np.int64), np.full(len(directions), -np.inf)
        cosines = directions @ (self._sums / self._sizes[:, None]).T
        return cosines.argmax(axis=1), cosines.max(axis=1)

    @property
    def _sums(self) -> np.ndarray:
        """[groups, D] of the directions of each group's clips."""
        return self._room[: len(self._sizes)]

    def _start(self, direction: np.ndarray) -> int:
        self._room[len(self._sizes)] = direction
        self._sizes = np.append(self._sizes, 1)
        self._gathered.append(_Gathered())
        return len(self._sizes) - 1

    def _note(self, group: int, window: str, address: str, nearest: Nearest) -> None:
        gathered = self._gathered[group]
        self._seen += 1
        gathered.latest = self._seen
        gathered.by_window[window] += 1
        if len(gathered.examples) < EXAMPLES:
            gathered.examples.append(address)
        best: dict[str, float] = {}
        for source, cosine in nearest:
            best[source] = max(cosine, best.get(source, -1.0))
        for source, cosine in best.items():
            gathered.meet(source, cosine)

    def _join(self) -> None:
        """Join groups by average linkage, the most similar two first, down to the threshold."""
        means = self._sums @ self._sums.T / np.outer(self._sizes, self._sizes)
        np.fill_diagonal(means, -np.inf)
        alive = np.ones(len(self._sizes), bool)
        while means.size and (best := int(means.argmax())) >= 0:
            here, there = sorted(divmod(best, len(means)))
            if means[here, there] < self.threshold:
                break
            self._sums[here] += self._sums[there]
            self._sizes[here] += self._sizes[there]
            self._gathered[here].take(self._gathered[there])
            self._gathered[here].latest = max(self._gathered[here].latest, self._gathered[there].latest)
            alive[there] = False
            row = self._sums @ self._sums[here] / (self._sizes * self._sizes[here])
            row[~alive], row[here] = -np.inf, -np.inf
            means[here], means[:, here] = row, row
            means[there], means[:, there] = -np.inf, -np.inf
        self._keep(np.flatnonzero(alive))

    def _forget(self) -> None:
        """Give up the smallest groups, and of these the oldest, where there are more than half of MOST_GROUPS."""
        most = MOST_GROUPS // 2
        latest = np.array([gathered.latest for gathered in self._gathered])
        order = np.lexsort((-latest, -self._sizes))
        self.forgotten += int(self._sizes[order[most:]].sum())
        self._keep(np.sort(order[:most]))

    def _keep(self, places: np.ndarray) -> None:
        self._room[: len(places)] = self._sums[places]
        self._sizes = self._sizes[places]
        self._gathered = [self._gathered[place] for place in places.tolist()]

    def groups(self) -> list[UnknownGroup]:
        """Those of LEAST_CLIPS and more, the largest first."""
        self._join()
        order = np.argsort(-self._sizes, kind="stable").tolist()
        large = [place for place in order if self._sizes[place] >= LEAST_CLIPS]
        return [self._group(place, number) for number, place in enumerate(large, 1)]

    def _group(self, place: int, number: int) -> UnknownGroup:
        size, gathered = int(self._sizes[place]), self._gathered[place]
        met = sorted(gathered.relatives.items(), key=lambda item: (-item[1][0], -item[1][1] / item[1][0]))
        relatives = tuple(Relative(name, count / size, total / count) for name, (count, total) in met[:RELATIVES])
        length = float(self._sums[place] @ self._sums[place])  # the sum of all cosines, of clips with themselves too
        cosine = (length - size) / (size * (size - 1))
        windows = dict(sorted(gathered.by_window.items()))
        return UnknownGroup(number, size, windows, cosine, relatives, tuple(gathered.examples))
