"""Every backend on the shelf: its definition by a slow second route, and what the contract promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint import shelves
from synthprint.backends.knn import NearestNeighbours
from synthprint.errors import RecipeError
from synthprint.shelves import Backend
from synthprint.types import Embeddings
from synthprint.vectors import cosines, unit

Vector = Sequence[float]
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


# How each backend scores a test utterance against the clips of one source. A new backend needs its own here.
BY_HAND: dict[str, Callable[[list[Vector], Vector], float]] = {
    "cosine": lambda clips, test: max(cosine_by_hand(clip, test) for clip in clips),
    "centroid": centroid_by_hand,
    "knn": knn_by_hand,
}


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
    expected = [[BY_HAND[name](clips, t) for t in test.tolist()] for clips in by_source]
    assert backend.enrol(vectors, owners)(test) == pytest.approx(np.array(expected), abs=2e-6)
    pairs = [[cosine_by_hand(e, t) for t in test.tolist()] for e in vectors.tolist()]
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
    assert backend.enrol(vectors[order], owners[order])(test) == pytest.approx(scores, abs=1e-6)
    for i, one in enumerate(test):
        assert backend.enrol(vectors, owners)(one[None])[:, 0] == pytest.approx(scores[:, i], abs=1e-6)
    assert backend.score(vectors[order], test) == pytest.approx(backend.score(vectors, test)[order], abs=1e-6)


@pytest.mark.parametrize("name", BACKENDS)
@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_source_of_one_utterance_scores_as_the_utterance(
    name: str, gallery: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, owners, test = gallery
    backend = made(name, vectors, owners)
    alone = backend.enrol(vectors, np.arange(len(vectors)))
    assert alone(test) == pytest.approx(backend.score(vectors, test), abs=1e-6)


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


def test_unit_vectors_of_any_size() -> None:
    vectors = np.array([[3, 4], [0, 0], [3e30, 4e30], [3e-30, 4e-30]], np.float32)
    expected = [[0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]]
    assert unit(vectors) == pytest.approx(np.array(expected), abs=1e-6)
    assert unit(vectors).dtype == np.float32
    assert cosines(vectors[:1], -vectors[:1]).item() == -1.0
