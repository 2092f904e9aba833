"""The trials of a crossed evaluation, counted source by source: which were made across publishers, which within one.

A trial is an asked clip and another, enrolled clip; it belongs to the source of the asked one. What is crossed is a
trait of the clips: their publisher, or their language. Scores are cosines, counted on `LEVELS` equal levels over
-1 ... 1, so that millions of them take no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthprint.metrics import weighted
from synthprint.types import Provenance
from synthprint.validation.bootstrap import MIDDLE, bin_edges

LEVELS = 1 << 16
KINDS = TARGET_ONE, TARGET_TWO, NONTARGET_ONE, NONTARGET_TWO = range(4)  # both clips of one trait, or of two
LEFT_OUT = len(KINDS)  # undecided, or a clip against itself
SCORES_AT_ONCE = 1 << 21
SAMPLE = 1 << 9  # clips of each side that the bins of a bootstrap are laid by
MOST_BINS, LEAST_BINS = MIDDLE, 32
BIN_CELLS = 1 << 24  # bins of all pairs of traits, for each side


@dataclass(frozen=True, eq=False)
class CrossedClips:
    """N clips, which of them are asked and which are enrolled, and what is crossed.

    Attributes:
        vectors: [N, D] float32 of length one.
        related: how they are related.
        traits: [N] what is crossed, as numbers from 0: equal numbers are one publisher, or one language.
        asked, enrolled: indices of clips. A clip may be both; it is no trial with itself.
    """

    vectors: np.ndarray
    related: Provenance
    traits: np.ndarray
    asked: np.ndarray
    enrolled: np.ndarray

    @property
    def n_traits(self) -> int:
        """How many publishers, or languages."""
        return int(self.traits.max()) + 1

    def runs(self) -> Iterator[AskedRun]:
        """The asked clips, those together whose trials are of the same kinds; source by source."""
        related = self.related
        keys = np.stack([related.sources, self.traits, related.publishers, related.families, related.ablations], axis=1)
        distinct, owners = np.unique(keys[self.asked], axis=0, return_inverse=True)
        order = np.argsort(owners.ravel(), kind="stable")
        starts = np.searchsorted(owners.ravel()[order], np.arange(1, len(distinct)))
        for key, places in zip(distinct.tolist(), np.split(order, starts), strict=True):
            asked = self.asked[places]
            kinds = self._kinds(asked[0])
            trials = len(asked) * np.bincount(kinds, minlength=len(KINDS) + 1)
            selves = int(np.isin(asked, self.enrolled, assume_unique=True).sum())
            trials[TARGET_ONE] -= selves
            yield AskedRun(key[0], key[1], asked, kinds, trials)

    def scores(self, asked: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        """Levels [A, E] of the cosines of some of `asked` at a time, and where in them a clip meets itself."""
        enrolled = self.vectors[self.enrolled].T
        step = max(1, SCORES_AT_ONCE // max(1, len(self.enrolled)))
        column = np.full(len(self.traits), -1)
        column[self.enrolled] = np.arange(len(self.enrolled))
        for start in range(0, len(asked), step):
            some = asked[start : start + step]
            again = np.flatnonzero(column[some] >= 0)
            yield levels(self.vectors[some] @ enrolled), (again, column[some[again]])

    def _kinds(self, clip: np.ndarray) -> np.ndarray:
        """[E] the kind of the trial of a clip with each enrolled one; its own is that of a target."""
        one = self.traits[self.enrolled] == self.traits[clip]
        target = self.related.same_source(clip, self.enrolled)
        kinds = np.where(target, np.where(one, TARGET_ONE, TARGET_TWO), np.where(one, NONTARGET_ONE, NONTARGET_TWO))
        kinds[self.related.undecided(clip, self.enrolled)] = LEFT_OUT
        return kinds


class AskedRun(NamedTuple):
    """Asked clips of one source and one trait, whose trials with any enrolled clip are of one kind.

    Attributes:
        source, trait: of all.
        asked: [A] indices of the clips.
        kinds: [E] the kind of their trials with each enrolled clip.
        trials: [kinds + 1] how many of each kind, no clip with itself.
    """

    source: int
    trait: int
    asked: np.ndarray
    kinds: np.ndarray
    trials: np.ndarray


def levels(cosines: np.ndarray) -> np.ndarray:
    """The level of each cosine: whole numbers from 0 that rise with it. The array of the cosines is used up."""
    cosines += np.float32(1)
    cosines *= np.float32(LEVELS // 2)
    return np.clip(cosines, 0, LEVELS - 1, out=cosines).astype(np.intp)


def eer_of(counts: np.ndarray) -> float | None:
    """The EER of target and nontarget trials, or of their weights, [2, levels]; None where there is none of a side."""
    present = counts.any(axis=0)
    return weighted.eer(*counts[:, present]) if counts.any(axis=1).all() else None


class SourceCounts(NamedTuple):
    """The trials of one source.

    Attributes:
        source: its number.
        counts: [kinds, LEVELS] trials.
        own_trait: [2, LEVELS] trials of the asked clips that have targets of another trait: these targets, and the
            nontargets of their own trait.
        traits: [R] the trait of each of its runs.
        trials: [R, kinds + 1] the trials of each.
        asked: [R] how many clips each has.
    """

    source: int
    counts: np.ndarray
    own_trait: np.ndarray
    traits: np.ndarray
    trials: np.ndarray
    asked: np.ndarray

    @property
    def crossing(self) -> np.ndarray:
        """[R] whether the clips of a run have targets of another trait and nontargets of their own."""
        return np.asarray((self.trials[:, [TARGET_TWO, NONTARGET_ONE]] > 0).all(axis=1))


class TraitBins:
    """All trials added up by the traits of their two clips, for a bootstrap over traits.

    Every source weighs the same on each of the four kinds.

    Attributes:
        bins: [LEVELS] the bin of each level.
        targets, nontargets: [P, P, bins] sums of weights, by the trait of the asked and of the enrolled clip.
        groups: [2, P, bins] the same of the target and nontarget trials inside page groups, by their one trait.
    """

    def __init__(self, clips: CrossedClips, seed: int) -> None:
        rng = np.random.default_rng(seed)
        some = rng.choice(clips.asked, min(SAMPLE, len(clips.asked)), replace=False)
        others = rng.choice(clips.enrolled, min(SAMPLE, len(clips.enrolled)), replace=False)
        sample = levels(clips.vectors[some] @ clips.vectors[others].T).ravel()
        target = clips.related.same_source(some[:, None], others[None, :]).ravel()
        edges = bin_edges(sample, target.astype(int))
        most = int(np.clip(BIN_CELLS // clips.n_traits**2, LEAST_BINS, MOST_BINS))
        edges = edges[np.unique(np.linspace(0, len(edges) - 1, min(most, len(edges))).astype(int))]
        self.bins = np.clip(np.searchsorted(edges, np.arange(LEVELS), "right") - 1, 0, None)
        self._traits = clips.traits[clips.enrolled]
        self._shape = 2, clips.n_traits, len(edges)
        self.targets, self.nontargets = np.zeros((2, clips.n_traits, clips.n_traits, len(edges)), np.float32)
        self.groups = np.zeros(self._shape)

    def add(
        self, run: AskedRun, reached: np.ndarray, selves: tuple[np.ndarray, np.ndarray], totals: np.ndarray
    ) -> None:
        """Add the trials of some clips of a run, as `CrossedClips.scores` has them.

        Args:
            run: of the clips.
            reached, selves: their levels, and where a clip meets itself.
            totals: [kinds + 1] how many trials their source has of each kind.
        """
        side = run.kinds // 2  # 0 target, 1 nontarget, 2 neither
        place = (side * self._shape[1] + self._traits) * self._shape[2]
        size = int(np.prod(self._shape))
        index = self.bins[reached]
        index += place
        index[selves] = size
        counts = np.bincount(index.ravel(), minlength=size)[:size].reshape(self._shape)
        for kind, sums in ((TARGET_ONE, self.targets), (NONTARGET_ONE, self.nontargets)):
            weight = np.full(self._shape[1], 1 / max(1, totals[kind + 1]))
            weight[run.trait] = 1 / max(1, totals[kind])
            sums[run.trait] += (counts[kind // 2] * weight[:, None]).astype(np.float32)

    def add_group(self, trait: int, sums: np.ndarray) -> None:
        """Add the weights [2, LEVELS] of the trials inside a page group."""
        for side in range(2):
            self.groups[side, trait] += np.bincount(self.bins, sums[side], self._shape[2])

    def curves(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of weights [kinds, R, bins], and inside page groups [2, R, bins], in R replicates.

        A trial of two traits that were drawn m and n times weighs m n, one of a single trait m.
        """
        kinds = []
        for sums in (self.targets, self.nontargets):
            one = times @ np.einsum("ppb->pb", sums)
            two = np.zeros_like(one)
            for trait, across in enumerate(sums):
                if not across.any():
                    continue
                drawn = times.copy()
                drawn[:, trait] = 0
                two += times[:, trait, None] * (drawn @ across)
            kinds += [one, two]
        return np.stack(kinds), np.stack([times @ sums for sums in self.groups])


def count_sources(clips: CrossedClips, bins: TraitBins | None = None) -> Iterator[SourceCounts]:
    """The trials of each source that is asked, in turn; `bins` takes them up too."""
    runs: list[AskedRun] = []
    for run in clips.runs():
        if runs and runs[0].source != run.source:
            yield _counted(clips, runs, bins)
            runs = []
        runs.append(run)
    if runs:
        yield _counted(clips, runs, bins)


def _counted(clips: CrossedClips, runs: list[AskedRun], bins: TraitBins | None) -> SourceCounts:
    trials = np.stack([run.trials for run in runs])
    total, own = np.zeros((len(KINDS), LEVELS), np.int64), np.zeros((2, LEVELS), np.int64)
    size = len(KINDS) * LEVELS
    for run in runs:
        counts = np.zeros(size, np.int64)
        for reached, selves in clips.scores(run.asked):
            if bins is not None:
                bins.add(run, reached, selves, trials.sum(axis=0))
            index = np.add(reached, run.kinds * LEVELS, out=reached)
            index[selves] = size
            counts += np.bincount(index.ravel(), minlength=size)[:size]
        counts = counts.reshape(total.shape)
        total += counts
        if (run.trials[[TARGET_TWO, NONTARGET_ONE]] > 0).all():
            own += counts[[TARGET_TWO, NONTARGET_ONE]]
    traits, asked = np.array([run.trait for run in runs]), np.array([len(run.asked) for run in runs])
    return SourceCounts(runs[0].source, total, own, traits, trials, asked)
