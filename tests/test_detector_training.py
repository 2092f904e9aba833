"""A detector of human speech is trained, exported and run by the machinery of extractors, on two labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TINY_RECIPE
from human_corpus import DEV, TRAINED, human_corpus
from synthprint.errors import ManifestError, RecipeError
from synthprint.extractor.embedding import embed
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe, SamplerChoice, Schedule
from synthprint.extractor.runtime import OnnxExtractor, TorchExtractor
from synthprint.manifests.packing import pack
from synthprint.training.labels import development_eer, label_names, labels, publisher_weights
from synthprint.training.loop import train
from synthprint.training.two_sided import TwoSidedBatches
from synthprint.types import Embeddings, Manifest, Utterance

DETECTOR = replace(
    TINY_RECIPE,
    backbone=BackboneChoice("spectral_statistics", 1, {"parts": ["level"], "hidden": 8}),
    loss=LossChoice("balanced_logistic"),
    sampler=SamplerChoice("two_sided", publishers_per_batch=3, clips_per_side=2),
    schedule=Schedule(epochs=60, warmup_epochs=1, peak_lr=1e-2, eval_every=60),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return human_corpus(tmp_path_factory.mktemp("human"))


def clip(number: int, source: str, publisher: str | None, kind: str = "tts") -> Utterance:
    return Utterance(str(number), f"{number}.wav", source, publisher=publisher, extra={"kind": kind})


@st.composite
def two_sided(draw: st.DrawFn) -> TwoSidedBatches:
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=60))
    clips = [clip(i, "human" if s == 0 else f"s{s}", p and f"p{p}") for i, (p, s) in enumerate(rows)]
    clips += [clip(len(clips), "human", "p1"), clip(len(clips) + 1, "s1", "p2")]
    return TwoSidedBatches(clips, draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(0, 9)))


@settings(deadline=None)
@given(two_sided())
def test_a_batch_holds_as_many_human_as_synthetic_clips_of_each_page(sampler: TwoSidedBatches) -> None:
    human = np.array([u.human for u in sampler.utterances])
    publisher = np.array([u.publisher or "" for u in sampler.utterances])
    both = {p for p in publisher if human[publisher == p].any() and not human[publisher == p].all()}
    pages = min(sampler.publishers_per_batch, len(set(publisher)))
    batches = sampler.batches(3)
    assert len(batches) == len(sampler)
    assert all(np.array_equal(a, b) for a, b in zip(batches, sampler.batches(3), strict=True))
    for batch in batches:
        sides = batch.reshape(pages, 2, sampler.clips_per_side)
        assert human[sides[:, 0]].all()
        assert not human[sides[:, 1]].any()
        for first, second in sides:
            assert len(set(publisher[first])) == len(set(publisher[second])) == 1
            one, other = publisher[first][0], publisher[second][0]
            assert one == other or not {one, other} <= both  # only a missing side comes from another page


def test_every_source_of_a_page_is_as_likely() -> None:
    clips = [clip(i, "human", "p", "human") for i in range(5)]
    clips += [clip(10 + i, "large" if i < 90 else "small", "p") for i in range(95)]
    sampler = TwoSidedBatches(clips, 1, 2)
    drawn = Counter(clips[i].source for epoch in range(20) for batch in sampler.batches(epoch) for i in batch[2:])
    assert drawn["large"] == drawn["small"]


def test_a_side_that_is_missing_is_named() -> None:
    with pytest.raises(RecipeError, match="no human clip"):
        TwoSidedBatches([clip(0, "a", "p"), clip(1, "b", "p")])
    with pytest.raises(RecipeError, match="no synthetic clip"):
        TwoSidedBatches([clip(0, "human", "p")])


def test_labels_are_the_sources_or_the_two_sides() -> None:
    clips = [clip(0, "b", "p"), clip(1, "human", "p", "human"), clip(2, "a", "p"), clip(3, "reader-1", "p", "human")]
    assert label_names(DETECTOR, clips) == ["human", "synthetic"]
    assert labels(DETECTOR, clips).tolist() == [1, 0, 1, 0]
    assert label_names(TINY_RECIPE, clips) == ["a", "b", "human", "reader-1"]
    assert labels(TINY_RECIPE, clips).tolist() == [1, 2, 0, 3]


def test_publishers_count_alike_in_the_development_eer(tmp_path: Path) -> None:
    """Ten human clips of one page are judged wrong, and the one of another right: half of the human side is wrong."""
    clips = [clip(i, "human", "large") for i in range(10)] + [clip(10, "human", "small")]
    clips += [clip(11 + i, "a", "large") for i in range(2)]
    scores = np.array([[-2.0]] * 10 + [[2.0]] + [[-1.0], [1.0]], np.float32)
    embeddings = Embeddings(tuple(u.id for u in clips), scores, "x")
    assert publisher_weights(clips)[[0, 10, 11]].tolist() == [0.1, 1.0, 0.5]
    assert development_eer(DETECTOR, embeddings, Manifest(tuple(clips), tmp_path)) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def trained(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("detector") / "run"
    train(DETECTOR, corpus, run)
    return run


def test_it_learns_and_its_graph_gives_scores(corpus: Manifest, trained: Path) -> None:
    from synthprint.extractor.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(trained)
    assert checkpoint.results["publishers"] == [f"page-{p}" for p in TRAINED]
    assert checkpoint.results["best_dev_eer"] < 0.2
    dev = corpus.split("dev")
    packed = pack(dev, trained / "pack")
    waves = [(u.id, packed.wave(i)) for i, u in enumerate(packed.manifest)]
    extractor = OnnxExtractor(checkpoint, 1)
    scores, failures = embed(extractor, waves, keep_windows=True)
    assert scores is not None
    assert not failures
    assert scores.dim == 1
    assert scores.windows is not None
    for place in (0, len(dev) - 1):  # a clip's score is the mean of its windows', which have no length of one
        windows = scores.windows.vectors[scores.windows.owners == place]
        assert len(windows) == 2
        assert scores.vectors[place, 0] == pytest.approx(windows.mean(), abs=1e-5)
    assert len(np.unique(np.abs(scores.vectors))) > len(dev) / 2
    other, _ = embed(TorchExtractor.load(checkpoint, "cpu"), waves)
    assert other is not None
    assert np.abs(other.vectors - scores.vectors).max() < 1e-3
    assert checkpoint.parity < 1e-4


def test_data_without_a_side_are_refused_before_the_work(corpus: Manifest, tmp_path: Path) -> None:
    one_sided = corpus.filter(lambda u: u.split != "dev" or not u.human)
    with pytest.raises(ManifestError, match="0 of 80 clips are human"):
        train(DETECTOR, one_sided, tmp_path / "run")
    assert len(DEV) * 2 * 4 == 80


def test_the_shipped_recipe_is_a_detector() -> None:
    recipe = Recipe.load("detector")
    assert recipe.backbone.dim == 1
    assert recipe.sampler.name == "two_sided"
