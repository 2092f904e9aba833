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

from synthprint.findings import Finding
from synthprint.inspection import Inspection

FOLDS = 5
TREES = 50
SPLITS_TRIED = 3  # random splits of each node, of which the best is taken
MAX_DEPTH = 24
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
        clips, sources: what was guessed over; sources with fewer than FOLDS usable clips are left out.
        left_out: how many sources those are.
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
    names = sorted(name for name, n in counts.items() if n >= FOLDS)
    if len(names) < 2:
        return None
    kept = [i for i in first.values() if counts[sources[i]] >= FOLDS]
    labels = np.array([names.index(sources[i]) for i in kept])
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
        for _ in range(TREES):
            votes += _tree_votes(features[known], labels[known], features[asked], n_labels, rng)
        guessed[asked] = votes.argmax(axis=1)
    return guessed


def _tree_votes(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, n_labels: int, rng: np.random.Generator
) -> np.ndarray:
    """Grow one random tree on `known` [N, F] and let it vote [M, L] on `asked` [M, F].

    All nodes of one depth are split at once. A node's votes are the shares of the labels in it, where each
    label weighs the same over the whole tree.
    """
    weights = 1.0 / np.bincount(labels, minlength=n_labels)[labels]
    node, asked_node, n_nodes = np.zeros(len(known), np.int64), np.zeros(len(asked), np.int64), 1
    for _ in range(MAX_DEPTH):
        feature, threshold, splits = _best_splits(known, labels, weights, node, n_nodes, n_labels, rng)
        if not splits.any():
            break
        # A node that splits makes way for two; numbers stay without gaps.
        renumbered = np.cumsum(1 + splits) - (1 + splits)
        node, asked_node = (
            renumbered[at] + (splits[at] & (rows[np.arange(len(rows)), feature[at]] > threshold[at]))
            for rows, at in ((known, node), (asked, asked_node))
        )
        n_nodes += int(splits.sum())
    shares = np.bincount(node * n_labels + labels, weights, n_nodes * n_labels).reshape(n_nodes, n_labels)
    return np.asarray((shares / shares.sum(axis=1, keepdims=True))[asked_node])


def _best_splits(
    known: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    node: np.ndarray,
    n_nodes: int,
    n_labels: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each node the best of SPLITS_TRIED random splits: (feature, threshold, whether it splits), each [nodes]."""
    nodes, rows = np.arange(n_nodes), np.arange(len(known))
    order = np.argsort(node, kind="stable")
    starts = np.searchsorted(node[order], nodes)
    low = np.minimum.reduceat(known[order], starts)  # [nodes, F]
    high = np.maximum.reduceat(known[order], starts)
    present = np.bincount(node * n_labels + labels, minlength=n_nodes * n_labels).reshape(n_nodes, n_labels) > 0
    mixed = present.sum(axis=1) > 1
    best, feature, threshold = np.full(n_nodes, -1.0), np.zeros(n_nodes, np.int64), np.zeros(n_nodes)
    for _ in range(SPLITS_TRIED):
        tried = rng.integers(known.shape[1], size=n_nodes)
        span = high[nodes, tried] - low[nodes, tried]
        at = low[nodes, tried] + span * rng.random(n_nodes)
        right = known[rows, tried[node]] > at[node]
        sides = np.bincount((2 * node + right) * n_labels + labels, weights, 2 * n_nodes * n_labels)
        sides = sides.reshape(n_nodes, 2, n_labels)
        # Weighted Gini purity: the larger, the cleaner the two sides.
        purity = (np.square(sides).sum(axis=2) / np.maximum(sides.sum(axis=2), 1e-12)).sum(axis=1)
        better = (span > 0) & (purity > best)
        best, feature, threshold = (
            np.where(better, new, old) for new, old in ((purity, best), (tried, feature), (at, threshold))
        )
    return feature, threshold, mixed & (best >= 0)
