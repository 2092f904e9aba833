"""Scored trials that know the source on each side, and how to make them from labelled embeddings.

What an LR means depends on what was compared, so that a calibration holds for trials made the same way:

    clip_pairs          clip against clip, all pairs
    clip_against_source clip against a source enrolled with n clips, never with the clip itself
    set_against_set     n clips against m other clips, each set as one mean direction

Everything is deterministic. Where there are more trials than asked for, every k-th of each kind is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from synthprint.errors import CalibrationError
from synthprint.shelves import Backend
from synthprint.vectors import cosines, unit

MOST = 250_000  # trials of each kind
ROWS = 256  # that are scored together
WEIGHTINGS = ("sources", "trials")


@dataclass(frozen=True, eq=False)
class SourceTrials:
    """K scores and whose they are.

    Attributes:
        scores: [K] finite; higher means more likely a target.
        target: [K] bool.
        first, second: [K] the source on each side, as an index into `sources`. The same twice where a trial has one.
        sources: their names.
        compared: what a trial is, in words, such as "clip against clip".
        backend: what scored, by its name on the shelf.
        clips: how many took part.
        data, extractor: where they come from, and the digest of what embedded them.

    Raises:
        CalibrationError: lengths differ, a score is not finite, a source is not named, or a kind of trial is missing.
    """

    scores: np.ndarray
    target: np.ndarray
    first: np.ndarray
    second: np.ndarray
    sources: tuple[str, ...]
    compared: str
    backend: str = ""
    clips: int = 0
    data: str = ""
    extractor: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float64))
        object.__setattr__(self, "target", np.asarray(self.target, bool))
        for name in ("first", "second"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))
        shapes = {array.shape for array in (self.scores, self.target, self.first, self.second)}
        if len(shapes) > 1 or self.scores.ndim != 1:
            raise CalibrationError("trials need as many scores as marks and sources on either side")
        if not np.isfinite(self.scores).all():
            raise CalibrationError(f"{int((~np.isfinite(self.scores)).sum())} of {len(self)} scores are not finite")
        if not 0 < self.target.sum() < len(self):
            kind = "target" if not self.target.any() else "nontarget"
            raise CalibrationError(f"{self.compared}: there is no {kind} trial among {len(self)}")
        sides = np.concatenate([self.first, self.second])
        if not 0 <= sides.min() <= sides.max() < len(self.sources):
            raise CalibrationError(f"a trial names a source outside the {len(self.sources)}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: np.ndarray) -> SourceTrials:
        """The trials that a mask [K] or an index chooses."""
        parts = {name: getattr(self, name)[chosen] for name in ("scores", "target", "first", "second")}
        return replace(self, **parts)

    def of(self, data: str, extractor: str) -> SourceTrials:
        """The same, saying where they come from."""
        return replace(self, data=data, extractor=extractor)

    @property
    def n_sources(self) -> int:
        """How many sources take part in a trial."""
        return len(np.unique(np.concatenate([self.first, self.second])))

    @property
    def units(self) -> np.ndarray:
        """[K] which source, or which unordered pair of sources, a trial is of."""
        low, high = np.minimum(self.first, self.second), np.maximum(self.first, self.second)
        return low * len(self.sources) + high

    def weights(self, weighting: str) -> Weights:
        """What each trial weighs: "trials" all alike; "sources" as in the source-balanced EER.

        With "sources", a target trial of source k weighs 1 / (K T_k), and a nontarget trial of sources j and k
        1 / (2 N_j) + 1 / (2 N_k) over the number of sources, T_k and N_k being the numbers of trials of a source.

        Raises:
            CalibrationError: there is no such weighting.
        """
        if weighting not in WEIGHTINGS:
            raise CalibrationError(f"weighting {weighting!r} is not one of: {', '.join(WEIGHTINGS)}")
        target, units = self.target, self.units
        if weighting == "trials":
            one = 1 / int(target.sum()), 1 / int((~target).sum())
            return Weights(np.where(target, *one), one)
        weights = np.zeros(len(self))
        for kind in (target, ~target):
            sides = self.first[kind], self.second[kind]
            per_source = np.bincount(np.concatenate(sides), minlength=len(self.sources))
            each = 1 / per_source[sides[0]] + 1 / per_source[sides[1]]
            weights[kind] = each / each.sum()
        return Weights(weights, (1 / len(np.unique(units[target])), 1 / len(np.unique(units[~target]))))


class Weights(NamedTuple):
    """`each` [K], adding up to 1 over the targets and over the nontargets; and what one more of a kind would weigh.

    `one` is the share of one trial, or where sources count alike that of one source (target) and of one pair of
    sources (nontarget).
    """

    each: np.ndarray
    one: tuple[float, float]


def clip_pairs(
    vectors: np.ndarray, sources: Sequence[str], backend: Backend | None = None, name: str = "cosine", most: int = MOST
) -> SourceTrials:
    """Every clip against every other, embeddings [N, D]; the backend is fitted, None is the cosine.

    Raises:
        CalibrationError: there is no target or no nontarget pair.
    """
    names, owners = _labels(sources)
    kept = list(pairs(owners, most))
    first, second = (np.concatenate(side) if kept else np.zeros(0, np.int64) for side in zip(*kept, strict=True))
    scores = pair_scores(vectors, first, second, backend)
    same = owners[first] == owners[second]
    return SourceTrials(scores, same, owners[first], owners[second], names, "clip against clip", name, len(owners))


def pairs(owners: np.ndarray, most: int = MOST) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Unordered pairs (i, j), i < j, of clips with these sources [N]; at most about `most` of each kind, evenly."""
    sizes = np.bincount(owners)
    n, targets = len(owners), int((sizes * (sizes - 1) // 2).sum())
    strides = {True: -(-targets // most), False: -(-(n * (n - 1) // 2 - targets) // most)}
    seen = {True: 0, False: 0}
    for i in range(n - 1):
        same = owners[i + 1 :] == owners[i]
        columns = []
        for kind in (True, False):
            there = np.flatnonzero(same == kind)
            stride = max(strides[kind], 1)
            columns.append(there[-seen[kind] % stride :: stride])
            seen[kind] += len(there)
        chosen = np.sort(np.concatenate(columns)) + i + 1
        yield np.full(len(chosen), i), chosen


def pair_scores(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, backend: Backend | None) -> np.ndarray:
    """The scores [K] of pairs of rows, `first` never falling."""
    score = cosines if backend is None else backend.score
    scores = np.empty(len(first))
    for start in range(0, len(vectors), ROWS):
        some = slice(*np.searchsorted(first, [start, start + ROWS]))
        block = score(vectors[start : start + ROWS], vectors)
        scores[some] = block[first[some] - start, second[some]]
    return scores


def clip_against_source(
    vectors: np.ndarray, sources: Sequence[str], enrolled: int, backend: Backend, name: str, most: int = MOST
) -> SourceTrials:
    """Every clip against every set of `enrolled` clips of one source that it is not in.

    A source's clips are dealt into as many disjoint sets as there is room for; each set is enrolled as `backend` does.

    Raises:
        CalibrationError: no source has more than `enrolled` clips, or there is only one.
    """
    names, owners = _labels(sources)
    sets = [part for members in _members(owners) for part in _dealt(members, enrolled, enrolled)]
    compared = f"clip against a source enrolled with {_clips(enrolled)}"
    _enough(sets, compared, enrolled)
    set_of = np.full(len(owners), -1)
    for number, part in enumerate(sets):
        set_of[part] = number
    members = np.concatenate(sets)
    scores = backend.enrol(vectors[members], set_of[members])(vectors)  # [sets, N]
    owner_of_set = owners[[part[0] for part in sets]]
    apart = np.arange(len(sets))[:, None] != set_of[None, :]
    return _matrix(scores, apart, owner_of_set, owners, names, most, compared, name)


def set_against_set(
    vectors: np.ndarray, sources: Sequence[str], sizes: tuple[int, int], backend: Backend, name: str, most: int = MOST
) -> SourceTrials:
    """Sets of sizes[0] clips against disjoint sets of sizes[1], each as the mean of its L2-normalised embeddings.

    Raises:
        CalibrationError: no source has clips for both sets, or there is only one.
    """
    names, owners = _labels(sources)
    dealt = [_dealt(members, *sizes) for members in _members(owners)]
    one, other = ([part for parts in dealt for part in parts[side::2]] for side in (0, 1))
    compared = f"{_clips(sizes[0])} against {_clips(sizes[1])}"
    _enough(other, compared, sum(sizes))
    unit_vectors = unit(vectors).astype(np.float64)
    means = [unit(np.stack([unit_vectors[part].mean(axis=0) for part in parts])) for parts in (one, other)]
    scores = backend.score(*means)
    rows, columns = (owners[[part[0] for part in parts]] for parts in (one, other))
    return _matrix(scores, np.ones(scores.shape, bool), rows, columns, names, most, compared, name, len(owners))


def _labels(sources: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names, owners = np.unique(np.asarray(sources, dtype=object), return_inverse=True)
    return tuple(names.tolist()), owners


def _members(owners: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(owners == source) for source in range(int(owners.max()) + 1)]


def _dealt(members: np.ndarray, one: int, other: int) -> list[np.ndarray]:
    """Disjoint sets of `one`, `other`, `one` … clips, each spread over the whole list. Too few for a set: none."""
    if min(one, other) < 1:
        raise CalibrationError(f"a set of clips has at least one, not {min(one, other)}")
    sizes: list[int] = []
    while sum(sizes) + (size := (one, other)[len(sizes) % 2]) <= len(members):
        sizes.append(size)
    step = max(len(sizes), 1)
    spread = np.concatenate([members[start::step] for start in range(step)])
    return np.split(spread, np.cumsum(sizes))[:-1]


def _enough(sets: Sequence[np.ndarray], compared: str, needed: int) -> None:
    if not sets:
        raise CalibrationError(f"{compared}: no source has the {_clips(needed)} that this needs")


def _matrix(
    scores: np.ndarray,
    allowed: np.ndarray,
    row_owner: np.ndarray,
    column_owner: np.ndarray,
    names: tuple[str, ...],
    most: int,
    compared: str,
    backend: str,
    clips: int | None = None,
) -> SourceTrials:
    """The allowed trials of a matrix of scores, every k-th of each kind."""
    same = row_owner[:, None] == column_owner[None, :]
    chosen = []
    for kind in (allowed & same, allowed & ~same):
        there = np.flatnonzero(kind)
        chosen.append(there[:: max(1, -(-len(there) // most))])
    rows, columns = np.divmod(np.sort(np.concatenate(chosen)), scores.shape[1])
    first, second = row_owner[rows], column_owner[columns]
    n_clips = len(column_owner) if clips is None else clips
    return SourceTrials(scores[rows, columns], first == second, first, second, names, compared, backend, n_clips)


def _clips(n: int) -> str:
    return "1 clip" if n == 1 else f"{n} clips"
