"""How well the source can be guessed by what no extractor should need: format, level, length, silence, bandwidth.

A corpus whose sources differ in such things can be "traced" without any trace of a synthesizer, and a figure
measured on it says little. The guess is made by extremely randomised trees (Geurts, Ernst, Wehenkel: Extremely
randomized trees, Machine Learning 63, 2006), which cope with few clips and with steps as well as slopes.

*Conventions.* Accuracy is balanced: the mean over sources of the share of their clips that are named rightly,
on clips that were not trained on (stratified cross-validation). Chance is 1 / number of sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.linting.findings import Finding
from synthprint.linting.inspection import Inspection

FOLDS = 5
TREES = 50
SPLITS_TRIED = 4  # random splits of each node, of which the best is taken
MAX_DEPTH = 14
ROWS_AT_ONCE = 20_000  # of all trees grown at once: bounds the memory
MAX_SOURCES = 200  # with more, those with most clips: bounds the time
MARGIN = 0.1  # above chance, and above what luck explains, from which on a shortcut is a finding
SEED = 2506  # the same corpus always gives the same figures
ALL = "all together"
GROUPS = {
    "format": ("sample_rate", "channels", "format"),
    "level": ("rms_db", "peak_db", "offset"),
    "duration": ("duration_s",),
    "silence": ("lead_silence_s", "trail_silence_s", "zeros"),
    "bandwidth": ("bandwidth_hz", "high_band_db"),
}


@dataclass(frozen=True)
class Shortcut:
    """What one group of features gives away: `balanced_accuracy` of guessing the source by it."""

    group: str
    features: tuple[str, ...]
    balanced_accuracy: float


@dataclass(frozen=True)
class Shortcuts:
    """What trivial features give away.

    Attributes:
        clips, sources: what was guessed over.
        left_out: how many sources were not: those with fewer than FOLDS usable clips, or beyond MAX_SOURCES.
        chance: 1 / sources.
        groups: one per group of features, and ALL.
        easiest: the sources that all features together name best, with the share of their clips named rightly.
    """

    clips: int
    sources: int
    left_out: int
    chance: float
    groups: tuple[Shortcut, ...]
    easiest: tuple[tuple[str, float], ...]

    def finding(self) -> Finding | None:
        """The finding that this amounts to, if it is clearly above chance."""
        luck = 2 * float(np.sqrt(self.chance * (1 - self.chance) / self.clips))
        together = next(s.balanced_accuracy for s in self.groups if s.group == ALL)
        if together < self.chance + MARGIN + luck:
            return None
        message = (
            f"trivial features alone name the source of {together:.0%} of the clips (balanced; chance "
            f"{self.chance:.1%}): report this beside every figure, and train against it"
        )
        return Finding("shortcut", self.clips, message, tuple(f"{name} ({hit:.0%})" for name, hit in self.easiest))


def measure_shortcuts(sources: Sequence[str], inspections: Sequence[Inspection]) -> Shortcuts | None:
    """How well `sources` can be guessed from what the `inspections` of their files found.

    Files that were not decoded, and copies of a file, are left out.

    Returns:
        None where fewer than two sources have FOLDS clips.
    """
    first: dict[str, int] = {}
    for index, seen in enumerate(inspections):
        if seen.traits is not None:
            first.setdefault(seen.sha256, index)
    counts = Counter(sources[i] for i in first.values())
    largest = sorted((-n, name) for name, n in counts.items() if n >= FOLDS)[:MAX_SOURCES]
    names = sorted(name for _, name in largest)
    if len(names) < 2:
        return None
    number = {name: label for label, name in enumerate(names)}
    kept = [i for i in first.values() if sources[i] in number]
    labels = np.array([number[sources[i]] for i in kept])
    columns = _columns([inspections[i] for i in kept])
    groups = []
    for group, features in (GROUPS | {ALL: tuple(columns)}).items():
        right = guess(np.column_stack([columns[f] for f in features]), labels) == labels
        hits = np.array([right[labels == label].mean() for label in range(len(names))])
        groups.append(Shortcut(group, features, float(hits.mean())))
    # ALL comes last, so `hits` is its share of right guesses for each source.
    easiest = tuple((names[i], float(hits[i])) for i in np.argsort(-hits, kind="stable")[:5])
    return Shortcuts(len(kept), len(names), len(counts) - len(names), 1 / len(names), tuple(groups), easiest)


def _columns(inspections: Sequence[Inspection]) -> dict[str, np.ndarray]:
    """Each feature [N], in the order of GROUPS."""
    rows = []
    for seen in inspections:
        assert seen.info is not None
        assert seen.traits is not None
        rows.append(vars(seen.info) | vars(seen.traits) | {"format": f"{seen.info.format} {seen.info.subtype}"})
    formats = sorted({row["format"] for row in rows})
    for row in rows:
        row["format"] = formats.index(row["format"])
    return {f: np.array([row[f] for row in rows], np.float64) for features in GROUPS.values() for f in features}


def guess(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label [N] guessed for each row of `features` [N, F] from the rows of the other folds.

    Args:
        labels: [N], integers from 0; each occurs at least FOLDS times.
    """
    features = features[:, np.ptp(features, axis=0) > 0]
    if not features.size:
        return np.zeros_like(labels)  # nothing differs: any guess is as good
    rng = np.random.default_rng(SEED)
    n_labels = int(labels.max()) + 1
    fold = np.empty(len(labels), np.int64)
    for label in range(n_labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        fold[own] = np.arange(len(own)) % FOLDS
    guessed = np.empty(len(labels), np.int64)
    for held_out in range(FOLDS):
        known, asked = fold != held_out, fold == held_out
        votes = np.zeros((int(asked.sum()), n_labels))
        trees_at_once = min(TREES, max(1, ROWS_AT_ONCE // len(labels)))
        for first in range(0, TREES, trees_at_once):
            n_trees = min(trees_at_once, TREES - first)
            votes += _votes(_Rows.repeated(features[known], labels[known], n_trees), features[asked], n_trees, rng)
        guessed[asked] = votes.argmax(axis=1)
    return guessed


@dataclass(frozen=True, eq=False)
class _Rows:
    """What trees are grown on: every row once for each tree, tree after tree.

    Each label weighs the same over one tree, however many rows it has.
    """

    features: np.ndarray  # [R, F]
    labels: np.ndarray  # [R]
    weights: np.ndarray  # [R]
    n_labels: int

    @classmethod
    def repeated(cls, features: np.ndarray, labels: np.ndarray, n_trees: int) -> _Rows:
        weights = 1.0 / np.bincount(labels)[labels]
        return cls(
            np.tile(features, (n_trees, 1)), np.tile(labels, n_trees), np.tile(weights, n_trees), int(labels.max()) + 1
        )

    def weigh(self, group: np.ndarray, n_groups: int) -> np.ndarray:
        """The weight of each label in each group of rows [n_groups, L]."""
        cells = np.bincount(group * self.n_labels + self.labels, self.weights, n_groups * self.n_labels)
        return cells.reshape(n_groups, self.n_labels)


def _votes(rows: _Rows, asked: np.ndarray, n_trees: int, rng: np.random.Generator) -> np.ndarray:
    """Grow random trees on `rows` and sum their votes [M, L] on `asked` [M, F].

    All nodes of one depth, of all trees, are split at once. A leaf votes by the shares of the labels in it.
    """
    node, n_nodes = np.repeat(np.arange(n_trees), len(rows.labels) // n_trees), n_trees
    asked_node, asked_features = np.repeat(np.arange(n_trees), len(asked)), np.tile(asked, (n_trees, 1))
    for _ in range(MAX_DEPTH):
        feature, threshold, splits = _best_splits(rows, node, n_nodes, rng)
        if not splits.any():
            break
        # A node that splits makes way for two; the numbers stay without gaps.
        renumbered = np.cumsum(1 + splits) - (1 + splits)
        node, asked_node = (
            renumbered[at] + (splits[at] & (own[np.arange(len(own)), feature[at]] > threshold[at]))
            for own, at in ((rows.features, node), (asked_features, asked_node))
        )
        n_nodes += int(splits.sum())
    shares = rows.weigh(node, n_nodes)
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(shares[asked_node].reshape(n_trees, len(asked), rows.n_labels).sum(axis=0))


def _best_splits(
    rows: _Rows, node: np.ndarray, n_nodes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each node the best of SPLITS_TRIED random splits: (feature, threshold, whether it splits), each [nodes]."""
    nodes, index = np.arange(n_nodes), np.arange(len(node))
    order = np.argsort(node, kind="stable")
    starts = np.searchsorted(node[order], nodes)
    low = np.minimum.reduceat(rows.features[order], starts)  # [nodes, F]
    high = np.maximum.reduceat(rows.features[order], starts)
    mixed = (rows.weigh(node, n_nodes) > 0).sum(axis=1) > 1
    best, feature, threshold = np.full(n_nodes, -1.0), np.zeros(n_nodes, np.int64), np.zeros(n_nodes)
    for _ in range(SPLITS_TRIED):
        tried = rng.integers(rows.features.shape[1], size=n_nodes)
        span = high[nodes, tried] - low[nodes, tried]
        at = low[nodes, tried] + span * rng.random(n_nodes)
        right = rows.features[index, tried[node]] > at[node]
        sides = rows.weigh(2 * node + right, 2 * n_nodes)
        # Weighted Gini purity: the larger, the cleaner the two sides.
        purity = (np.square(sides).sum(axis=1) / np.maximum(sides.sum(axis=1), 1e-12)).reshape(n_nodes, 2).sum(axis=1)
        better = (span > 0) & (purity > best)
        best, feature, threshold = (
            np.where(better, new, old) for new, old in ((purity, best), (tried, feature), (at, threshold))
        )
    return feature, threshold, mixed & (best >= 0)
