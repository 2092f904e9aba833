"""The search for changes of source among the windows of a clip.

*How.* Short windows stand `hop_s` apart; each is repeated until it fills the extractor's length. For a time t, the mean
embedding of the windows wholly before t is compared with that of the windows wholly after it, over every length of
context up to `context_s`. Their squared distance is divided by what clips of one source give at these lengths:
`lasting` (what differs from sentence to sentence) + `passing` x (1 / left + 1 / right, in seconds). The largest ratio
is the *strength* of a change at t. The strongest time is taken where its strength passes the threshold, and both sides
of it are searched anew (binary segmentation over all lengths of context, after Fryzlewicz, "Wild binary segmentation
for multiple change-point detection", Annals of Statistics, 2014).

Both constants and the threshold are measured on development clips for one extractor; see docs/timeline.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from synthprint.model.tunings import TimelineTuning

TIES = 1 - 1e-9


@dataclass(frozen=True)
class ChangePoint:
    """A time at which the source changes, and how much stronger the change is than what one source gives."""

    time_s: float
    strength: float


@dataclass(frozen=True, eq=False)
class Sliding:
    """W windows on a grid: embeddings [W, D], zero where there is no speech, and [W] bool, whether there is any."""

    vectors: np.ndarray
    heard: np.ndarray


def change_points(sliding: Sliding, tuning: TimelineTuning) -> tuple[ChangePoint, ...]:
    """Where the source changes, in order of time."""
    return tuple(sorted(_search(sliding, tuning), key=lambda change: change.time_s))


def _search(sliding: Sliding, tuning: TimelineTuning) -> Iterator[ChangePoint]:
    """The strongest change among all windows, and then those on both sides of it.

    The strength at a time depends on the windows within the context alone. So on both sides only the times near the
    change are looked at anew: the work grows with the length, however many changes there are.
    """
    context = Context(sliding, tuning)
    whole = context.strengths(0, len(sliding.heard))
    todo = [(0, len(sliding.heard))]
    while todo:
        first, last = todo.pop()
        strength = context.strengths(first, last, whole)
        if not len(strength) or strength.max() <= tuning.threshold:
            continue
        best = int(strength.argmax())
        alike = best  # in a pause all times are alike: the change is put into its middle
        while alike + 1 < len(strength) and strength[alike + 1] >= strength[best] * TIES:
            alike += 1
        reach = grid_windows(tuning)
        at = first + reach + (best + alike) / 2
        yield ChangePoint(at * tuning.hop_s, float(strength[best]))
        todo += [(first, int(at) - reach + 1), (int(np.ceil(at)), last)]


def strengths(sliding: Sliding, tuning: TimelineTuning, first: int = 0, last: int | None = None) -> np.ndarray:
    """How strong a change would be at each time; see `Context.strengths`."""
    return Context(sliding, tuning).strengths(first, len(sliding.heard) if last is None else last)


class Context:
    """The windows before and after a time, summed up once."""

    def __init__(self, sliding: Sliding, tuning: TimelineTuning) -> None:
        self._tuning, self._reach = tuning, grid_windows(tuning)
        self._longest = max(1, round((tuning.context_s - tuning.window_s) / tuning.hop_s) + 1)
        empty = np.zeros((1, sliding.vectors.shape[1]))
        self._sums = np.concatenate([empty, np.cumsum(sliding.vectors, 0, np.float64)])
        self._counts = np.concatenate([[0], np.cumsum(sliding.heard)])

    def strengths(self, first: int, last: int, whole: np.ndarray | None = None) -> np.ndarray:
        """How strong a change would be at each time, looking at the windows from `first` to before `last` alone.

        Args:
            whole: the same for all windows, where that is known.

        Returns:
            [C]: of the times at which the windows first + n, first + n + 1, … last - 1 start, with n windows of the
            grid from a window's start to its end.
        """
        count = max(0, last - first - self._reach)
        if whole is None:
            return np.array([self._strength(first + place, first, last) for place in range(count)])
        found = whole[first : first + count].copy()
        for place in range(count):
            if self._longest - 1 <= place < count - self._longest:
                continue  # all of its context lies between the two
            found[place] = self._strength(first + place, first, last)
        return found

    def _strength(self, place: int, first: int, last: int) -> float:
        """Of a change behind window `place`."""
        sums, counts, tuning = self._sums, self._counts, self._tuning
        end, start = place + 1, place + self._reach  # of the windows before, and of those after
        left = np.arange(end - 1, max(first, end - self._longest) - 1, -1)
        right = np.arange(start + 1, min(last, start + self._longest) + 1)
        n_left, n_right = counts[end] - counts[left], counts[right] - counts[start]
        left, right = left[n_left > 0], right[n_right > 0]
        if not len(left) or not len(right):
            return 0.0
        n_left, n_right = n_left[n_left > 0], n_right[n_right > 0]
        return float(
            _ratio(
                (sums[end] - sums[left]) / n_left[:, None],
                (sums[right] - sums[start]) / n_right[:, None],
                _seconds(n_left, tuning),
                _seconds(n_right, tuning),
                tuning,
            ).max()
        )


def _ratio(
    left: np.ndarray, right: np.ndarray, left_s: np.ndarray, right_s: np.ndarray, tuning: TimelineTuning
) -> np.ndarray:
    """Squared distances between means [P, D] and [Q, D] over what one source gives: [P, Q]."""
    distance = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    expected = tuning.lasting + tuning.passing * (1 / left_s[:, None] + 1 / right_s)
    ratio: np.ndarray = distance / expected
    return ratio


def _seconds(windows: np.ndarray, tuning: TimelineTuning) -> np.ndarray:
    """How long so many windows are together."""
    return (windows - 1) * tuning.hop_s + tuning.window_s


def grid_windows(tuning: TimelineTuning) -> int:
    """So many windows on is the first that shares nothing with a window."""
    return int(np.ceil(tuning.window_s / tuning.hop_s - 1e-9))
