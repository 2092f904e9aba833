"""All pairs counted in passes against the definition on the full list of the same scores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint import metrics
from synthprint.errors import EmbeddingsError, MissingDependency
from synthprint.scoring import all_pairs, bins, passes, search
from synthprint.scoring.all_pairs import (
    QUADRANTS,
    Evaluation,
    all_pairs_eer,
    cosine_blocks,
    evaluate_all_pairs,
    score_trials,
)
from synthprint.types import Embeddings, Trials


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([*shape, seed]).normal(size=shape)


def integers(low: int, high: int, n: int) -> np.ndarray:
    return np.random.default_rng([low + 99, high, n]).integers(low, high, n)


def clustered(n: int, n_sources: int, noise: float, dim: int = 20) -> tuple[np.ndarray, list[str]]:
    """Vectors around one centre for each source, and which source is whose."""
    source = integers(0, n_sources, n)
    return normal(n_sources, dim)[source] + noise * normal(n, dim), [f"source-{s}" for s in source]


def few_values(n: int, n_sources: int) -> tuple[np.ndarray, list[str]]:
    """Vectors of which most occur many times, so that scores are tied by the thousand, zero among them."""
    vectors = integers(-1, 2, 3 * n).reshape(n, 3).astype(float)
    vectors[~vectors.any(axis=1)] = 1
    return vectors, [f"source-{s}" for s in integers(0, n_sources, n)]


def unequal(n_singles: int, n_large: int) -> tuple[np.ndarray, list[str]]:
    """Many sources of one clip, one of two, and a large one."""
    names = [f"single-{i}" for i in range(n_singles)] + ["two"] * 2 + ["large"] * n_large
    return normal(len(names), 6) + 2 * np.array([name == "large" for name in names])[:, None], names


CASES: dict[str, tuple[np.ndarray, list[str]]] = {
    "separable": clustered(700, 9, 0.4),
    "overlapping": clustered(700, 9, 2.0),
    "unrelated": (normal(600, 7), [f"source-{i % 4}" for i in range(600)]),  # crosses near 0
    "collapsed": (1 + 1e-3 * normal(600, 16), [f"source-{i % 4}" for i in range(600)]),
    "ties": few_values(500, 7),
    "all equal": (np.ones((40, 3)), [f"source-{i % 3}" for i in range(40)]),
    "opposite": (np.array([[1.0], [1.0], [-1.0], [-2.0], [3.0]]), ["a", "a", "b", "b", "b"]),
    "300 sources": clustered(500, 300, 1.0),
    "single clips": unequal(300, 200),
    "duplicates": (np.repeat(normal(120, 5), 4, axis=0), [f"source-{i // 4 % 9}" for i in range(480)]),
    "512-d": clustered(400, 5, 8.0, dim=512),
}


def full_scores(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The score of every pair, and its two utterances."""
    matrix = np.concatenate([block for _, block in cosine_blocks(vectors)])
    i, j = np.triu_indices(len(vectors), 1)
    return matrix[i, j], i, j


def slow_balanced(scores: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Where the means of P_miss and of P_fa over the sources with two utterances or more are equal."""
    miss, fa, thresholds = [], [], np.append(np.unique(scores), np.inf)
    n_sources = max(first.max(), second.max()) + 1
    for source in range(n_sources):
        targets = np.sort(scores[(first == source) & (second == source)])
        nontargets = np.sort(scores[(first == source) ^ (second == source)])
        if len(targets):
            miss.append(np.searchsorted(targets, thresholds) / len(targets))
            fa.append(1 - np.searchsorted(nontargets, thresholds) / len(nontargets))
    return metrics.crossing(np.mean(miss, axis=0), np.mean(fa, axis=0)).eer


def check(found: Any, target: np.ndarray, nontarget: np.ndarray) -> None:
    """Equal to the definition to the last bit, or no EER where there is none."""
    assert (found.targets, found.nontargets) == (len(target), len(nontarget))
    if len(target) and len(nontarget):
        assert found.eer == metrics.eer(target, nontarget)
        assert found.threshold == metrics.eer_threshold(target, nontarget)
    else:
        assert found.eer is None
        assert found.threshold is None


def check_all(evaluation: Evaluation, vectors: np.ndarray, sources: list[str], quadrants: list[Any]) -> None:
    scores, i, j = full_scores(vectors)
    names, source = np.unique(sources, return_inverse=True)
    first, second = source[i], source[j]
    check(evaluation.pooled, scores[first == second], scores[first != second])
    assert evaluation.balanced.eer == pytest.approx(slow_balanced(scores, first, second), abs=1e-9)
    assert list(evaluation.sources) == names.tolist()
    for k, name in enumerate(names):
        group, is_first, is_second = evaluation.sources[name], first == k, second == k
        check(group, scores[is_first & is_second], scores[is_first ^ is_second])
        assert group.utterances == sources.count(name)
    place = np.array([-1 if q is None else list(QUADRANTS).index(q) for q in quadrants])
    for k, name in enumerate(QUADRANTS.values()):
        both = (place[i] == k) & (place[j] == k)
        assert (name in evaluation.quadrants) == (k in place)
        if k in place:
            check(evaluation.quadrants[name], scores[both & (first == second)], scores[both & (first != second)])


def some_quadrants(n: int) -> list[Any]:
    return [[*QUADRANTS, None][k] for k in integers(0, 5, n)]


@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_the_definition_on_the_full_list(case: str) -> None:
    vectors, sources = CASES[case]
    quadrants = some_quadrants(len(sources))
    check_all(evaluate_all_pairs(vectors, sources, quadrants, threads=2), vectors, sources, quadrants)


@pytest.mark.parametrize("case", CASES)
def test_the_pooled_eer_alone_is_the_same(case: str) -> None:
    vectors, sources = CASES[case]
    assert all_pairs_eer(vectors, sources) == evaluate_all_pairs(vectors, sources).pooled


@pytest.mark.parametrize("fine_bytes", [1, 1 << 16])
@pytest.mark.parametrize("coarse_bytes", [1, 1 << 20])
def test_little_memory_only_takes_more_passes(
    fine_bytes: int, coarse_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, sources = clustered(300, 6, 1.5)
    quadrants = some_quadrants(len(sources))
    monkeypatch.setattr(search, "FINE_BYTES", fine_bytes)
    monkeypatch.setattr(passes, "COARSE_BYTES", coarse_bytes)
    check_all(evaluate_all_pairs(vectors, sources, quadrants), vectors, sources, quadrants)


@pytest.mark.parametrize("case", CASES)
def test_a_guess_right_or_wrong_changes_nothing(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, sources = CASES[case]
    expected = all_pairs_eer(vectors, sources)
    everything = evaluate_all_pairs(vectors, sources).to_dict()
    monkeypatch.setattr(search, "SAMPLE_FROM", 2)
    monkeypatch.setattr(search, "SAMPLE_LEAST", max(1, len(sources) // 3))
    assert all_pairs_eer(vectors, sources) == expected
    assert evaluate_all_pairs(vectors, sources).to_dict() == everything
    monkeypatch.setattr(passes, "MOST_KEPT", 3)  # no room for what the guess is good for
    assert evaluate_all_pairs(vectors, sources).to_dict() == everything
    monkeypatch.undo()
    edges = bins.bin_edges(passes.N_BINS)
    monkeypatch.setattr(
        search, "_guess", lambda _, wanted: dict.fromkeys([*wanted][:2], (int(edges[100]), int(edges[103])))
    )
    assert evaluate_all_pairs(vectors, sources).to_dict() == everything


def test_a_good_guess_spares_the_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, sources = clustered(1200, 6, 2.0)
    again = []
    finely = passes.Pairs.count_finely
    monkeypatch.setattr(passes.Pairs, "count_finely", lambda self, *a: again.append(len(self)) or finely(self, *a))
    expected = all_pairs_eer(vectors, sources)
    assert again
    again.clear()
    monkeypatch.setattr(search, "SAMPLE_FROM", 2)
    monkeypatch.setattr(search, "MOST_TARGETS", 1)
    monkeypatch.setattr(search, "SAMPLE_LEAST", 1200)  # the sample is all there is: the guess cannot be wrong
    assert all_pairs_eer(vectors, sources) == expected
    assert not again


def test_every_pass_and_every_window_counts_the_same() -> None:
    vectors, sources = CASES["overlapping"]
    source = np.unique(sources, return_inverse=True)[1]
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    everything = passes.Pairs(unit, source, np.full(len(source), -1), np.arange(9) + 2, 11, threads=2)
    edges = everything.edges
    window = {curve: (int(edges[2000 + 9 * curve]), int(edges[2300 + 9 * curve])) for curve in range(11)}
    windows = search._windows(window, everything)
    coarse, kept = everything.count(windows)
    fine = everything.count_finely(windows)
    assert kept.complete
    assert (everything.count_stored(kept, windows) == fine).all()
    assert coarse[:, 0].sum() == len(source) * (len(source) - 1) // 2
    assert (coarse[0, 2:].sum(axis=0) == coarse[0, 0]).all()
    assert (coarse[1, 2:].sum(axis=0) == 2 * coarse[1, 0]).all()  # a nontarget pair is one of two sources
    assert (everything.count_targets()[0] == coarse[0]).all()
    for curve in range(11):
        start, end = windows.offset[curve : curve + 2]
        counted = coarse[:, curve, 2000 + 9 * curve : 2300 + 9 * curve].sum(axis=1)
        assert (fine[:, start:end].sum(axis=1) == counted).all()


@pytest.mark.parametrize("n_bins", [64, 4096])
def test_bin_edges_are_where_the_bins_change(n_bins: int) -> None:
    edges = bins.bin_edges(n_bins)
    assert (np.diff(edges) > 0).all()
    assert (bins.bin_index(bins.key_values(edges[1:-1]), n_bins) == np.arange(1, n_bins)).all()
    assert (bins.bin_index(bins.key_values(edges[1:-1] - 1), n_bins) == np.arange(n_bins - 1)).all()


def test_keys_rise_with_the_floats() -> None:
    keys = np.arange(bins.FIRST_KEY, bins.LAST_KEY, 99_991)
    assert (np.diff(bins.key_values(keys)) > 0).all()
    assert bins.key_values(np.array([bins.FIRST_KEY, bins.LAST_KEY])).tolist() == [-2.0, 2.0]


@pytest.mark.parametrize("dim", [1, 3, 50, 512])
def test_scores_are_cosines_and_depend_on_the_two_vectors_alone(dim: int) -> None:
    vectors = normal(301, dim)
    scores = np.concatenate([block for _, block in cosine_blocks(vectors)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, unit @ unit.T, atol=2e-6)
    order = np.random.default_rng(1).permutation(301)
    moved = np.concatenate([block for _, block in cosine_blocks(vectors[order])])
    assert (scores == scores.T).all()
    assert (moved == scores[np.ix_(order, order)]).all()


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(CASES)), st.integers(1, 4))
def test_neither_order_nor_threads_matter(random, case: str, threads: int) -> None:
    vectors, sources = CASES[case]
    quadrants = [list(QUADRANTS)[i % 4] for i in range(len(sources))]
    order = random.sample(range(len(sources)), len(sources))
    moved = evaluate_all_pairs(
        vectors[order], [sources[i] for i in order], [quadrants[i] for i in order], threads=threads
    )
    assert moved.to_dict() == evaluate_all_pairs(vectors, sources, quadrants).to_dict()


def test_the_scale_of_a_vector_does_not_matter() -> None:
    vectors, sources = CASES["overlapping"]
    scaled = vectors * 2.0 ** integers(-20, 20, len(vectors))[:, None]
    assert all_pairs_eer(scaled, sources) == all_pairs_eer(vectors, sources)


def test_the_curves_hold_points_of_the_definition() -> None:
    vectors, sources = CASES["overlapping"]
    evaluation = evaluate_all_pairs(vectors, sources, [(True, True)] * len(sources))
    assert list(evaluation.curves) == ["all pairs", "source-balanced", "seen source, seen language"]
    curve = evaluation.curves["all pairs"]
    scores, i, j = full_scores(vectors)
    same = np.array(sources)[i] == np.array(sources)[j]
    eer = evaluation.pooled.eer
    for miss, fa, threshold in list(zip(*curve, strict=True))[::20]:
        if (miss, fa) != (eer, eer):
            assert miss == (scores[same] < threshold).mean()
            assert fa == (scores[~same] >= threshold).mean()
    assert (curve.p_miss[0], curve.p_fa[0], curve.p_miss[-1], curve.p_fa[-1]) == (0, 1, 1, 0)
    assert (np.diff(curve.p_miss) >= 0).all()
    assert (np.diff(curve.p_fa) <= 0).all()
    assert (np.diff(curve.thresholds) >= 0).all()
    for name, found in (("all pairs", evaluation.pooled), ("source-balanced", evaluation.balanced)):
        drawn = evaluation.curves[name]
        assert metrics.crossing(drawn.p_miss, drawn.p_fa).eer == pytest.approx(found.eer, abs=1e-15)


def test_the_balanced_trials_are_those_of_a_source_with_a_target() -> None:
    vectors, sources = unequal(5, 4)  # 5 singles, a pair, and a source of 4
    balanced = evaluate_all_pairs(vectors, sources).balanced
    assert balanced.targets == 1 + 6
    assert balanced.nontargets == 2 * 4 + 2 * 5 + 4 * 5


def test_sources_of_equal_size_are_balanced_already() -> None:
    vectors = normal(400, 8) + np.repeat(normal(8, 8), 50, axis=0)
    evaluation = evaluate_all_pairs(vectors, [f"s{i // 50}" for i in range(400)])
    assert evaluation.balanced.eer == pytest.approx(evaluation.pooled.eer, abs=1e-9)


def test_embeddings_and_arrays_are_alike() -> None:
    vectors, sources = CASES["separable"]
    embeddings = Embeddings(tuple(map(str, range(len(vectors)))), vectors, "digest")
    assert all_pairs_eer(embeddings, sources) == all_pairs_eer(vectors, sources)


def test_trials_are_scored_as_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_pairs, "TRIALS_AT_ONCE", 7)
    vectors = normal(9, 4)
    embeddings = Embeddings(tuple("abcdefghi"), vectors)
    first, second = integers(0, 9, 80).reshape(2, 40)
    trials = Trials(["abcdefghi"[i] for i in first], ["abcdefghi"[i] for i in second], first == second)
    cosine = [vectors[i] @ vectors[j] / np.sqrt((vectors[i] @ vectors[i]) * (vectors[j] @ vectors[j])) for i, j in
              zip(first, second, strict=True)]  # fmt: skip
    np.testing.assert_allclose(score_trials(embeddings, trials).scores, cosine, atol=1e-6)
    with pytest.raises(EmbeddingsError, match=r"1 utterance\(s\) have no embedding, the first is 'z'"):
        score_trials(embeddings, Trials(["a", "b"], ["b", "z"], [True, False]))


def broken() -> Iterator[Any]:
    good = np.eye(4) + 1
    zero, nan = good.copy(), good.copy()
    zero[2], nan[1, 1] = 0, np.nan
    yield pytest.param(good, ["a"] * 4, None, "two sources or more; here is one", id="one source")
    yield pytest.param(good[:0], [], None, "two sources or more; here is none", id="nothing")
    yield pytest.param(good, list("abcd"), None, "no two of the 4 utterances share a source", id="no target")
    yield pytest.param(good, list("aab"), None, "4 embeddings need as many sources, not 3", id="labels")
    yield pytest.param(good, list("aabb"), [None], "4 embeddings need as many quadrants, not 1", id="quadrants")
    yield pytest.param(good[0], list("aabb"), None, r"must be \[N, D\], not \[4\]", id="shape")
    yield pytest.param(nan, list("aabb"), None, "the embedding of 1 is not finite", id="not finite")
    yield pytest.param(zero, list("aabb"), None, "the embedding of 2 is zero", id="zero")
    yield pytest.param(Embeddings(tuple("wxyz"), zero), list("aabb"), None, "of 'y' is zero", id="zero, named")


@pytest.mark.parametrize(("vectors", "sources", "quadrants", "message"), list(broken()))
def test_what_has_no_eer_is_an_error(vectors: Any, sources: list[str], quadrants: Any, message: str) -> None:
    with pytest.raises(EmbeddingsError, match=message):
        evaluate_all_pairs(vectors, sources, quadrants)
    if quadrants is None:
        with pytest.raises(EmbeddingsError, match=message):
            all_pairs_eer(vectors, sources)


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("passes", "kernels"):
        monkeypatch.delitem(sys.modules, f"synthprint.scoring.{module}")
    with pytest.raises(MissingDependency, match=r"synthprint\[evaluate\]"):
        all_pairs_eer(*CASES["separable"])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_number_of_pairs() -> None:
    code = """
import re, numpy as np
from synthprint.scoring.all_pairs import all_pairs_eer, evaluate_all_pairs
rng = np.random.default_rng(0)
def peak_mib(): return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
def run(n):
    source = rng.integers(0, 40, n)
    vectors = (rng.normal(size=(40, 50))[source] + 2 * rng.normal(size=(n, 50))).astype(np.float32)
    names = [f"source-{s}" for s in source]
    all_pairs_eer(vectors, names, threads=2), evaluate_all_pairs(vectors, names, threads=2)
run(500)
before = peak_mib()
run(12_000)
print(before, peak_mib())
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    before, after = map(float, out.split())
    assert after - before < 100, "the scores alone would take 275 MiB, as half a matrix"
    assert after < 600
