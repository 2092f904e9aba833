"""Heads side by side on the same statistics: each learns for itself, and the embedding is all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conftest import SOURCES, TINY_RECIPE
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe
from synthprint.layers.blocks import Blocks
from synthprint.layers.log_spectrum import phase_delay, transform
from synthprint.training.distributed import ProcessGroup
from synthprint.training.modules import build, heads
from synthprint.training.step import Step, adam

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
WAVES = 0.1 * torch.randn(6, 8000, generator=torch.Generator().manual_seed(0))


def backbone_of(**options: Any) -> SpectralStatistics:
    torch.manual_seed(0)
    given: dict[str, Any] = {"dim": 12, "hidden": 6, "heads": 3, "parts": ("level", "deviation"), "dropout": 0.0}
    return SpectralStatistics(**given | options)


def statistics(count: int = 6) -> Tensor:
    return torch.randn(count, 128, generator=torch.Generator().manual_seed(1))


def recipe_of(loss: str) -> Recipe:
    options = {"hidden": 6, "heads": 3, "parts": ["level", "deviation"], "dropout": 0.0}
    return replace(TINY_RECIPE, loss=LossChoice(loss), backbone=BackboneChoice("spectral_statistics", 12, options))


def test_a_block_sees_its_part_of_the_inputs_alone() -> None:
    torch.manual_seed(0)
    layer = Blocks(6, 4, 2)
    x = torch.randn(5, 6)
    expected = torch.cat([x[:, :3] @ layer.weight[0], x[:, 3:] @ layer.weight[1]], dim=1) + layer.bias
    torch.testing.assert_close(layer(x), expected)
    changed = x.clone()
    changed[:, 3:] += 1.0
    assert torch.equal(layer(changed)[:, :2], layer(x)[:, :2])
    assert (layer(changed)[:, 2:] != layer(x)[:, 2:]).all()


def test_blocks_are_drawn_as_small_linear_layers_are() -> None:
    torch.manual_seed(0)
    weight, linear = Blocks(400, 80, 4).weight.detach(), nn.Linear(100, 20).weight.detach()
    assert weight.shape == (4, 100, 20)
    assert float(weight.abs().max()) <= 0.1
    assert float(weight.std()) == pytest.approx(float(linear.std()), rel=0.05)


@pytest.mark.parametrize("training", [True, False])
def test_each_head_is_of_length_one(training: bool) -> None:
    embedding = backbone_of().train(training).head(statistics())
    lengths = embedding.unflatten(1, (3, 4)).norm(dim=2)
    torch.testing.assert_close(lengths, torch.ones(6, 3))


def test_a_head_hangs_on_its_own_weights_alone() -> None:
    backbone = backbone_of().eval()
    before = backbone.head(statistics())
    with torch.no_grad():
        assert isinstance(backbone.hidden, nn.Sequential)
        backbone.linear.weight[:4] += 1.0  # of the first head …
        backbone.linear.bias[:4] += 1.0
        backbone.hidden[0].weight[:2] += 1.0  # … which has two of the six hidden values
        backbone.hidden[4].weight[0] += 1.0
        backbone.hidden[4].bias[:4] += 1.0
    after = backbone.head(statistics())
    assert torch.equal(after[:, 4:], before[:, 4:])
    assert not torch.allclose(after[:, :4], before[:, :4], atol=0.05)


def test_the_cosine_of_all_is_the_mean_of_the_heads() -> None:
    with torch.no_grad():
        a, b = backbone_of().eval().head(statistics(2))
    cosines = [float(F.cosine_similarity(a[k : k + 4], b[k : k + 4], dim=0)) for k in (0, 4, 8)]
    assert float(F.cosine_similarity(a, b, dim=0)) == pytest.approx(np.mean(cosines), abs=1e-5)


@pytest.mark.parametrize("options", [{"heads": 5}, {"heads": 4}, {"heads": 0}, {"heads": -1}])
def test_heads_that_do_not_fit_are_refused(options: dict[str, Any]) -> None:
    """12 dimensions and 6 hidden values: 4 divide the one, not the other."""
    with pytest.raises(RecipeError, match=f"dim 12 and hidden 6 do not fall into {options['heads']} heads"):
        backbone_of(**options)


def test_heads_without_a_hidden_layer() -> None:
    embedding = backbone_of(hidden=0).eval().head(statistics())
    torch.testing.assert_close(embedding.norm(dim=1), torch.full((6,), 3.0**0.5))


def test_a_backbone_that_says_nothing_has_one_head() -> None:
    assert heads(nn.Linear(2, 2)) == 1
    assert heads(backbone_of()) == 3


@pytest.mark.parametrize("loss", ["aam_softmax", "ge2e", "supervised_contrastive"])
def test_training_gives_each_head_the_loss_for_itself(loss: str) -> None:
    """A loss for heads of 4 dimensions each, and the mean of what it says of the three."""
    recipe = recipe_of(loss)
    modules, expected = build(recipe, SOURCES), build(recipe, SOURCES)
    step = Step(recipe, modules, adam(modules, recipe.schedule, "cpu"), ProcessGroup(), lambda x: x)
    modules.train()
    step(WAVES, LABELS, 0, 0, 4)
    parts = expected["backbone"].train()(WAVES).split(4, dim=1)
    losses = [expected["loss"](part, LABELS) for part in parts]
    assert len({float(each.detach()) for each in losses}) == 3
    mean = torch.stack(losses).mean()
    assert step.seen(1)["loss"] == pytest.approx(float(mean.detach()), rel=1e-5)
    mean.backward()
    for (name, found), other in zip(modules.named_parameters(), expected.parameters(), strict=True):
        assert found.grad is not None
        torch.testing.assert_close(found.grad, other.grad, atol=1e-6, rtol=1e-3, msg=name)


def test_whitened_is_a_map_after_training_alone() -> None:
    backbone, plain = backbone_of(whitened=True), backbone_of()
    plain.load_state_dict(backbone.state_dict(), strict=False)
    assert "whitening" not in plain.state_dict()
    assert torch.equal(backbone.state_dict()["whitening"], torch.eye(12))
    map_ = torch.randn(12, 12, generator=torch.Generator().manual_seed(3))
    assert backbone.whitening is not None
    backbone.whitening.copy_(map_)
    assert torch.equal(backbone.train().head(statistics()), plain.train().head(statistics()))
    with torch.no_grad():
        embedding = plain.eval().head(statistics())
        mapped = embedding / embedding.norm(dim=1, keepdim=True) @ map_
        torch.testing.assert_close(backbone.eval().head(statistics()), mapped)


@pytest.mark.parametrize("place", [100, 512, 800])
def test_the_phase_s_delay_is_where_in_a_frame_a_click_lies(place: int) -> None:
    """A click at n of N samples turns by 2 pi n / N a bin; one in the middle, by what is taken off."""
    wave = torch.zeros(1, 1024)
    wave[0, place] = 1.0
    cosine, sine = phase_delay(*transform(wave, 1024, 256, torch.hann_window(1024)))
    assert cosine.shape == sine.shape == (1, 512, 1)
    angle = np.pi - 2 * np.pi * place / 1024
    torch.testing.assert_close(cosine, torch.full_like(cosine, float(np.cos(angle))), atol=1e-3, rtol=0)
    torch.testing.assert_close(sine, torch.full_like(sine, float(np.sin(angle))), atol=1e-3, rtol=0)


def test_the_phase_s_delay_of_silence_is_nought() -> None:
    for part in phase_delay(*torch.zeros(2, 1, 8, 3)):
        assert torch.equal(part.abs(), torch.zeros(1, 7, 3))


def test_stacked_heads_are_mapped_to_a_smaller_embedding() -> None:
    backbone, plain = backbone_of(dim=5, stacked=12, whitened=True), backbone_of()
    assert (backbone.dim, backbone.of_heads, plain.of_heads) == (5, 12, 12)
    plain.load_state_dict(backbone.state_dict(), strict=False)
    with torch.no_grad():
        map_ = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
        backbone.whitening = map_
        embedding = plain.eval().head(statistics())
        mapped = embedding / embedding.norm(dim=1, keepdim=True) @ map_
        torch.testing.assert_close(backbone.eval().head(statistics()), mapped)
    assert backbone.train().head(statistics()).shape == (6, 12)


@pytest.mark.parametrize("options", [{"stacked": 5, "whitened": True}, {"stacked": 24}])
def test_stacked_heads_need_a_map_to_fewer_dimensions(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"stacked {options['stacked']} needs whitened = true, and at least dim 12"):
        backbone_of(**options)
