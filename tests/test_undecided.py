"""Pairs that are neither of one source nor surely of two: from the manifest to the loss, through every kind of step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import TINY_RECIPE
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe, TwinsChoice
from synthprint.training import loop
from synthprint.training.data import TrainingData
from synthprint.training.distributed import ProcessGroup
from synthprint.training.hardware import Hardware
from synthprint.training.loop import train
from synthprint.training.modules import build
from synthprint.training.resident import ResidentCorpus
from synthprint.training.step import Step, adam, prepared
from synthprint.training.twins import LABELS, undecided_with_copies
from synthprint.types import Manifest, Utterance

STATISTICS = BackboneChoice("spectral_statistics", 8, {"hidden": 0, "parts": ["level", "deviation"]})
CALLS: list[tuple[Tensor, Tensor]] = []  # what the loss below was given: labels, undecided


class PairsDecided(nn.Module):
    """The mean cosine of the pairs of two sources, without those that are undecided."""

    utterances_per_source = 2
    takes_undecided = True

    def __init__(self, dim: int, sources: int) -> None:  # noqa: ARG002
        super().__init__()

    def forward(self, embeddings: Tensor, labels: Tensor, undecided: Tensor) -> Tensor:
        CALLS.append((labels.clone(), undecided.clone()))
        pairs = (labels[:, None] != labels) & ~undecided
        unit = nn.functional.normalize(embeddings)
        return ((unit @ unit.T) * pairs).sum() / pairs.sum()

    def predict(self, embeddings: Tensor) -> None:  # noqa: ARG002
        return None


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


@pytest.fixture
def published(tiny_corpus: Manifest) -> Manifest:
    """The tiny corpus, in which two publishers have two families of three sources each between them."""

    def publish(u: Utterance) -> Utterance:
        return replace(u, publisher="one" if u.source < "source-3" else "other")

    return replace(tiny_corpus, utterances=tuple(map(publish, tiny_corpus)))


def recipe(copies: int = 0) -> Recipe:
    return replace(
        TINY_RECIPE,
        backbone=STATISTICS,
        loss=LossChoice("test_undecided:PairsDecided"),
        sampler=replace(TINY_RECIPE.sampler, name="balanced", sources_per_batch=5),
        twins=TwinsChoice(copies),
    )


def expected(sources: list[str]) -> list[list[bool]]:
    """By hand: two sources of one family (their numbers are both even, or both odd) from the two publishers."""
    numbers = [int(source[-1]) for source in sources]
    return [[a % 2 == b % 2 and (a < 3) != (b < 3) for b in numbers] for a in numbers]


def test_a_batch_knows_its_undecided_pairs(published: Manifest, tmp_path: Path) -> None:
    data = TrainingData.open(recipe(), published, tmp_path)
    corpus = ResidentCorpus(data, "cpu")
    indices = np.array([0, 24, 7, 3, 18, 11])
    pairs = data.undecided(indices)
    assert pairs.tolist() == expected([data.train.manifest.utterances[i].source for i in indices])
    assert pairs.any()
    assert torch.equal(pairs, pairs.T)
    assert not pairs.diagonal().any()
    for of in (data, corpus):
        ((_, labels, shared),) = list(prepared(of, 0, [(0, indices)], ProcessGroup()))
        assert torch.equal(shared, pairs)
        assert torch.equal(labels, torch.from_numpy(data.labels[indices]))


def test_what_the_pairs_depend_on_is_part_of_what_a_run_is_known_by(published: Manifest, tmp_path: Path) -> None:
    def digest(**changes: str) -> str:
        first, *others = published
        manifest = replace(published, utterances=(replace(first, **changes), *others))
        return TrainingData.open(recipe(), manifest, tmp_path).digest()

    digests = [digest(), digest(publisher="third"), digest(group="g"), digest(family="x")]
    assert len(set(digests)) == 4


@pytest.mark.parametrize("captured", [False, True])
def test_a_step_gives_them_to_a_loss_that_takes_them(captured: bool) -> None:
    modules = build(recipe(), 5)
    step = Step(recipe(), modules, adam(modules, recipe().schedule, "cpu"), ProcessGroup(), lambda x: x,
                captured=captured)  # fmt: skip
    labels, pairs = torch.tensor([0, 0, 1, 1]), torch.zeros(4, 4, dtype=torch.bool)
    pairs[0, 2] = pairs[2, 0] = True
    waveforms = 0.1 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(1))
    step(waveforms, labels, 0, 0, 2, pairs)
    step(waveforms, labels, 0, 1, 2)
    assert torch.equal(CALLS[0][1], pairs)
    assert not CALLS[1][1].any()


def test_a_copy_is_undecided_with_its_like_alone() -> None:
    pairs = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    assert undecided_with_copies(pairs, 3).tolist() == pairs.tolist()
    with_copies = undecided_with_copies(pairs, 9)
    assert with_copies.dtype == torch.bool
    places = {tuple(place) for place in with_copies.nonzero().tolist()}
    assert places == {(0, 1), (1, 0), (3, 4), (4, 3), (6, 7), (7, 6)}


@pytest.mark.parametrize("hardware", [Hardware(), Hardware(resident=True, capture=True)], ids=["plain", "resident"])
def test_a_training_leaves_them_out(
    published: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hardware: Hardware
) -> None:
    monkeypatch.setattr(loop, "_finish", lambda *_: None)
    train(recipe(copies=1), published, tmp_path / "run", pack_folder=tmp_path / "pack", hardware=hardware)
    assert CALLS
    for labels, pairs in CALLS:
        own = len(labels) // 2
        assert torch.equal(labels[own:], labels[:own] + LABELS)
        by_hand = torch.tensor(expected([f"source-{label}" for label in labels[:own]]))
        assert torch.equal(pairs, torch.block_diag(by_hand, by_hand))
        assert by_hand.any()
