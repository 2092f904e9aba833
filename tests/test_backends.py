"""Every backend on the shelf: its definition by a slow second route, and what the contract promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint import shelves
from synthprint.backends.energy import Energy
from synthprint.backends.knn import NearestNeighbours
from synthprint.backends.whitened import Whitened
from synthprint.errors import GalleryError, RecipeError
from synthprint.shelves import Backend
from synthprint.types import Embeddings
from synthprint.vectors.directions import cosines, unit

Vector = Sequence[float]
ByHand = Callable[[list[list[Vector]], Vector], list[float]]
BACKENDS = shelves.names("backends")


def cosine_by_hand(a: Vector, b: Vector) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


def centroid_by_hand(clips: list[Vector], test: Vector) -> float:
    normed = [[x / sum(y * y for y in clip) ** 0.5 for x in clip] for clip in clips]
    return cosine_by_hand([sum(column) / len(clips) for column in zip(*normed, strict=True)], test)


def knn_by_hand(clips: list[Vector], test: Vector) -> float:
    best = sorted((cosine_by_hand(clip, test) for clip in clips), reverse=True)[:5]
    return sum(best) / len(best)


def energy_by_hand(sources: list[list[Vector]], test: Vector) -> list[float]:
    cosine = [centroid_by_hand(clips, test) for clips in sources]
    energy = 0.05 * math.log(sum(math.exp(c / 0.05) for c in cosine))
    return [energy - (max(cosine) - c) for c in cosine]


def mahalanobis_by_hand(fitted: list[list[Vector]], clips: list[Vector], test: Vector) -> float:
    """With scatter, shrinkage and distance written out; `fitted` are the sources that W is learnt from."""
    sources = [np.array([np.array(v) / np.linalg.norm(v) for v in of]) for of in fitted]
    dim = len(test)
    scatter, residuals = np.zeros((dim, dim)), 0
    for of in sources:
        for v in of:
            scatter += np.outer(v - of.mean(axis=0), v - of.mean(axis=0))
        residuals += len(of) - 1
    variance = max(np.trace(scatter) / residuals / dim, 1e-8) if residuals else 1 / dim
    within = (scatter + dim * variance * np.eye(dim)) / (residuals + dim)
    mean = np.mean([np.array(v) / np.linalg.norm(v) for v in clips], axis=0)
    apart = np.array(test) / np.linalg.norm(test) - mean
    return 1 / (1 + float(apart @ np.linalg.solve(within, apart)) / (dim * (1 + 1 / len(clips))))


def covariance_by_hand(groups: list[list[Vector]], dim: int, shrinkage: float) -> np.ndarray:
    """Of the members of each group around its mean, shrunk; written out."""
    scatter, residuals = np.zeros((dim, dim)), 0
    for of in groups:
        mean = np.mean(of, axis=0)
        for v in of:
            scatter += np.outer(v - mean, v - mean)
        residuals += len(of) - 1
    variance = max(np.trace(scatter) / residuals / dim, 1e-8) if residuals else 1 / dim
    return (scatter + shrinkage * dim * variance * np.eye(dim)) / (residuals + shrinkage * dim)


def direction(v: Vector) -> np.ndarray:
    return np.array(v, float) / np.linalg.norm(v)


def whitened_by_hand(
    fitted: list[list[list[Vector]]], clips: list[list[Vector]], test: Vector, best: bool = False, shrinkage: float = 1
) -> float:
    """Of the clips of a source by publisher; `fitted` are those of the sources that W is learnt from."""
    by_part = [[direction(v) for v in part] for source in fitted for part in source]
    within = covariance_by_hand(by_part, len(test), shrinkage)
    if any(len(source) > 1 for source in fitted):
        means = [[np.mean([direction(v) for v in part], axis=0) for part in source] for source in fitted]
        within += covariance_by_hand(means, len(test), shrinkage)
    whitening = np.linalg.inv(np.linalg.cholesky(within))
    at = direction(whitening @ direction(test))
    parts = [direction(np.mean([direction(whitening @ direction(v)) for v in part], axis=0)) for part in clips]
    if best:
        return max(float(part @ at) for part in parts)
    return float(direction(np.mean(parts, axis=0)) @ at)


def each(one: Callable[[list[Vector], Vector], float]) -> ByHand:
    return lambda sources, test: [one(clips, test) for clips in sources]


# How each backend scores a test utterance against the clips of all sources. A new backend needs its own here.
BY_HAND: dict[str, ByHand] = {
    "cosine": each(lambda clips, test: max(cosine_by_hand(clip, test) for clip in clips)),
    "centroid": each(centroid_by_hand),
    "energy": energy_by_hand,
    "knn": each(knn_by_hand),
    "mahalanobis": lambda sources, test: [mahalanobis_by_hand(sources, clips, test) for clips in sources],
    "whitened": lambda sources, test: [whitened_by_hand([[of] for of in sources], [clips], test) for clips in sources],
}
JOINT = {"energy"}  # add to all scores of a test utterance what the sources say of it together


def made(name: str, vectors: np.ndarray, owners: np.ndarray) -> Backend:
    embeddings = Embeddings(tuple(map(str, range(len(vectors)))), vectors)
    backend: Backend = shelves.find("backends", name)().fit(embeddings, [str(owner) for owner in owners])
    return backend


def galleries(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Enrolled vectors [N, D] of 1 to 5 sources with 1 to 9 clips each, shuffled; owners [N]; test [T, D]."""
    rng = np.random.default_rng(seed)
    owners = rng.permutation(np.repeat(np.arange(rng.integers(1, 6)), rng.integers(1, 10)))
    dim = int(rng.integers(2, 6))
    scale = 10.0 ** rng.integers(-3, 4)
    draw = rng.standard_normal
    return (
        (scale * draw((len(owners), dim))).astype(np.float32),
        owners,
        draw((int(rng.integers(1, 7)), dim)).astype(np.float32),
    )


SEEDS = st.integers(0, 2**32).map(galleries)


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_equals_its_definition(name: str, gallery: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, owners, test = gallery
    backend = made(name, vectors, owners)
    by_source = [[v.tolist() for v in vectors[owners == source]] for source in range(owners.max() + 1)]
    expected = np.array([BY_HAND[name](by_source, t) for t in test.tolist()]).T
    assert backend.enrol(vectors, owners)(test) == pytest.approx(expected, abs=2e-6)

    def pair(one: Vector, test: Vector) -> float:
        if name == "mahalanobis":
            return mahalanobis_by_hand(by_source, [one], test)
        if name == "whitened":
            return whitened_by_hand([[of] for of in by_source], [[one]], test)
        return cosine_by_hand(one, test)

    pairs = [[pair(e, t) for t in test.tolist()] for e in vectors.tolist()]
    assert backend.score(vectors, test) == pytest.approx(np.array(pairs), abs=2e-6)


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(0, 2**32))
def test_order_and_company_do_not_matter(
    name: str, gallery: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int
) -> None:
    vectors, owners, test = gallery
    backend = made(name, vectors, owners)
    order = np.random.default_rng(seed).permutation(len(vectors))
    scores = backend.enrol(vectors, owners)(test)
    again = made(name, vectors[order], owners[order]).enrol(vectors[order], owners[order])
    assert again(test) == pytest.approx(scores, abs=2e-6)
    for i, one in enumerate(test):
        assert backend.enrol(vectors, owners)(one[None])[:, 0].tolist() == scores[:, i].tolist()
    assert backend.score(vectors[order], test) == pytest.approx(backend.score(vectors, test)[order], abs=1e-6)


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_source_of_one_utterance_scores_as_the_utterance(
    name: str, gallery: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, owners, test = gallery
    backend = made(name, vectors, owners)
    alone, pairs = backend.enrol(vectors, np.arange(len(vectors)))(test), backend.score(vectors, test)
    if name in JOINT:
        alone, pairs = alone - alone.max(axis=0), pairs - pairs.max(axis=0)
    assert alone == pytest.approx(pairs, abs=1e-6)


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(0, 2**32))
def test_publishers_are_taken_and_their_numbers_do_not_matter(
    name: str, gallery: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int
) -> None:
    vectors, owners, test = gallery
    rng = np.random.default_rng(seed)
    publishers, others = rng.integers(-1, 3, len(owners)), rng.permutation(5)
    embeddings = Embeddings(tuple(map(str, range(len(vectors)))), vectors)

    def scores(publishers: np.ndarray | None) -> np.ndarray:
        backend: Backend = shelves.find("backends", name)()
        backend = backend.fit(embeddings, list(map(str, owners)), publishers)
        return backend.enrol(vectors, owners, publishers)(test)

    assert scores(others[publishers + 1]) == pytest.approx(scores(publishers), abs=2e-6)
    assert scores(None) == pytest.approx(scores(np.full(len(owners), 2)), abs=2e-6)


@pytest.mark.parametrize("best", [False, True])
@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(0, 2**32))
def test_whitened_over_publishers_equals_its_definition(
    best: bool, gallery: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int
) -> None:
    vectors, owners, test = gallery
    publishers = np.random.default_rng(seed).integers(-1, 3, len(owners))
    backend = Whitened("best" if best else "mean", 0.5)
    backend.fit(Embeddings(tuple(map(str, range(len(vectors)))), vectors), list(map(str, owners)), publishers)
    sources = [
        [vectors[(owners == s) & (publishers == p)].tolist() for p in np.unique(publishers[owners == s])]
        for s in range(owners.max() + 1)
    ]
    expected = np.array([[whitened_by_hand(sources, of, t, best, 0.5) for t in test.tolist()] for of in sources])
    assert backend.enrol(vectors, owners, publishers)(test) == pytest.approx(expected, abs=2e-6)


def crossed(rng: np.random.Generator, sources: int, publishers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips that tell their source in dimensions 0 to 5 and, louder, their publisher in 6 and 7; four of each pair."""
    owners, publisher = (np.repeat(side.ravel(), 4) for side in np.indices((sources, publishers)))
    own, theirs = rng.standard_normal((sources, 6)), 3 * rng.standard_normal((publishers, 2))
    clips = np.hstack([own[owners], theirs[publisher]]) + 0.1 * rng.standard_normal((len(owners), 8))
    return clips.astype(np.float32), owners, publisher


def test_whitened_looks_past_the_publisher() -> None:
    """Every source is enrolled from its own publishers; the clips asked are of a publisher that never published it."""
    vectors, owners, publishers = crossed(np.random.default_rng(4), sources=30, publishers=30)
    near = (publishers - owners) % 30
    enrolled, asked = near < 3, near == 15
    right = {}
    for name in ("centroid", "whitened"):
        part = Embeddings(tuple(map(str, range(int(enrolled.sum())))), vectors[enrolled])
        backend: Backend = shelves.find("backends", name)()
        backend = backend.fit(part, list(map(str, owners[enrolled])), publishers[enrolled])
        scores = backend.enrol(part.vectors, owners[enrolled], publishers[enrolled])(vectors[asked])
        right[name] = (scores.argmax(axis=0) == owners[asked]).mean()
    assert right["centroid"] < 0.5
    assert right["whitened"] > 0.8


def test_whitened_counts_publishers_not_clips() -> None:
    vectors = np.array([[1, 0.1]] * 9 + [[1, 1]] + [[-1, 1], [-1, 1.1]], np.float32)
    owners, publishers = np.repeat([0, 0, 1], [9, 1, 2]), np.repeat([0, 1, 0], [9, 1, 2])
    backend = Whitened().fit(Embeddings(tuple("abcdefghijkl"), vectors), list(map(str, owners)), publishers)
    few = np.array([0, 9, 10, 11])
    every, one_each = (backend.enrol(vectors[of], owners[of], publishers[of])(vectors) for of in (np.arange(12), few))
    assert every == pytest.approx(one_each, abs=1e-6)
    best = Whitened("best").fit(Embeddings(tuple("abcdefghijkl"), vectors), list(map(str, owners)), publishers)
    assert best.enrol(vectors, owners, publishers)(vectors)[0, [0, 9]] == pytest.approx([1, 1])


@pytest.mark.parametrize("options", [{"publishers": "worst"}, {"shrinkage": 0}, {"shrinkage": math.nan}])
def test_whitened_refuses_senseless_options(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"whitened: {next(iter(options))} = "):
        Whitened(**options)


@pytest.mark.parametrize("name", BACKENDS)
def test_higher_means_closer(name: str) -> None:
    vectors = np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 1, 0.1], [-1, 0, 0]], np.float32)
    owners = np.array([0, 0, 1, 1, 2])
    scores = made(name, vectors, owners).enrol(vectors, owners)(np.array([[1, 0.05, 0]], np.float32))[:, 0]
    assert scores[0] > scores[1] > scores[2]
    assert scores.min() >= -1
    assert scores.max() <= 1


def test_knn_takes_the_k_best() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    test = np.array([[1, 0]], np.float32)
    scores = [NearestNeighbours(k).enrol(vectors, np.zeros(3, int))(test)[0, 0] for k in (1, 2, 3, 9)]
    assert scores == pytest.approx([1.0, 0.5, 0.0, 0.0])


@pytest.mark.parametrize("k", [0, -1, 1.5, "5"])
def test_knn_refuses_a_senseless_k(k: int) -> None:
    with pytest.raises(RecipeError, match="knn: k = "):
        NearestNeighbours(k)


@pytest.mark.parametrize("temperature", [0, -0.1, math.inf, math.nan, "0.1"])
def test_energy_refuses_a_senseless_temperature(temperature: float) -> None:
    with pytest.raises(RecipeError, match="energy: temperature = "):
        Energy(temperature)


def test_energy_of_sources_by_themselves_and_together() -> None:
    """What held-out trials are made of: a source may be taken out of scores that are there."""
    rng = np.random.default_rng(1)
    vectors, test = rng.standard_normal((2, 6, 4)).astype(np.float32)
    owners, backend = np.array([0, 0, 1, 1, 2, 2]), Energy()
    alone = backend.alone(vectors, owners)(test)
    assert backend.together(alone) == pytest.approx(backend.enrol(vectors, owners)(test), abs=1e-6)
    alone[2] = -np.inf
    assert backend.together(alone)[:2] == pytest.approx(backend.enrol(vectors[:4], owners[:4])(test), abs=1e-6)
    alone[:2] = -np.inf
    assert np.isneginf(backend.together(alone)).all()


def test_energy_is_higher_where_more_sources_are_close() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    few, many = (Energy().enrol(vectors[:n], np.arange(n))(np.array([[1, 0]], np.float32)) for n in (1, 3))
    assert few.max() == pytest.approx(1)
    assert many.max() == pytest.approx(1 + 0.05 * math.log(2))


def test_mahalanobis_gives_a_clip_of_the_source_a_distance_of_about_one() -> None:
    """Sources of 1, 2 and 30 clips: a further clip is as far off as expected, whatever their number."""
    rng = np.random.default_rng(5)
    sizes, dim = np.tile([1, 2, 30], 40), 16
    centres = unit(rng.standard_normal((len(sizes), dim)))
    spread = rng.standard_normal((dim, dim)) / 100

    def drawn(owners: np.ndarray) -> np.ndarray:
        return (centres[owners] + rng.standard_normal((len(owners), dim)) @ spread).astype(np.float32)

    owners = np.repeat(np.arange(len(sizes)), sizes)
    vectors = drawn(owners)
    own = np.repeat(np.arange(len(sizes)), 20)
    test = drawn(own)
    scores = made("mahalanobis", vectors, owners).enrol(vectors, owners)(test)[own, np.arange(len(own))]
    means = [(1 / scores[sizes[own] == size] - 1).mean() for size in (1, 2, 30)]
    assert means == pytest.approx([1.0] * 3, abs=0.15)


def test_mahalanobis_weighs_directions_by_their_spread() -> None:
    """The nearer source by the cosine lies off along a direction in which clips hardly vary."""
    rng = np.random.default_rng(3)
    base = np.array([[1, 0, 0], [1, 0.4, 0], [1, 0, 0.2]])
    owners = np.repeat(np.arange(3), 50)
    vectors = (base[owners] + rng.standard_normal((150, 3)) * [0, 0.2, 0.02]).astype(np.float32)
    test = np.array([[1, 0.18, 0.08]], np.float32)
    nearest = {name: made(name, vectors, owners).enrol(vectors, owners)(test)[:, 0] for name in BACKENDS}
    assert nearest["centroid"][2] > nearest["centroid"][1]
    assert nearest["mahalanobis"][1] > nearest["mahalanobis"][2]


@pytest.mark.parametrize(
    "vectors",
    [np.eye(8)[:3], np.tile(np.eye(8)[:1], (3, 1)), np.array([np.eye(8)[0], np.eye(8)[0], np.eye(8)[1]])],
    ids=["one clip a source", "all clips equal", "equal clips"],
)
def test_mahalanobis_of_hardly_any_clips(vectors: np.ndarray) -> None:
    vectors = vectors.astype(np.float32)
    for owners in (np.arange(3), np.array([0, 0, 1]), np.zeros(3, int)):
        scores = made("mahalanobis", vectors, owners).enrol(vectors, owners)(vectors)
        assert np.isfinite(scores).all()
        assert (scores[owners, np.arange(3)] >= scores.max(axis=0) - 1e-6).all()


@pytest.mark.parametrize("name", ["mahalanobis", "whitened"])
def test_what_learns_must_be_fitted(name: str) -> None:
    backend: Backend = shelves.find("backends", name)()
    with pytest.raises(GalleryError, match=f"{name}: scores only after it was fitted"):
        backend.score(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))


def test_unit_vectors_of_any_size() -> None:
    vectors = np.array([[3, 4], [0, 0], [3e30, 4e30], [3e-30, 4e-30]], np.float32)
    expected = [[0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]]
    assert unit(vectors) == pytest.approx(np.array(expected), abs=1e-6)
    assert unit(vectors).dtype == np.float32
    assert cosines(vectors[:1], -vectors[:1]).item() == -1.0
