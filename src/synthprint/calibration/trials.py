"""Scored trials to calibrate on, made from labelled embeddings.

What an LR means depends on what was compared, so that a calibration holds for trials made the same way:

    clip_pairs          clip against clip, all pairs
    clip_against_source clip against a source enrolled with n clips, never with the clip itself
    set_against_set     n clips against m other clips, each set as one mean direction

Everything is deterministic. Where there are more trials than asked for, every k-th of each kind is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from synthprint.errors import CalibrationError
from synthprint.shelves import Backend
from synthprint.types import Labelled, ScoredTrials
from synthprint.vectors.directions import cosines, unit

MOST = 250_000  # trials of each kind
ROWS = 256  # that are scored together


def calibratable(trials: ScoredTrials) -> ScoredTrials:
    """The trials, once it is clear that a calibration can be fitted on them; their scores as float64.

    Raises:
        CalibrationError: a score is not finite, or a kind of trial is missing.
    """
    if not np.isfinite(trials.scores).all():
        raise CalibrationError(f"{int((~np.isfinite(trials.scores)).sum())} of {len(trials)} scores are not finite")
    if not 0 < trials.target.sum() < len(trials):
        kind = "target" if not trials.target.any() else "nontarget"
        raise CalibrationError(f"{trials.compared}: there is no {kind} trial among {len(trials)}")
    return replace(trials, scores=trials.scores.astype(np.float64))


def clip_pairs(clips: Labelled, backend: Backend | None = None, name: str = "cosine", most: int = MOST) -> ScoredTrials:
    """Every clip against every other; the backend is fitted, None is the cosine.

    Raises:
        CalibrationError: there is no target or no nontarget pair.
    """
    owners = clips.owners
    parts = list(pairs(owners, most))
    first, second = (np.concatenate(side) if parts else np.zeros(0, np.int64) for side in zip(*parts, strict=True))
    scores = pair_scores(clips.vectors, first, second, backend)
    trials = ScoredTrials(
        scores, owners[first] == owners[second], owners[first], owners[second], clips.names, "clip against clip",
        name, len(clips), clips.data, clips.embeddings.extractor,
    )  # fmt: skip
    return calibratable(trials)


def pairs(owners: np.ndarray, most: int = MOST) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Unordered pairs (i, j), i < j, of clips with these sources [N]; at most about `most` of each kind, evenly."""
    sizes = np.bincount(owners)
    n, targets = len(owners), int((sizes * (sizes - 1) // 2).sum())
    strides = {True: -(-targets // most), False: -(-(n * (n - 1) // 2 - targets) // most)}
    passed = {True: 0, False: 0}
    for i in range(n - 1):
        same = owners[i + 1 :] == owners[i]
        columns = []
        for kind in (True, False):
            places = np.flatnonzero(same == kind)
            stride = max(strides[kind], 1)
            columns.append(places[-passed[kind] % stride :: stride])
            passed[kind] += len(places)
        others = np.sort(np.concatenate(columns)) + i + 1
        yield np.full(len(others), i), others


def pair_scores(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, backend: Backend | None) -> np.ndarray:
    """The scores [K] of pairs of rows, `first` never falling."""
    score = cosines if backend is None else backend.score
    scores = np.empty(len(first))
    for start in range(0, len(vectors), ROWS):
        some = slice(*np.searchsorted(first, [start, start + ROWS]))
        block = score(vectors[start : start + ROWS], vectors)
        scores[some] = block[first[some] - start, second[some]]
    return scores


def clip_against_source(clips: Labelled, enrolled: int, backend: Backend, name: str, most: int = MOST) -> ScoredTrials:
    """Every clip against every set of `enrolled` clips of one source that it is not in.

    A source's clips are dealt into as many disjoint sets as there is room for; each set is enrolled as `backend` does.

    Raises:
        CalibrationError: no source has more than `enrolled` clips, or there is only one.
    """
    vectors, owners = clips.vectors, clips.owners
    sets = [part for members in _members(owners) for part in _dealt(members, enrolled, enrolled)]
    compared = f"clip against a source enrolled with {_clips(enrolled)}"
    _enough(sets, compared, enrolled)
    set_of_clip = np.full(len(owners), -1)
    for number, part in enumerate(sets):
        set_of_clip[part] = number
    members = np.concatenate(sets)
    scores = backend.enrol(vectors[members], set_of_clip[members])(vectors)  # [sets, N]
    set_owners = owners[[part[0] for part in sets]]
    apart = np.arange(len(sets))[:, None] != set_of_clip[None, :]
    return _matrix_trials(scores, apart, (set_owners, owners), clips, most, compared, name)


def set_against_set(
    clips: Labelled, sizes: tuple[int, int], backend: Backend, name: str, most: int = MOST
) -> ScoredTrials:
    """Sets of sizes[0] clips against disjoint sets of sizes[1], each as the mean of its L2-normalised embeddings.

    Raises:
        CalibrationError: no source has clips for both sets, or there is only one.
    """
    owners = clips.owners
    dealt = [_dealt(members, *sizes) for members in _members(owners)]
    row_sets, column_sets = ([part for parts in dealt for part in parts[side::2]] for side in (0, 1))
    compared = f"{_clips(sizes[0])} against {_clips(sizes[1])}"
    _enough(column_sets, compared, sum(sizes))
    directions = unit(clips.vectors).astype(np.float64)
    means = [unit(np.stack([directions[part].mean(axis=0) for part in sets])) for sets in (row_sets, column_sets)]
    scores = backend.score(*means)
    rows, columns = (owners[[part[0] for part in sets]] for sets in (row_sets, column_sets))
    return _matrix_trials(scores, np.ones(scores.shape, bool), (rows, columns), clips, most, compared, name)


def _members(owners: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(owners == source) for source in range(int(owners.max()) + 1)]


def _dealt(members: np.ndarray, odd: int, even: int) -> list[np.ndarray]:
    """Disjoint sets of `odd`, `even`, `odd` … clips, each spread over the whole list. Too few for a set: none."""
    if min(odd, even) < 1:
        raise CalibrationError(f"a set of clips has at least one, not {min(odd, even)}")
    sizes: list[int] = []
    while sum(sizes) + (size := (odd, even)[len(sizes) % 2]) <= len(members):
        sizes.append(size)
    step = max(len(sizes), 1)
    spread = np.concatenate([members[start::step] for start in range(step)])
    return np.split(spread, np.cumsum(sizes))[:-1]


def _enough(sets: Sequence[np.ndarray], compared: str, needed: int) -> None:
    if not sets:
        raise CalibrationError(f"{compared}: no source has the {_clips(needed)} that this needs")


def _matrix_trials(
    scores: np.ndarray,
    allowed: np.ndarray,
    owners: tuple[np.ndarray, np.ndarray],
    clips: Labelled,
    most: int,
    compared: str,
    backend: str,
) -> ScoredTrials:
    """The allowed trials of a matrix of scores, every k-th of each kind; `owners` are those of rows and of columns."""
    same = owners[0][:, None] == owners[1][None, :]
    places = []
    for kind in (allowed & same, allowed & ~same):
        flat = np.flatnonzero(kind)
        places.append(flat[:: max(1, -(-len(flat) // most))])
    rows, columns = np.divmod(np.sort(np.concatenate(places)), scores.shape[1])
    first, second = owners[0][rows], owners[1][columns]
    trials = ScoredTrials(
        scores[rows, columns], first == second, first, second, clips.names, compared, backend, len(clips), clips.data,
        clips.embeddings.extractor,
    )  # fmt: skip
    return calibratable(trials)


def _clips(n: int) -> str:
    return "1 clip" if n == 1 else f"{n} clips"
