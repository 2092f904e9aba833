"""The map that a training fits last: it evens out how clips of one source differ, and a checkpoint has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.training.whitening import fit_whitening, reset_whitening, whitens
from synthprint.types import HUMAN, Embeddings, Utterance

DIM = 3


def mapped(map_: np.ndarray | None = None) -> nn.Module:
    """A backbone with nothing but a map, of 3 dimensions."""
    backbone = SpectralStatistics(dim=DIM, hidden=0, parts=("level",), whitened=True)
    if map_ is not None:
        backbone.whitening = torch.from_numpy(map_.astype(np.float32))
    return backbone


def map_of(backbone: nn.Module) -> np.ndarray:
    values: np.ndarray = backbone.whitening.numpy().astype(np.float64)
    return values


def clips(seed: int = 0) -> tuple[Embeddings, list[Utterance]]:
    """Six sources of two publishers each, whose clips are apart along the first axis, publishers along the second."""
    rng = np.random.default_rng(seed)
    vectors, utterances = [], []
    for source in range(6):
        middle = 2.0 * rng.standard_normal(DIM)
        for publisher in range(2):
            page = middle + rng.standard_normal(DIM) * [0.0, 0.5, 0.0]
            for clip in range(20):
                key = f"{source}/{publisher}/{clip}"
                vectors.append(page + rng.standard_normal(DIM) * [0.3, 0.02, 0.02])
                utterances.append(Utterance(key, key, f"source-{source}", publisher=f"publisher-{publisher}"))
    ids = tuple(u.id for u in utterances)
    return Embeddings(ids, np.array(vectors, np.float32), "tiny"), utterances


def scatter_by_hand(vectors: np.ndarray, parts: list[str]) -> np.ndarray:
    """Covariance around the mean of each part, with D residuals more that are alike in all directions."""
    names = sorted(set(parts))
    residuals = [
        row - vectors[[p == part for p in parts]].mean(axis=0) for row, part in zip(vectors, parts, strict=True)
    ]
    scatter, count = sum(np.outer(r, r) for r in residuals), len(vectors) - len(names)
    return np.asarray((scatter + DIM * np.trace(scatter) / (DIM * count) * np.eye(DIM)) / (count + DIM))


def test_the_map_evens_out_clips_and_publishers_of_one_source() -> None:
    embeddings, utterances = clips()
    backbone = mapped()
    fit_whitening(backbone, embeddings, utterances)
    directions = embeddings.vectors.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    parts = [f"{u.source} {u.publisher}" for u in utterances]
    means = np.array([directions[[p == part for p in parts]].mean(axis=0) for part in sorted(set(parts))])
    within = scatter_by_hand(directions, parts) + scatter_by_hand(means, [p.split()[0] for p in sorted(set(parts))])
    map_ = map_of(backbone)
    np.testing.assert_allclose(map_.T @ within @ map_, np.eye(DIM), atol=1e-4)


def test_ids_choose_the_clips_and_human_speech_is_left_out() -> None:
    embeddings, utterances = clips()
    backbone, other = mapped(), mapped()
    fit_whitening(backbone, embeddings, utterances)
    order = np.random.default_rng(1).permutation(len(utterances))
    human = [Utterance(f"human/{i}", f"human/{i}", HUMAN, publisher=f"publisher-{i % 2}") for i in range(30)]
    noise = np.random.default_rng(2).standard_normal((30, DIM)).astype(np.float32)
    more = Embeddings(
        (*(u.id for u in human), *(embeddings.ids[i] for i in order)),
        np.concatenate([noise, embeddings.vectors[order]]),
        "tiny",
    )
    missing = Utterance("silent", "silent", "source-0")  # it has no embedding
    fit_whitening(other, more, [missing, *utterances, *human])
    np.testing.assert_allclose(map_of(other), map_of(backbone), rtol=1e-4, atol=1e-5)
    spoken = mapped()
    fit_whitening(spoken, more, [missing, *utterances, *(replace(u, source="source-9") for u in human)])
    assert not np.allclose(map_of(spoken), map_of(backbone), rtol=0.05)


@pytest.mark.parametrize("shape", [DIM, 2])
def test_a_map_is_undone(shape: int) -> None:
    backbone = mapped(np.diag([1.0, 2.0, 3.0])[:, :shape])
    reset_whitening(backbone)
    np.testing.assert_array_equal(map_of(backbone), np.eye(DIM))


def test_a_smaller_embedding_has_the_directions_in_which_sources_differ_most() -> None:
    embeddings, utterances = clips()
    whole = mapped()
    fit_whitening(whole, embeddings, utterances)
    smaller = SpectralStatistics(dim=2, stacked=DIM, hidden=0, parts=("level",), whitened=True)
    fit_whitening(smaller, embeddings, utterances)
    directions = embeddings.vectors.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    sources = sorted({u.source for u in utterances})

    def spread(map_: np.ndarray) -> np.ndarray:
        """The variances of the sources' means along the axes of what a map gives."""
        means = [(directions @ map_)[[u.source == s for u in utterances]].mean(axis=0) for s in sources]
        return np.sort(np.linalg.eigvalsh(np.cov(np.array(means).T, bias=True)))[::-1]

    np.testing.assert_allclose(spread(map_of(smaller)), spread(map_of(whole))[:2], rtol=1e-4)
    assert map_of(smaller).shape == (DIM, 2)
    again = SpectralStatistics(dim=2, stacked=DIM, hidden=0, parts=("level",), whitened=True)
    again.load_state_dict(smaller.state_dict())
    np.testing.assert_array_equal(map_of(again), map_of(smaller))


def test_which_backbones_have_one() -> None:
    assert whitens(mapped())
    assert not whitens(SpectralStatistics(dim=DIM, hidden=0, parts=("level",)))
    assert not whitens(nn.Linear(2, 2))
