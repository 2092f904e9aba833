"""`spectral_network` against a second route in numpy, and beside the heads of `spectral_statistics`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from synthprint.backbones.spectral_network import SpectralNetwork
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.errors import CheckpointError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Recipe, WeightsChoice
from synthprint.extractor.runtime import load_backbone
from synthprint.layers.spectral_convolutions import HOP_SAMPLES, N_FFT
from synthprint.training.export import write_checkpoint, write_head
from synthprint.training.modules import build, build_backbone

SMALL = (4, 4, 4, 6, 8)
PARTS = ("deviation", "phase")


@pytest.fixture
def waves() -> torch.Tensor:
    rng = np.random.default_rng(3)
    wave = rng.standard_normal((2, 12_000)) * np.clip(np.sin(np.arange(12_000) / 900.0), 0.0, 1.0)
    return torch.from_numpy((0.1 * wave).astype(np.float32) + 0.02)


def test_the_planes_are_level_delay_and_turn(waves: torch.Tensor) -> None:
    actual = SpectralNetwork(widths=SMALL).planes(waves)[1].numpy()
    wave = waves[1].double().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    starts = range(0, len(wave) - N_FFT + 1, HOP_SAMPLES)
    spectra = np.array([np.fft.rfft((wave - wave.mean())[s : s + N_FFT] * window) for s in starts]).T  # [F, t]
    power = np.abs(spectra) ** 2
    levels = (10 * np.log10(np.maximum(power / power.max(), 1e-9)) + 50) / 20
    np.testing.assert_allclose(actual[0], levels[1:, 1:], atol=2e-3)
    loud = (power[1:] > 1e-5 * power.max()) & (power[:-1] > 1e-5 * power.max())
    delay = np.angle(spectra[1:]) - np.angle(spectra[:-1]) + np.pi  # a sound in the middle turns by half a turn a bin
    np.testing.assert_allclose(actual[1][loud[:, 1:]], np.cos(delay)[:, 1:][loud[:, 1:]], atol=0.02)
    np.testing.assert_allclose(actual[2][loud[:, 1:]], np.sin(delay)[:, 1:][loud[:, 1:]], atol=0.02)
    advance = np.angle(spectra[:, 1:]) - np.angle(spectra[:, :-1]) - np.pi * np.arange(257)[:, None]
    both = (power[1:, 1:] > 1e-5 * power.max()) & (power[1:, :-1] > 1e-5 * power.max())
    np.testing.assert_allclose(actual[3][both], np.cos(advance)[1:][both], atol=0.02)
    np.testing.assert_allclose(actual[4][both], np.sin(advance)[1:][both], atol=0.02)


def test_level_and_offset_do_not_matter(waves: torch.Tensor) -> None:
    network = SpectralNetwork(dim=8, widths=SMALL).eval()
    with torch.inference_mode():
        torch.testing.assert_close(network(0.3 * waves - 0.1), network(waves), atol=1e-3, rtol=1e-3)


def test_widths_are_five() -> None:
    with pytest.raises(RecipeError, match="must be 5 numbers"):
        SpectralNetwork(widths=(4, 4))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A network's checkpoint, with statistics of its batch norms that are not those of a new one."""
    torch.manual_seed(1)
    choice = BackboneChoice("spectral_network", 6, {"widths": list(SMALL)})
    network = SpectralNetwork(dim=6, widths=SMALL)
    with torch.no_grad():
        network(torch.randn(8, 8000))
    write_checkpoint(network, Recipe(backbone=choice), {"a": ""}, tmp_path / "network")
    return tmp_path / "network"


def choice(network: Path, **options: object) -> BackboneChoice:
    return BackboneChoice(
        "spectral_statistics", 14, {"hidden": 8, "heads": 2, "parts": PARTS, "network": str(network), **options}
    )


def test_beside_the_heads_stands_the_network_s_embedding(trained: Path, waves: torch.Tensor) -> None:
    backbone = build_backbone(choice(trained))
    assert isinstance(backbone, SpectralStatistics)
    backbone.train()
    assert backbone.head(backbone.features(waves)).shape == (2, 8)  # the heads alone learn
    with torch.inference_mode():
        embedding = backbone.eval()(waves)
        expected = F.normalize(torch.nn.Module.__call__(load_network(trained), waves))
    torch.testing.assert_close(embedding[:, 8:], expected)
    assert not any(parameter.requires_grad for parameter in backbone.network.parameters())


def load_network(folder: Path) -> torch.nn.Module:
    from synthprint.extractor.checkpoint import Checkpoint

    return load_backbone(Checkpoint.load(folder)).eval()


def test_training_leaves_the_network_as_it_is(trained: Path, waves: torch.Tensor) -> None:
    backbone = build_backbone(choice(trained))
    before = {name: value.clone() for name, value in backbone.network.state_dict().items()}
    backbone.train()
    backbone(waves)
    assert all(torch.equal(value, before[name]) for name, value in backbone.network.state_dict().items())


def test_as_input_the_heads_see_it(trained: Path, waves: torch.Tensor) -> None:
    backbone = build_backbone(choice(trained, network_use="input")).eval()
    features = backbone.features(waves)
    with torch.inference_mode():
        embedding, moved = backbone.head(features), features.clone()
        moved[:, -1] += 1.0
        assert embedding.shape == (2, 14)
        assert not torch.equal(backbone.head(moved), embedding)


def test_a_checkpoint_needs_the_network_s_folder_no_more(trained: Path, waves: torch.Tensor, tmp_path: Path) -> None:
    backbone = build_backbone(choice(trained)).eval()
    recipe = Recipe(backbone=choice(trained))
    checkpoint = write_checkpoint(backbone, recipe, {"a": ""}, tmp_path / "whole")
    trained.rename(tmp_path / "elsewhere")
    with torch.inference_mode():
        torch.testing.assert_close(load_backbone(checkpoint).eval()(waves), backbone(waves))


def test_another_backbone_is_no_network(tmp_path: Path) -> None:
    statistics = BackboneChoice("spectral_statistics", 4, {"hidden": 0, "parts": list(PARTS)})
    write_checkpoint(build_backbone(statistics), Recipe(backbone=statistics), {"a": ""}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="takes a spectral_network"):
        build_backbone(choice(tmp_path / "other"))


def test_a_training_starts_from_a_checkpoint(trained: Path, waves: torch.Tensor, tmp_path: Path) -> None:
    choice = Checkpoint.load(trained).recipe.backbone
    recipe = Recipe(seed=9, backbone=choice, weights=WeightsChoice(start=str(trained)))
    backbone = build(recipe, sources=3)["backbone"].eval()
    with torch.inference_mode():
        assert torch.equal(backbone(waves), load_backbone(Checkpoint.load(trained)).eval()(waves))
    written = write_checkpoint(backbone, recipe, {}, tmp_path / "next")
    assert written.recipe.weights.start == Checkpoint.load(trained).digest  # and no folder of this machine


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (BackboneChoice("thin_resnet", 8), "is a spectral_network, and cannot start a thin_resnet"),
        (BackboneChoice("spectral_network", 9, {"widths": SMALL}), "its options or dimensions are not the recipe's"),
    ],
)
def test_a_training_starts_from_no_other_backbone(trained: Path, choice: BackboneChoice, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        build(Recipe(backbone=choice, weights=WeightsChoice(start=str(trained))), sources=3)


@pytest.mark.parametrize(
    ("options", "words"), [({"network_use": "below"}, "no network_use"), ({"heads": 3}, "3 heads")]
)
def test_what_does_not_fit_is_refused(trained: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        build_backbone(choice(trained, **options))


def test_a_head_is_stored_without_the_network(trained: Path, tmp_path: Path) -> None:
    """What it gives is among the features, which the extractor has."""
    recipe = Recipe(backbone=choice(trained, network_use="input"))
    whole = write_checkpoint(build_backbone(recipe.backbone), recipe, {"a": ""}, tmp_path / "whole")
    assert whole.features is not None
    head = write_head(whole, whole.features, tmp_path / "head")
    expected = {name for name in load_file(whole.weights) if not name.startswith("network.")}
    assert set(load_file(head.weights)) == expected
    assert head.digest != whole.digest
