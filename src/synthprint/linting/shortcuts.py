"""How well the source can be guessed by what no extractor should need: format, level, length, silence, bandwidth.

A corpus whose sources differ in such things can be "traced" without any trace of a synthesizer, and a figure
measured on it says little. The guess is made by extremely randomised trees (Geurts, Ernst, Wehenkel: Extremely
randomized trees, Machine Learning 63, 2006), which cope with few clips and with steps as well as slopes; they are those
of scikit-learn, which the extra `lint` brings.

*Conventions.* Accuracy is balanced: the mean over sources of the share of their clips that are named rightly,
on clips that were not trained on (stratified cross-validation). Chance is 1 / number of sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthprint.background import processors
from synthprint.errors import MissingDependency
from synthprint.linting.findings import Finding
from synthprint.linting.inspection import Inspection

FOLDS = 5
TREES = 50
SPLITS_TRIED = 4  # at each node, a random one of each of so many features, of which the best is taken
MAX_DEPTH = 14
MAX_SOURCES = 200  # with more, those with most clips: bounds the time
MARGIN = 0.1  # above chance, and above what luck explains, from which on a shortcut is a finding
Target = Literal["source", "publisher"]
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
        clips, sources: what was guessed over; with another `target`, how many of that.
        left_out: how many sources were not: those with fewer than FOLDS usable clips, or beyond MAX_SOURCES.
        chance: 1 / sources.
        groups: one per group of features, and ALL.
        easiest: the sources that all features together name best, with the share of their clips named rightly.
        target: what was guessed of each clip.
        within: the source whose clips alone were looked at; "" is all clips.
    """

    clips: int
    sources: int
    left_out: int
    chance: float
    groups: tuple[Shortcut, ...]
    easiest: tuple[tuple[str, float], ...]
    target: Target = "source"
    within: str = ""

    def finding(self) -> Finding | None:
        """The finding that this amounts to, if it is clearly above chance."""
        luck = 2 * float(np.sqrt(self.chance * (1 - self.chance) / self.clips))
        together = next(s.balanced_accuracy for s in self.groups if s.group == ALL)
        if together < self.chance + MARGIN + luck:
            return None
        clips = f"the {self.clips:,} clips of {self.within}" if self.within else "the clips"
        message = (
            f"trivial features alone name the {self.target} of {together:.0%} of {clips} (balanced; chance "
            f"{self.chance:.1%}): report this beside every figure, and train against it"
        )
        code = "shortcut" if self.target == "source" else "publisher-shortcut"
        return Finding(code, self.clips, message, tuple(f"{name} ({hit:.0%})" for name, hit in self.easiest))


def measure_shortcuts(
    sources: Sequence[str], inspections: Sequence[Inspection], target: Target = "source", within: str = ""
) -> Shortcuts | None:
    """How well `sources` can be guessed from what the `inspections` of their files found.

    Files that were not decoded, copies of a file, and clips without a name ("") are left out.

    Args:
        sources: [N] names; with another `target`, names of that.
        target, within: see `Shortcuts`.

    Returns:
        None where fewer than two sources have FOLDS clips.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    first: dict[str, int] = {}
    for index, seen in enumerate(inspections):
        if seen.traits is not None and sources[index]:
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
    left_out = len(counts) - len(names)
    return Shortcuts(len(kept), len(names), left_out, 1 / len(names), tuple(groups), easiest, target, within)


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

    Each label weighs the same, however many rows it has. The same rows give the same guesses on any number of
    processors.

    Args:
        features: [N, F], finite.
        labels: [N], integers from 0; each occurs at least FOLDS times.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.model_selection import StratifiedKFold
    except ModuleNotFoundError as error:
        raise MissingDependency.extra("scikit-learn", "lint") from error
    features = features[:, np.ptp(features, axis=0) > 0]
    if not features.size:
        return np.zeros_like(labels)  # nothing differs: any guess is as good
    guessed = np.empty_like(labels)
    for others, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(features, labels):
        forest = ExtraTreesClassifier(
            TREES,
            max_features=min(SPLITS_TRIED, features.shape[1]),
            max_depth=MAX_DEPTH,
            class_weight="balanced",
            random_state=SEED,
            n_jobs=processors(),
        )
        forest.fit(features[others], labels[others])
        forest.n_jobs = 1  # several threads would add up the votes as they come: the last bits would differ
        guessed[held_out] = forest.predict(features[held_out])
    return guessed
