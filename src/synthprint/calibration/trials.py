"""Scored trials to calibrate on, made from labelled embeddings.

What an LR means depends on what was compared, so that a calibration holds for trials made the same way:

    clip_pairs          clip against clip, all pairs
    clip_against_source clip against a source enrolled with n clips, never with the clip itself
    set_against_set     n clips against m other clips, each set as one mean direction

Which trials count, where the clips' utterances are at hand, says `calibration.relations`. Everything is deterministic.
Where there are more trials than asked for, every k-th of each kind is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synthprint.calibration.relations import Relations, joined
from synthprint.errors import CalibrationError
from synthprint.shelves import Backend
from synthprint.types import Labelled, ScoredTrials
from synthprint.vectors.directions import cosines, unit

MOST = 250_000  # trials of each kind
ROWS = 256  # that are scored together
MOST_SETS = 4  # of a source from one publisher, that references are enrolled in


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
    relations = Relations.of(clips)
    parts = list(_thinned(len(clips), relations.kinds_after, most))
    first, second = (np.concatenate(side) if parts else np.zeros(0, np.int64) for side in zip(*parts, strict=True))
    scores = pair_scores(clips.vectors, first, second, backend)
    target = relations.owners[first] == relations.owners[second]
    trials = ScoredTrials(
        scores, target, first, second, clips.sources, "clip against clip", name, len(clips), clips.data,
        clips.embeddings.extractor, publishers=relations.publishers, groups=relations.groups,
    )  # fmt: skip
    return calibratable(trials)


def pairs(owners: np.ndarray, most: int = MOST) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Unordered pairs (i, j), i < j, of clips with these sources [N]; at most about `most` of each kind, evenly."""
    return _thinned(len(owners), lambda i: np.where(owners[i + 1 :] == owners[i], 0, 1), most)


def _thinned(
    clips: int, kinds_after: Callable[[int], np.ndarray], most: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (i, j), i < j, of which at most about `most` of each kind; `kinds_after(i)` are those of j = i + 1 …, -1
    for a pair that does not count.
    """
    counts = np.zeros(1, np.int64)
    for i in range(clips - 1):
        here = np.bincount(kinds_after(i) + 1, minlength=len(counts))
        counts = here + np.pad(counts, (0, len(here) - len(counts)))
    strides = np.maximum(-(-counts[1:] // most), 1)
    passed = [0] * len(strides)
    for i in range(clips - 1):
        kinds, columns = kinds_after(i), []
        for kind, stride in enumerate(strides.tolist()):
            places = np.flatnonzero(kinds == kind)
            columns.append(places[-passed[kind] % stride :: stride])
            passed[kind] += len(places)
        others = np.sort(np.concatenate(columns)) + i + 1 if columns else np.zeros(0, np.int64)
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


def clip_against_source(
    clips: Labelled,
    enrolled: int,
    backend: Backend,
    name: str,
    most: int = MOST,
    references: Labelled | None = None,
) -> ScoredTrials:
    """Every clip against every set of `enrolled` clips of one source that it is not in.

    A source's clips are dealt into as many disjoint sets as there is room for; each set is enrolled as `backend` does.
    Where publishers are at hand, a set is of one of them.

    Args:
        references: further clips, which sets are made of and which are never tested: at most MOST_SETS of a source from
            one publisher.

    Raises:
        CalibrationError: no source has more than `enrolled` clips, or there is only one.
    """
    everything = joined(references, clips) if references else clips
    relations = Relations.of(everything)
    tested = np.arange(len(everything) - len(clips), len(everything))
    sets: list[np.ndarray] = []
    for members in relations.members:
        dealt = _dealt(members, enrolled, enrolled)
        sets += dealt[:MOST_SETS] if members[0] < tested[0] else dealt
    compared = f"clip against a source enrolled with {_clips(enrolled)}"
    _enough(sets, compared, enrolled)
    set_of_clip = np.full(len(everything), -1)
    for number, part in enumerate(sets):
        set_of_clip[part] = number
    in_sets = np.concatenate(sets)
    publishers = None if everything.publishers is None else everything.publishers[in_sets]
    enrolled_sets = backend.enrol(everything.vectors[in_sets], set_of_clip[in_sets], publishers)
    scores = enrolled_sets(clips.vectors)  # [sets, N]
    apart = np.arange(len(sets))[:, None] != set_of_clip[None, tested]
    return _matrix_trials(
        scores, apart, (relations.of_sets(sets), relations.of_clips(tested)), clips, most, compared, name
    )


def set_against_set(
    clips: Labelled, sizes: tuple[int, int], backend: Backend, name: str, most: int = MOST
) -> ScoredTrials:
    """Sets of sizes[0] clips against disjoint sets of sizes[1], each as the mean of its L2-normalised embeddings.

    Where publishers are at hand, a set is of one of them.

    Raises:
        CalibrationError: no source has clips for both sets, or there is only one.
    """
    relations = Relations.of(clips)
    dealt = [_dealt(members, *sizes) for members in relations.members]
    row_sets, column_sets = ([part for parts in dealt for part in parts[side::2]] for side in (0, 1))
    compared = f"{_clips(sizes[0])} against {_clips(sizes[1])}"
    _enough(column_sets, compared, sum(sizes))
    directions = unit(clips.vectors).astype(np.float64)
    means = [unit(np.stack([directions[part].mean(axis=0) for part in sets])) for sets in (row_sets, column_sets)]
    scores = backend.score(*means)
    sides = relations.of_sets(row_sets), relations.of_sets(column_sets)
    return _matrix_trials(scores, np.ones(scores.shape, bool), sides, clips, most, compared, name)


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
    apart: np.ndarray,
    sides: tuple[Relations, Relations],
    clips: Labelled,
    most: int,
    compared: str,
    backend: str,
) -> ScoredTrials:
    """The trials of a matrix of scores that count, every k-th of each kind; `sides` are its rows and its columns."""
    places = []
    kinds = np.where(apart, sides[0].kinds(sides[1]), -1)
    for kind in range(int(kinds.max(initial=-1)) + 1):
        flat = np.flatnonzero(kinds == kind)
        places.append(flat[:: max(1, -(-len(flat) // most))])
    chosen = np.sort(np.concatenate(places)) if places else np.zeros(0, np.int64)
    rows, columns = np.divmod(chosen, scores.shape[1])
    target = sides[0].owners[rows] == sides[1].owners[columns]
    of_both: dict[str, Any] = {
        name: tuple(getattr(sides[0], name)) + tuple(getattr(sides[1], name)) if getattr(sides[0], name) else None
        for name in ("sources", "publishers", "groups")
    }
    trials = ScoredTrials(
        scores[rows, columns], target, rows, len(scores) + columns, compared=compared, backend=backend,
        clips=len(clips), data=clips.data, extractor=clips.embeddings.extractor, **of_both,
    )  # fmt: skip
    return calibratable(trials)


def _clips(n: int) -> str:
    return "1 clip" if n == 1 else f"{n} clips"
