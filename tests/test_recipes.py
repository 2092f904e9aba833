"""Recipes: every shipped one loads, what is wrong is named, and what is resolved reads back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from synthprint import shelves
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Recipe, Schedule, shipped
from synthprint.sound.augmentation import Augmentation
from synthprint.training.export import write_checkpoint
from synthprint.training.modules import build, build_backbone
from synthprint.training.preflight import check_loss_fits_sampler

THIN_RESNET_ROWS = {
    ("softmax", "random"), ("softmax", "balanced"), ("am_softmax", "random"), ("am_softmax", "balanced"),
    ("aam_softmax", "random"), ("aam_softmax", "balanced"), ("angular_prototypical", "balanced"), ("ge2e", "balanced"),
}  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the recipe `network` would train, as RUN_NETWORK/best."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = Recipe.load("network")
    write_checkpoint(build_backbone(recipe.backbone), recipe, {"a": ""}, folder / "RUN_NETWORK" / "best")
    return folder


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_can_be_trained(name: str, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(network)
    recipe = Recipe.load(name)
    assert recipe == Recipe.load(shipped()[name])
    assert recipe.backbone.name in shelves.names("backbones")
    check_loss_fits_sampler(recipe)
    if recipe.backbone.name.startswith("ssl_"):  # without the weights, and without room for any
        own = {**recipe.backbone.options, "pretrained": False}
        with torch.device("meta"):
            built = build(replace(recipe, backbone=replace(recipe.backbone, options=own)), 24)
    else:
        built = build(recipe, 24)
    assert built["backbone"].dim == recipe.backbone.dim


def test_a_folder_of_a_recipe_s_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the run that it trained."""
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Recipe.load("tiny") == Recipe.load(shipped()["tiny"])


def test_the_paper_s_table_is_shipped() -> None:
    rows = set()
    for name in shipped():
        if name.startswith("paper/thin_resnet_"):
            recipe = Recipe.load(name)
            assert name == f"paper/thin_resnet_{recipe.loss.name}_{recipe.sampler.name}"
            rows.add((recipe.loss.name, recipe.sampler.name))
            assert recipe.backbone == BackboneChoice("thin_resnet", 50)
            assert recipe.schedule == Schedule(300, 10.0, 1e-4, 25, 0.0)
            assert recipe.crop.samples == 32_240
            assert recipe.augmentation == Augmentation()
            if recipe.sampler.name == "random":
                assert recipe.sampler.batch_size == 128
            else:
                needed = {"angular_prototypical": 2, "ge2e": 3}.get(recipe.loss.name, 1)
                assert (recipe.sampler.sources_per_batch, recipe.sampler.utterances_per_source) == (12, needed)
            # The reference trainer's GE2E alone has a floor under the cosines.
            assert recipe.loss.options.get("similarity_floor") == (1e-6 if recipe.loss.name == "ge2e" else None)
            if recipe.loss.name in ("am_softmax", "aam_softmax"):
                assert recipe.loss.options == {"margin": 0.1, "scale": 30.0}
    assert rows == THIN_RESNET_ROWS


def test_the_paper_s_ssl_rows_are_shipped() -> None:
    rows = {name for name in shipped() if name.startswith("paper/ssl_aasist_")}
    assert len(rows) == 4
    for name in rows:
        recipe = Recipe.load(name)
        assert name == f"paper/ssl_aasist_{recipe.loss.name}_{recipe.sampler.name}"
        assert recipe.backbone == BackboneChoice("ssl_aasist", 50, {"ssl": "facebook/wav2vec2-xls-r-300m"})
        assert recipe.schedule == Schedule(100, 10.0, 1e-4, 10, 0.0)
        assert recipe.loss.options == {"margin": 0.1, "scale": 30.0}
        assert recipe.crop.samples == 32_240
        assert (recipe.sampler.batch_size, recipe.sampler.sources_per_batch) == (
            (32, 12) if recipe.sampler.name == "random" else (128, 12)
        )


def test_defaults_are_the_paper_s_and_what_is_resolved_reads_back() -> None:
    recipe = Recipe.from_dict({})
    assert recipe == Recipe()
    assert recipe.to_dict()["sampler"]["batch_size"] == 128
    own = Recipe(
        seed=7,
        backbone=BackboneChoice("thin_resnet", 10, {"stem_stride": [2, 2], "scale": "linear"}),
        loss=LossChoice("ge2e", {"similarity_floor": 1e-6}),
        augmentation=Augmentation(codec=0.5, gain_db=12.0),
    )
    assert Recipe.from_dict(own.to_dict()) == own
    assert own.to_dict()["backbone"] == {"name": "thin_resnet", "dim": 10, "stem_stride": [2, 2], "scale": "linear"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("sede = 1", "unknown key 'sede'; there are: seed, backbone, loss"),
        ("[scheduel]\nepochs = 3", "unknown key 'scheduel'"),
        ("[schedule]\nepoch = 3", r"\[schedule\]: unknown key 'epoch'; there are: epochs, warmup_epochs"),
        ("[schedule]\nepochs = 3.5", r"\[schedule\]: epochs must be int, not 3\.5"),
        ("[schedule]\nepochs = true", r"\[schedule\]: epochs must be int, not True"),
        ('[schedule]\npeak_lr = "high"', r"\[schedule\]: peak_lr must be float, not 'high'"),
        ("[schedule]\npeak_lr = 0", r"\[schedule\]: peak_lr = 0\.0 must be positive"),
        ("[schedule]\npeak_lr = nan", "peak_lr = nan must be positive"),
        ("[schedule]\nweight_decay = -1", "weight_decay = -1.0 must not be negative"),
        ("[schedule]\nepochs = -1", r"\[schedule\]: epochs = -1 must be at least 0"),
        ("[sampler]\nname = 'rondom'", r"\[sampler\]: name 'rondom' is not one of: random, balanced, pages"),
        ("[sampler]\nbatch_size = 1", r"\[sampler\]: batch_size = 1 must be at least 2"),
        ("[backbone]\ndim = 0", r"\[backbone\]: dim = 0 must be at least 1"),
        ("[crop]\nsamples = 100", r"\[crop\]: samples = 100 must be at least 1600"),
        ("[augmentation]\ncodec = 2", r"\[augmentation\]: codec = 2\.0 is not a probability"),
        ("[augmentation]\ngain_db = nan", r"\[augmentation\]: gain_db = nan is not a size in dB"),
        ("backbone = 3", "backbone must be a table"),
        ("loss = 'aam'", "loss must be a table"),
        ("seed = -1", "seed = -1 must be from 0"),
        ("seed = 9223372036854775808", "must be from 0 to"),
        ("seed =", "cannot be read as a recipe"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=match) as caught:
        Recipe.load(tmp_path / "r.toml")
    assert str(caught.value).startswith(str(tmp_path / "r.toml"))
    assert str(caught.value).count("r.toml") == 1


def test_an_integer_will_do_for_a_float() -> None:
    schedule = Recipe.from_dict({"schedule": {"warmup_epochs": 3}}).schedule
    assert schedule.warmup_epochs == 3.0
    assert isinstance(schedule.warmup_epochs, float)


def test_names_of_shipped_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"nonsense: no such file, nor a shipped recipe; those are: .*tiny"):
        Recipe.load("nonsense")
    with pytest.raises(RecipeError, match="cannot be read as a recipe"):
        Recipe.load(tmp_path / "missing.toml")
    monkeypatch.chdir(tmp_path)
    Path("tiny").write_text("seed = 5")  # a file of that name goes first
    assert Recipe.load("tiny").seed == 5
    monkeypatch.setattr("synthprint.extractor.recipe.SHIPPED", (tmp_path / "nowhere",))
    assert shipped() == {}


def test_another_number_of_epochs_keeps_the_shares() -> None:
    recipe = replace(Recipe(), schedule=Schedule(epochs=300, warmup_epochs=10.0, eval_every=25))
    assert recipe.shortened(60).schedule == Schedule(epochs=60, warmup_epochs=2.0, eval_every=5)
    assert recipe.shortened(2).schedule.eval_every == 1
    assert recipe.shortened(300) == recipe


def test_settings_replace_values_and_say_which_of_them_is_wrong() -> None:
    recipe = Recipe.load("paper/thin_resnet_aam_softmax_random")
    changed = recipe.changed(
        ["seed = 4", "schedule.peak_lr=1e-3", "backbone.stem_stride=[2, 2]", "loss.margin=0.2", "sampler.name=balanced"]
    )
    assert (changed.seed, changed.schedule.peak_lr, changed.sampler.name) == (4, 1e-3, "balanced")
    assert changed.backbone.options == {"stem_stride": [2, 2]}
    assert changed.loss.options == {"margin": 0.2, "scale": 30.0}
    assert changed.schedule.epochs == recipe.schedule.epochs
    assert recipe.changed([]) == recipe
    for wrong, match in (
        ("seed", "'seed' is not of the form table.key=value"),
        ("sed=1", "setting 'sed=1': unknown key 'sed'"),
        ("schedul.epochs=1", "is not of the form"),
        ("schedule.epoch=1", r"setting 'schedule.epoch=1': \[schedule\]: unknown key 'epoch'"),
        ("schedule.epochs=many", "epochs must be int, not 'many'"),
        ("seed.x=1", "is not of the form"),
    ):
        with pytest.raises(RecipeError, match=match):
            recipe.changed(["loss.margin=0.3", wrong])
