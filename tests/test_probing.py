"""The linear probe: against torch, its split, its figures, and the order of its picture."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthprint.errors import EmbeddingsError, MissingDependency, RecipeError
from synthprint.exploring.probe import Confused, LinearLayer, Probe, ProbeSettings, probe, wilson
from synthprint.figures import confusion_figure
from synthprint.figures.ordering import reading_order
from synthprint.types import Embeddings, Labelled


def clusters(sizes: list[int], spread: float, seed: int = 0, dim: int = 8) -> tuple[Embeddings, list[str]]:
    """Embeddings of one cluster for each size, shuffled; source `s2` has `sizes[2]` of them."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 3 * rng.normal(size=(len(sizes), dim))
    vectors = centres[labels] + spread * rng.normal(size=(len(labels), dim))
    return Embeddings(tuple(map(str, range(len(labels)))), vectors), [f"s{label}" for label in labels]


def made(confusion: list[list[int]]) -> Probe:
    names = tuple(f"s{i}" for i in range(len(confusion)))
    return Probe(names, np.array(confusion), 100, 0.9, 0.5, {}, ProbeSettings(10))


def test_a_step_is_that_of_torch() -> None:
    import torch

    rng = np.random.default_rng(3)
    vectors, labels = rng.normal(size=(70, 6)), rng.integers(0, 5, 70)
    layer = LinearLayer.random(6, 5, rng)
    reference = torch.nn.Linear(6, 5).double()
    with torch.no_grad():
        reference.weight.copy_(torch.from_numpy(layer.weights))
        reference.bias.copy_(torch.from_numpy(layer.bias))
    optimizer, loss = torch.optim.SGD(reference.parameters(), lr=0.1), torch.nn.CrossEntropyLoss()
    for _ in range(40):
        batch = rng.permutation(70)[: int(rng.integers(1, 33))]
        layer.descend(vectors[batch], labels[batch], 0.1)
        optimizer.zero_grad()
        loss(reference(torch.from_numpy(vectors[batch])), torch.from_numpy(labels[batch])).backward()
        optimizer.step()
    np.testing.assert_allclose(layer.weights, reference.weight.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.bias, reference.bias.detach().numpy(), rtol=0, atol=1e-12)


def test_the_start_is_that_of_torch() -> None:
    import torch

    ours = LinearLayer.random(16, 500, np.random.default_rng(0))
    theirs = torch.nn.Linear(16, 500)
    for values, reference in ((ours.weights, theirs.weight), (ours.bias, theirs.bias)):
        assert values.shape == tuple(reference.shape)
        for found in (values, reference.detach().numpy()):
            assert np.abs(found).max() == pytest.approx(0.25, rel=0.02)
            assert found.std() == pytest.approx(0.25 / math.sqrt(3), rel=0.1)


def test_separate_clusters_are_told_apart_and_mixed_ones_are_not() -> None:
    embeddings, sources = clusters([50] * 4, spread=0.3)
    assert probe(Labelled(embeddings, sources)).accuracy == 1
    shuffled = np.random.default_rng(1).permutation(np.array(sources)).tolist()
    found = probe(Labelled(embeddings, shuffled), ProbeSettings(epochs=5))
    assert found.accuracy < 0.5
    assert found.interval[0] < found.chance < found.interval[1]


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    embeddings, sources = clusters([40] * 5, spread=4)
    results = [probe(Labelled(embeddings, sources), ProbeSettings(epochs=3, seed=seed)).to_dict() for seed in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0]["confusion"] != results[2]["confusion"]


def test_every_source_has_as_many_and_small_ones_are_left_out() -> None:
    embeddings, sources = clusters([30, 10, 20, 4], spread=1)
    smallest = probe(Labelled(embeddings, sources), ProbeSettings(epochs=1))
    assert smallest.settings.per_source == 4
    assert smallest.confusion.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert (smallest.train_utterances, smallest.left_out) == (12, {})
    chosen = probe(Labelled(embeddings, sources), ProbeSettings(per_source=10, test_share=0.3, epochs=1))
    assert chosen.sources == ("s0", "s1", "s2")
    assert chosen.confusion.sum(axis=1).tolist() == [3, 3, 3]
    assert (chosen.train_utterances, chosen.left_out) == (21, {"s3": 4})


def test_the_papers_numbers() -> None:
    embeddings, sources = clusters([300] * 24 + [500], spread=1, dim=4)
    found = probe(Labelled(embeddings, sources), ProbeSettings(epochs=1))
    assert (found.train_utterances, found.test_utterances, found.chance) == (6_000, 1_500, 0.04)


def test_what_is_held_out_does_not_train() -> None:
    """Noise of many dimensions is learnt by heart, and tells nothing of what was not seen."""
    rng = np.random.default_rng(0)
    embeddings = Embeddings(tuple(map(str, range(200))), rng.normal(size=(200, 400)))
    found = probe(Labelled(embeddings, ["a", "b"] * 100), ProbeSettings(epochs=30))
    assert found.train_accuracy == 1
    assert found.accuracy < 0.75


def test_train_loss_is_the_cross_entropy() -> None:
    embeddings, sources = clusters([20, 20, 20], spread=0.01)
    assert probe(Labelled(embeddings, sources)).train_loss < 0.02
    nothing = Embeddings(embeddings.ids, np.zeros_like(embeddings.vectors))  # only a guess is left: ln 3
    found = probe(Labelled(nothing, sources), ProbeSettings(batch_size=48, learning_rate=1.0, epochs=100))
    assert found.train_loss == pytest.approx(math.log(3), abs=1e-9)


def test_figures_of_a_matrix() -> None:
    found = made([[6, 3, 1], [0, 9, 1], [5, 0, 5]])
    assert found.accuracy == 20 / 30
    assert found.recalls == {"s0": 0.6, "s1": 0.9, "s2": 0.5}
    assert found.confused == [
        Confused("s2", "s0", 5, 10),
        Confused("s0", "s1", 3, 10),
        Confused("s0", "s2", 1, 10),
        Confused("s1", "s2", 1, 10),
    ]
    assert str(found.confused[0]) == "5 of 10 clips of s2 were taken for s0"
    assert json.loads(json.dumps(found.to_dict()))["confusion"] == [[6, 3, 1], [0, 9, 1], [5, 0, 5]]
    rows = list(csv.reader(io.StringIO(found.to_csv())))
    assert rows[0] == ["source", "s0", "s1", "s2"]
    assert rows[3] == ["s2", "5", "0", "5"]


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(1, 2000), st.data())
def test_wilson_is_that_of_scipy(trials: int, data: st.DataObject) -> None:
    from scipy.stats import binomtest

    hits = data.draw(st.integers(0, trials))
    low, high = wilson(hits, trials)
    reference = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert 0 <= low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= high <= 1


def test_what_cannot_be_probed_is_an_error() -> None:
    embeddings, sources = clusters([5, 5, 1], spread=1)
    with pytest.raises(
        EmbeddingsError, match=r"1 of 3 sources have a single utterance, the first is 's2'.*Say how many a source needs"
    ) as caught:
        probe(Labelled(embeddings, sources))
    assert caught.value.parameter == "per_source"
    with pytest.raises(EmbeddingsError, match="two sources with at least 6 utterances; there are 0"):
        probe(Labelled(embeddings, sources), ProbeSettings(per_source=6))
    with pytest.raises(EmbeddingsError, match="as many sources"):
        probe(Labelled(embeddings, sources[:-1]))
    for wrong in ({"test_share": 1.0}, {"learning_rate": 0.0}, {"epochs": 0}, {"batch_size": 0}, {"per_source": 1}):
        with pytest.raises(RecipeError):
            ProbeSettings(**wrong)  # type: ignore[arg-type]


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 1000))
def test_an_order_has_every_source_and_keeps_groups_together(n: int, n_groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confusion = rng.integers(0, 3, (n, n)) * rng.integers(0, 9, (n, n))
    groups = [f"g{g}" for g in rng.integers(0, n_groups, n)]
    order = reading_order(confusion, groups)
    assert sorted(order) == list(range(n))
    stretches = [groups[order[0]]]
    for index in order[1:]:
        if groups[index] != stretches[-1]:
            stretches.append(groups[index])
    assert len(stretches) == len(set(groups))


def test_the_order_needs_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(MissingDependency, match=r"scipy.*pip install 'synthprint\[evaluate\]'"):
        reading_order(np.eye(3, dtype=int), ["a", "b", "c"])


def test_sources_in_a_chain_of_confusion_stand_in_that_chain() -> None:
    n = 8
    chain = 20 * np.eye(n, dtype=int) + 4 * np.eye(n, k=1, dtype=int) + 4 * np.eye(n, k=-1, dtype=int)
    shuffle = np.random.default_rng(5).permutation(n)
    order = shuffle[reading_order(chain[np.ix_(shuffle, shuffle)], ["one"] * n)].tolist()
    assert order in (list(range(n)), list(range(n))[::-1])


def test_the_picture_names_what_it_shows_as_it_is_called(tmp_path: Path) -> None:
    confusion = 9 * np.eye(5, dtype=int)
    confusion[0, 3] = confusion[3, 0] = 4
    sources = ["$a$b$", "_hidden", "<b>&amp;--", "日本", "plain"]
    families = ["one", "two", None, "one", "plain"]
    for name in ("first", "second"):
        confusion_figure(confusion, sources, families, tmp_path / f"{name}.svg")
        confusion_figure(confusion, sources, families, tmp_path / f"{name}.png")
    for ending in ("svg", "png"):
        assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()
    text = (tmp_path / "first.svg").read_text()
    for name in ("$a$b$", "_hidden", "日本", "one", "two"):  # letters are outlines; comments say which
        assert f"<!-- {name} -->" in text
    assert text.count("<!-- plain -->") == 2  # on both axes; a family called as its only source is not named again
    assert text.count("<!-- 4 -->") == 2
