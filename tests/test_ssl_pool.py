"""Frozen self-supervised features, averaged: equal to the library's own hidden states, and never trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import TINY_RECIPE, tone
from ssl_models import MODEL_TYPES, SIZE, tiny_configuration, tiny_folder
from synthprint.backbones.ssl_pool import SslPool
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, Recipe
from synthprint.extractor.runtime import load_backbone, load_extractor
from synthprint.training import export
from synthprint.training.loop import train
from synthprint.types import Manifest


def waves() -> Tensor:
    return torch.from_numpy(np.stack([tone(i, i)[:8000] for i in range(3)]))


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_equals_the_library_s_hidden_states(model_type: str, stable: bool, tmp_path: Path) -> None:
    from transformers import AutoModel

    changed: dict[str, Any] = {"num_hidden_layers": 3, "do_stable_layer_norm": stable}
    folder = tiny_folder(tmp_path, model_type, **changed)
    library, outputs = AutoModel.from_pretrained(folder).eval(), []
    for layer in library.encoder.layers:
        layer.register_forward_hook(
            lambda _module, _inputs, output: outputs.append(output[0] if isinstance(output, tuple) else output)
        )
    with torch.inference_mode():
        last = library(waves()).last_hidden_state
    for layer, expected in ((1, outputs[0]), (2, outputs[1]), (3, last), (None, last)):
        model = SslPool(SIZE, str(folder), layer).train()
        assert len(model.encoder.model.encoder.layers) == (layer or 3)
        with torch.inference_mode():
            torch.testing.assert_close(model(waves()), expected.mean(dim=1))


def test_nothing_learns() -> None:
    model = SslPool(SIZE, tiny_configuration(), pretrained=False).train()
    assert not any(p.requires_grad for p in model.parameters())
    assert torch.equal(model(waves()), model(waves()))
    assert not model(waves()).requires_grad


def test_refusals() -> None:
    with pytest.raises(RecipeError, match=r"dim = 50, but this encoder's frames have 16 .*: write dim = 16"):
        SslPool(50, tiny_configuration(), pretrained=False)
    for layer in (0, 3, -1):
        with pytest.raises(RecipeError, match=f"layer = {layer}: this encoder's layers are 1 to 2"):
            SslPool(SIZE, tiny_configuration(), layer, pretrained=False)


def test_the_shipped_recipe_is_of_the_encoder_s_size() -> None:
    choice = Recipe.load("ssl_pool").backbone
    with torch.device("meta"):
        model = SslPool(dim=choice.dim, **{**choice.options, "pretrained": False})
    assert len(model.encoder.model.encoder.layers) == choice.options["layer"]


@pytest.mark.parametrize("model_type", ["wavlm"])  # the one whose graph has an inner value called "embedding"
def test_a_checkpoint_of_one_layer(model_type: str, tmp_path: Path) -> None:
    own = {"ssl": str(tiny_folder(tmp_path / "ssl", model_type)), "layer": 1}
    recipe = Recipe(backbone=BackboneChoice("ssl_pool", SIZE, own), crop=TINY_RECIPE.crop)
    backbone = SslPool(SIZE, **own)
    checkpoint = export.write_checkpoint(backbone, recipe, {}, tmp_path / "checkpoint")
    (tmp_path / "ssl").rename(tmp_path / "elsewhere")
    again = load_backbone(checkpoint).eval()
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(again(waves()))
        torch.testing.assert_close(expected, torch.nn.functional.normalize(backbone(waves())))
    found = load_extractor(tmp_path / "checkpoint").embed_windows(list(waves().numpy()))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_epochs_it_is_evaluated_as_it_comes(tiny_corpus: Manifest, tmp_path: Path) -> None:
    own = {"ssl": str(tiny_folder(tmp_path / "ssl")), "layer": 1}
    schedule = replace(TINY_RECIPE.schedule, epochs=0)
    recipe = replace(TINY_RECIPE, backbone=BackboneChoice("ssl_pool", SIZE, own), schedule=schedule)
    checkpoint = train(recipe, tiny_corpus, tmp_path / "run", pack_folder=tmp_path / "pack")
    (tmp_path / "ssl").rename(tmp_path / "elsewhere")
    assert 0 < checkpoint.results["best_dev_eer"] < 0.5
    before, after = SslPool(SIZE, str(tmp_path / "elsewhere"), 1), load_backbone(checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    found = load_extractor(tmp_path / "run").embed_windows(list(waves().numpy()))
    with torch.inference_mode():
        np.testing.assert_allclose(found, torch.nn.functional.normalize(after.eval()(waves())), atol=1e-5)
