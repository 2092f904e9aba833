"""Calibration trials made from labelled embeddings, against loops over clips; no clip is ever compared with itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from synthprint.backends.centroid import Centroid
from synthprint.backends.knn import NearestNeighbours
from synthprint.calibration.trials import calibratable, clip_against_source, clip_pairs, pairs, set_against_set
from synthprint.errors import CalibrationError
from synthprint.types import Embeddings, Labelled, ScoredTrials
from synthprint.vectors.directions import cosines

SIZES = {"a": 1, "b": 4, "c": 7, "d": 12}
RNG = np.random.default_rng(8)
SOURCES = [name for name, size in SIZES.items() for _ in range(size)]
ORDER = RNG.permutation(len(SOURCES))
SOURCES = [SOURCES[i] for i in ORDER]
CENTRES = {name: RNG.normal(size=6) for name in SIZES}
VECTORS = np.array([CENTRES[name] + 0.7 * RNG.normal(size=6) for name in SOURCES], np.float32)
CLIPS = Labelled(Embeddings(tuple(map(str, range(len(SOURCES)))), VECTORS, "0123abcd"), SOURCES, "made up")


def rows(trials: ScoredTrials) -> list[tuple[str, str, bool, float]]:
    names = trials.sources
    sides = zip(trials.first.tolist(), trials.second.tolist(), trials.target.tolist(), trials.scores, strict=True)
    return sorted((*sorted((names[a], names[b])), target, round(float(score), 5)) for a, b, target, score in sides)


def test_clip_pairs_are_all_pairs() -> None:
    scores = cosines(VECTORS, VECTORS)
    expected = sorted(
        (*sorted((SOURCES[i], SOURCES[j])), SOURCES[i] == SOURCES[j], round(float(scores[i, j]), 5))
        for i, j in combinations(range(len(SOURCES)), 2)
    )
    trials = clip_pairs(CLIPS)
    assert rows(trials) == expected
    assert (trials.clips, trials.n_sources, trials.compared) == (24, 4, "clip against clip")
    assert (trials.data, trials.extractor) == ("made up", "0123abcd")
    assert rows(clip_pairs(CLIPS, Centroid(), "centroid")) == expected


def test_thinned_pairs_are_evenly_taken_and_always_the_same() -> None:
    owners = RNG.integers(0, 9, 80)
    everything = {(i, j) for i, j in combinations(range(80), 2)}
    same = {(i, j) for i, j in everything if owners[i] == owners[j]}
    taken = [(int(i), int(j)) for a, b in pairs(owners, 100) for i, j in zip(a, b, strict=True)]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= everything
    stride_same, stride_other = -(-len(same) // 100), -(-(len(everything) - len(same)) // 100)
    assert len(set(taken) & same) == -(-len(same) // stride_same)
    assert len(set(taken) - same) == -(-(len(everything) - len(same)) // stride_other)
    assert taken == [(int(i), int(j)) for a, b in pairs(owners, 100) for i, j in zip(a, b, strict=True)]
    full = [(int(i), int(j)) for a, b in pairs(owners) for i, j in zip(a, b, strict=True)]
    assert full == sorted(everything)


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize("backend", [Centroid(), NearestNeighbours(2)])
def test_a_clip_is_never_against_a_set_that_it_is_in(n: int, backend: Centroid | NearestNeighbours) -> None:
    trials = clip_against_source(CLIPS, n, backend, "some")
    enrolled = {name: size // n for name, size in SIZES.items()}
    for name, size in SIZES.items():
        own = trials.target & (np.array(trials.sources)[trials.first] == name)
        assert own.sum() == enrolled[name] * (size - n)  # every set against the clips outside it
    assert (~trials.target).sum() == sum(enrolled[a] * SIZES[b] for a in SIZES for b in SIZES if a != b)
    assert trials.scores.max() < 1 - 1e-6
    assert trials.compared == f"clip against a source enrolled with {'1 clip' if n == 1 else f'{n} clips'}"


def test_a_score_against_a_set_is_the_backends() -> None:
    trials = clip_against_source(CLIPS, 7, Centroid(), "centroid")
    members = [i for i, source in enumerate(SOURCES) if source == "c"]  # all of c is its only set
    found = trials.scores[~trials.target & (np.array(trials.sources)[trials.first] == "c")]
    score = Centroid().enrol(VECTORS[members], np.zeros(7, int))
    others = [i for i, source in enumerate(SOURCES) if source != "c"]
    assert np.sort(found) == pytest.approx(np.sort(score(VECTORS[others])[0]), abs=1e-6)


def test_sets_are_disjoint_and_compared_by_their_means() -> None:
    trials = set_against_set(CLIPS, (2, 1), Centroid(), "centroid")
    # b (4 clips): 2, 1 -> one set of each size; c (7): 2, 1, 2, 1 -> two; d (12): 2, 1 four times; a (1): none.
    n_sets = {"b": 1, "c": 2, "d": 4}
    assert trials.target.sum() == sum(n * n for n in n_sets.values())
    assert (~trials.target).sum() == sum(n_sets[a] * n_sets[b] for a in n_sets for b in n_sets if a != b)
    assert trials.scores.max() < 1 - 1e-6  # a clip in both sets would bring them near 1
    assert trials.compared == "2 clips against 1 clip"
    # A source's clips are dealt out evenly: of c, clips 0 and 4, then 1, then 5 and 2, then 6.
    c = [i for i, source in enumerate(SOURCES) if source == "c"]
    directions = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    twos, ones = ([c[0], c[4]], [c[5], c[2]]), ([c[1]], [c[6]])
    means = [[directions[part].mean(axis=0) for part in parts] for parts in (twos, ones)]
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x in means[0] for y in means[1]]
    found = trials.scores[trials.target & (np.array(trials.sources)[trials.first] == "c")]
    assert np.sort(found) == pytest.approx(np.sort(expected), abs=1e-5)


def test_what_cannot_be_made_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="no source has the 20 clips"):
        clip_against_source(CLIPS, 20, Centroid(), "centroid")
    with pytest.raises(CalibrationError, match="at least one"):
        clip_against_source(CLIPS, 0, Centroid(), "centroid")
    with pytest.raises(CalibrationError, match="no source has the 18 clips"):
        set_against_set(CLIPS, (9, 9), Centroid(), "centroid")
    with pytest.raises(CalibrationError, match="no nontarget trial"):
        clip_pairs(replace(CLIPS[np.arange(4)], sources=["a"] * 4))
    with pytest.raises(CalibrationError, match="no target trial"):
        clip_pairs(replace(CLIPS[np.arange(3)], sources=["a", "b", "c"]))
    with pytest.raises(CalibrationError, match="1 of 2 scores are not finite"):
        calibratable(ScoredTrials([0.0, np.inf], [True, False], [0, 0], [0, 1], ("a", "b"), "test"))
    with pytest.raises(CalibrationError, match="outside the 1"):
        ScoredTrials([0.0, 1.0], [True, False], [0, 0], [0, 1], ("a",), "test")
