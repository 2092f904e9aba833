"""Scores of pairs of utterances, and the exact EER over all pairs of a set: embeddings in, numbers out.

The score is the cosine similarity in float32. All pairs of N utterances are N (N - 1) / 2 trials, a target where both
utterances are of one source. They are never held: see `search`, which is imported where it is used because
it brings numba, for how the exact EER is found all the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from synthprint.background import processors
from synthprint.errors import EmbeddingsError
from synthprint.metrics import Det, crossing
from synthprint.types import Embeddings, ScoredTrials, Trials
from synthprint.vectors.directions import unit

if TYPE_CHECKING:
    from synthprint.scoring.search import Crossed

# (source seen, language seen) in training, as in `Utterance.quadrant`.
QUADRANTS: Mapping[tuple[bool, bool], str] = MappingProxyType(
    {
        (True, True): "seen source, seen language",
        (False, True): "unseen source, seen language",
        (True, False): "seen source, unseen language",
        (False, False): "unseen source, unseen language",
    }
)
TRIALS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class AllPairs:
    """The EER of a selection of all pairs.

    Attributes:
        eer: equal error rate in 0 ... 1, exactly as `metrics.eer` gives it.
        threshold: the cosine at which it is reached, as `metrics.eer_threshold` gives it.
        targets, nontargets: numbers of trials.
    """

    eer: float
    threshold: float
    targets: int
    nontargets: int


@dataclass(frozen=True)
class PairGroup:
    """The same of the pairs of some utterances; no EER (None) where it has no target or no nontarget trial."""

    utterances: int
    eer: float | None
    threshold: float | None
    targets: int
    nontargets: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All pairs of a set, looked at from several sides.

    Attributes:
        utterances: how many.
        pooled: all pairs alike. Sources with many utterances decide it.
        balanced: every source with two utterances or more counts alike, however many it has: P_miss and P_fa at each
            threshold are the means over those sources of the P_miss and P_fa of `sources`, and the EER is where
            these means are equal. `targets` and `nontargets` are the trials of any of those sources.
        quadrants: by name (see QUADRANTS), the pairs of which both utterances are in that quadrant.
        sources: by source; targets are the pairs with both utterances in it, nontargets those with exactly one.
        curves: the pooled ("all pairs"), the source-balanced, and the quadrants' DET, at thresholds spread evenly
            over -1 ... 1 and where P_miss = P_fa.
    """

    utterances: int
    pooled: AllPairs
    balanced: AllPairs
    quadrants: Mapping[str, PairGroup]
    sources: Mapping[str, PairGroup]
    curves: Mapping[str, Det]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the curves, for JSON."""
        return {
            "utterances": self.utterances,
            "pooled": asdict(self.pooled),
            "source_balanced": asdict(self.balanced),
            "quadrants": {name: asdict(group) for name, group in self.quadrants.items()},
            "sources": {name: asdict(group) for name, group in self.sources.items()},
        }


def all_pairs_eer(embeddings: Embeddings | np.ndarray, sources: Sequence[str], threads: int | None = None) -> AllPairs:
    """The exact EER of the cosine similarity over all pairs.

    Args:
        embeddings: of N utterances; an array [N, D] will do.
        sources: N labels, in the order of the embeddings.
        threads: how many to use; one per core where None.

    Raises:
        EmbeddingsError: lengths differ, a vector is zero or not finite, or there is no target or no nontarget pair.
        MissingDependency: numba is not installed.
    """
    from synthprint.scoring.kernels import BALANCED, POOLED
    from synthprint.scoring.passes import Pairs
    from synthprint.scoring.search import crossings

    vectors, names, index = _checked(embeddings, sources)
    no_curve, no_quadrant = np.full(len(names), -1), np.full(len(index), -1)
    pairs = Pairs(vectors, index, no_quadrant, no_curve, BALANCED + 1, _threads(threads))
    crossed, counts = crossings(pairs, [POOLED])
    return _all_pairs(crossed[POOLED], counts[:, POOLED].sum(axis=1))


def evaluate_all_pairs(
    embeddings: Embeddings | np.ndarray,
    sources: Sequence[str],
    quadrants: Sequence[tuple[bool, bool] | None] | None = None,
    threads: int | None = None,
) -> Evaluation:
    """The exact EER over all pairs: pooled, source-balanced, per quadrant and per source.

    Args:
        embeddings: of N utterances; an array [N, D] will do.
        sources: N labels, in the order of the embeddings.
        quadrants: N times (source seen, language seen), or None where that is not known.
        threads: how many to use; one per core where None.

    Raises:
        EmbeddingsError: lengths differ, a vector is zero or not finite, or there is no target or no nontarget pair.
        MissingDependency: numba is not installed.
    """
    from synthprint.scoring.kernels import BALANCED, POOLED
    from synthprint.scoring.passes import Pairs
    from synthprint.scoring.search import crossings

    # Long: it lays out the curves, and reads each figure off its own.
    vectors, names, index = _checked(embeddings, sources)
    quadrant = _indices(quadrants if quadrants is not None else [None] * len(index), len(index))
    size, quadrant_size = np.bincount(index), np.bincount(quadrant[quadrant >= 0], minlength=len(QUADRANTS))
    first_quadrant, first_source = BALANCED + 1, BALANCED + 1 + len(QUADRANTS)
    # A source with one utterance has no target pair, so it has no curve.
    source_curve = np.where(size > 1, first_source - 1 + np.cumsum(size > 1), -1)
    n_curves = first_source + int((size > 1).sum())
    pairs = Pairs(vectors, index, quadrant, source_curve, n_curves, _threads(threads))
    crossed, counts = crossings(pairs, range(n_curves))
    totals = counts.sum(axis=2)  # [2, C] target and nontarget trials

    def group(utterances: int, curve: int) -> PairGroup:
        eer, threshold = crossed.get(curve, (None, None))
        return PairGroup(utterances, eer, threshold, *totals[:, curve].tolist())

    alone = int((size == 1).sum())
    balanced_totals = totals[:, POOLED] - [0, alone * (alone - 1) // 2]
    present_quadrants = [(name, first_quadrant + i) for i, name in enumerate(QUADRANTS.values()) if quadrant_size[i]]
    return Evaluation(
        utterances=len(index),
        pooled=_all_pairs(crossed[POOLED], totals[:, POOLED]),
        balanced=_all_pairs(crossed[BALANCED], balanced_totals),
        quadrants={name: group(int(quadrant_size[curve - first_quadrant]), curve) for name, curve in present_quadrants},
        sources={
            name: group(n, curve) if n > 1 else PairGroup(1, None, None, 0, len(index) - 1)
            for name, n, curve in zip(names, size.tolist(), source_curve.tolist(), strict=True)
        },
        curves={
            name: _det(counts[:, curve], crossed[curve])
            for name, curve in [("all pairs", POOLED), ("source-balanced", BALANCED), *present_quadrants]
            if curve in crossed
        },
    )


def score_trials(embeddings: Embeddings, trials: Trials) -> ScoredTrials:
    """The cosine similarity of each trial.

    Raises:
        EmbeddingsError: an utterance has no embedding, or a vector is zero.
    """
    needed = embeddings.select(tuple(dict.fromkeys((*trials.enrolment, *trials.test))))
    vectors = _unit(needed.vectors, needed.ids)
    row = {key: i for i, key in enumerate(needed.ids)}
    values = np.empty(len(trials), np.float32)
    for start in range(0, len(trials), TRIALS_AT_ONCE):
        some = slice(start, start + TRIALS_AT_ONCE)
        a, b = ([row[key] for key in keys[some]] for keys in (trials.enrolment, trials.test))
        values[some] = np.einsum("kd,kd->k", vectors[a], vectors[b])
    return ScoredTrials.from_list(trials, values)


def cosine_blocks(embeddings: Embeddings | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """All scores, some rows at a time, for what the functions above do not answer: (first row, scores [R, N]).

    They are bit for bit the float32 scores that `all_pairs_eer` and `evaluate_all_pairs` count. An array that was
    yielded is not used again.

    Raises:
        EmbeddingsError: a vector is zero or not finite.
        MissingDependency: numba is not installed.
    """
    from synthprint.scoring.kernels import N_COLUMNS, score_block
    from synthprint.scoring.passes import packed

    vectors = _unit(*_parts(embeddings))
    rows, blocks = packed(vectors)
    for start in range(0, len(vectors), N_COLUMNS):  # the rows are padded to a multiple of it
        scores = np.empty((N_COLUMNS, len(rows)), np.float32)
        score_block(rows, start, blocks, scores)
        yield start, scores[: len(vectors) - start, : len(vectors)]


def _threads(threads: int | None) -> int:
    return processors() if threads is None else threads


def _parts(embeddings: Embeddings | np.ndarray) -> tuple[np.ndarray, Sequence[Hashable]]:
    """Vectors, and names for them in messages."""
    if isinstance(embeddings, Embeddings):
        return embeddings.vectors, embeddings.ids
    vectors = np.asarray(embeddings, np.float32)
    if vectors.ndim != 2:
        raise EmbeddingsError(f"embeddings must be [N, D], not {list(vectors.shape)}")
    return vectors, range(len(vectors))


def _unit(vectors: np.ndarray, names: Sequence[Hashable]) -> np.ndarray:
    for what, bad in (("not finite", ~np.isfinite(vectors).all(axis=1)), ("zero", ~vectors.any(axis=1))):
        if bad.any():
            where = names[int(np.flatnonzero(bad)[0])]
            raise EmbeddingsError(f"the embedding of {where!r} is {what}: it has no direction, so no cosine")
    return unit(vectors)


def _checked(embeddings: Embeddings | np.ndarray, sources: Sequence[str]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Vectors of length one, the sorted names of the sources, and the index of each utterance's."""
    vectors, names = _parts(embeddings)
    if len(vectors) != len(sources):
        raise EmbeddingsError(f"{len(vectors)} embeddings need as many sources, not {len(sources)}")
    distinct = sorted(set(sources))
    place = {name: i for i, name in enumerate(distinct)}
    index = np.array([place[name] for name in sources], np.int64)
    if len(distinct) < 2:
        raise EmbeddingsError(f"an EER over all pairs needs two sources or more; here {_are(len(distinct))}")
    if len(distinct) == len(sources):
        raise EmbeddingsError(f"no two of the {len(sources)} utterances share a source: there is no target pair")
    return _unit(vectors, names), distinct, index


def _are(n: int) -> str:
    return "is one" if n == 1 else "is none"


def _indices(quadrants: Sequence[tuple[bool, bool] | None], n: int) -> np.ndarray:
    """[N] the place in QUADRANTS, or -1."""
    if len(quadrants) != n:
        raise EmbeddingsError(f"{n} embeddings need as many quadrants, not {len(quadrants)}")
    place = {quadrant: i for i, quadrant in enumerate(QUADRANTS)}
    return np.array([-1 if quadrant is None else place[quadrant] for quadrant in quadrants])


def _all_pairs(crossed: Crossed, totals: np.ndarray) -> AllPairs:
    return AllPairs(crossed.eer, crossed.threshold, int(totals[0]), int(totals[1]))


def _det(counts: np.ndarray, crossed: Crossed) -> Det:
    """The points of a curve at the edges of its bins [2, bins], those of empty bins left out, and where it crosses."""
    from synthprint.scoring.bins import bin_edges, key_values
    from synthprint.scoring.search import rates

    below = np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))
    p_miss, p_fa = rates(below, below[:, -1])
    filled = np.append(True, counts.any(axis=0))
    points = p_miss[filled], p_fa[filled], key_values(bin_edges(counts.shape[1]))[filled]
    end = crossing(p_miss[filled], p_fa[filled]).end
    cross = crossed.eer, crossed.eer, crossed.threshold
    return Det(*(np.insert(values, end, value) for values, value in zip(points, cross, strict=True)))
