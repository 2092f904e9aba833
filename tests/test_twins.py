"""Twins of a batch: moved along what tells two sources apart; what is remembered of these; and a training with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from conftest import TINY_RECIPE
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe, TwinsChoice
from synthprint.training import loop
from synthprint.training.distributed import ProcessGroup
from synthprint.training.hardware import Hardware
from synthprint.training.loop import train
from synthprint.training.preflight import check_loss_fits_sampler, check_processes, preflight
from synthprint.training.twins import featured, with_twins
from synthprint.types import Manifest

LABELS = torch.tensor([0, 0, 3, 3, 1, 1])


def features(seed: int = 0) -> Tensor:
    return torch.randn(len(LABELS), 64, generator=torch.Generator().manual_seed(seed))


def made(choice: TwinsChoice, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return with_twins(x, LABELS, choice)


def test_a_twin_is_moved_by_a_mix_of_what_tells_sources_apart() -> None:
    x = features()
    rows, labels = made(TwinsChoice(copies=2), x)
    assert torch.equal(rows[:6], x)
    assert torch.equal(labels[:6], LABELS)
    means = torch.stack([x[label == LABELS].mean(dim=0) for label in (0, 3, 1)])
    directions = torch.linalg.svd(means - means.mean(dim=0)).Vh[:2]  # three sources span a plane
    for twin in (1, 2):
        part = slice(6 * twin, 6 * twin + 6)
        assert not set(labels[part].tolist()) & set(labels[: 6 * twin].tolist())
        assert torch.equal(labels[part].unique(return_inverse=True)[1], LABELS.unique(return_inverse=True)[1])
        moved = rows[part] - x
        torch.testing.assert_close(moved[::2], moved[1::2])  # a source moves as one
        torch.testing.assert_close(moved @ directions.T @ directions, moved, atol=1e-4, rtol=1e-4)
        assert (moved.norm(dim=1) > 1e-3).all()
        assert len({round(float(row.norm()), 4) for row in moved[::2]}) == 3
    far, _ = made(TwinsChoice(copies=2, share=2.0), x)
    torch.testing.assert_close(far[6:] - x.repeat(2, 1), 2 * (rows[6:] - x.repeat(2, 1)), atol=1e-5, rtol=1e-5)


def test_twins_are_as_far_apart_as_sources() -> None:
    """A share u from 0 to 1 of the mean square distance of two sources: a third of it in the mean."""
    x = features()
    means = torch.stack([x[label == LABELS].mean(dim=0) for label in (0, 3, 1)])
    between = float(torch.pdist(means).square().mean())
    moved = torch.stack([(made(TwinsChoice(copies=1), x, seed)[0][6:] - x)[::2] for seed in range(2000)])
    assert float(moved.square().sum(dim=2).mean()) == pytest.approx(between / 3, rel=0.1)


def test_features_and_head_are_the_backbone() -> None:
    network = SpectralStatistics(dim=4).eval()
    wave = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network.head(network.features(wave)), network(wave))


def test_what_cannot_have_twins_says_so() -> None:
    with pytest.raises(RecipeError, match="ThinResNet has no features apart"):
        featured(ThinResNet())
    with pytest.raises(RecipeError, match="a twin is none of them"):
        check_loss_fits_sampler(replace(recipe(), loss=LossChoice("aam_softmax")))
    with pytest.raises(RecipeError, match="copies = -1"):
        TwinsChoice(copies=-1)
    with pytest.raises(RecipeError, match="share = 0"):
        TwinsChoice(share=0.0)
    with pytest.raises(RecipeError, match="train in one process"):
        check_processes(recipe(), Hardware(), ProcessGroup(0, 2))


def test_twins_are_refused_before_anything_is_decoded(tiny_corpus: Manifest) -> None:
    halves = replace(recipe(), backbone=TINY_RECIPE.backbone)
    with pytest.raises(RecipeError, match="ThinResNet has no features apart"):
        preflight(halves, tiny_corpus, Hardware(), ProcessGroup())
    with pytest.raises(RecipeError, match="train in one process"):
        preflight(recipe(), tiny_corpus, Hardware(), ProcessGroup(0, 2))


def recipe() -> Recipe:
    return replace(
        TINY_RECIPE,
        backbone=BackboneChoice("spectral_statistics", 8, {"hidden": 0, "parts": ["level", "deviation"]}),
        loss=LossChoice("ge2e"),
        sampler=replace(TINY_RECIPE.sampler, name="balanced", utterances_per_source=2),
        twins=TwinsChoice(copies=1),
    )


def test_a_training_with_twins_goes_on_as_if_it_had_not_stopped(
    tiny_corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = tmp_path / "pack"
    monkeypatch.setattr(loop, "_finish", lambda *_: None)
    train(recipe(), tiny_corpus, tmp_path / "whole", pack_folder=pack)
    evaluated = loop.dev_eer

    def stop(*_: object) -> float:
        monkeypatch.setattr(loop, "dev_eer", evaluated)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "dev_eer", stop)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tiny_corpus, tmp_path / "stopped", pack_folder=pack)
    train(recipe(), tiny_corpus, tmp_path / "stopped", pack_folder=pack)
    train(replace(recipe(), twins=TwinsChoice()), tiny_corpus, tmp_path / "without", pack_folder=pack)
    states = {name: load_file(tmp_path / name / "state.safetensors") for name in ("whole", "stopped", "without")}
    assert states["whole"].keys() == states["stopped"].keys()
    assert all(torch.equal(tensor, states["stopped"][key]) for key, tensor in states["whole"].items())
    weights = "module.backbone.linear.weight"
    assert not torch.equal(states["whole"][weights], states["without"][weights])
