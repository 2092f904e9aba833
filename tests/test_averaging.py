"""Weights averaged over the last steps: the mean that they should be, kept, evaluated, and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY_RECIPE
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, LossChoice, Schedule
from synthprint.training import loop
from synthprint.training.averaging import add_average, evaluated
from synthprint.training.distributed import ProcessGroup
from synthprint.training.loop import train
from synthprint.training.modules import build
from synthprint.training.step import Step, adam
from synthprint.types import Manifest

RECIPE = replace(
    TINY_RECIPE,
    backbone=BackboneChoice("spectral_statistics", 8, {"hidden": 4, "parts": ["level", "deviation"]}),
    loss=LossChoice("ge2e"),
    sampler=replace(TINY_RECIPE.sampler, name="balanced", utterances_per_source=2),
    schedule=replace(TINY_RECIPE.schedule, average=0.9, eval_every=2),
)


def test_the_average_is_the_exponential_mean_of_what_the_steps_left() -> None:
    modules = build(RECIPE, 4)
    optimizer = adam(modules, RECIPE.schedule, "cpu")
    learning = [id(tensor) for group in optimizer.param_groups for tensor in group["params"]]
    add_average(modules)
    make_step = Step(RECIPE, modules, optimizer, ProcessGroup(), lambda waveforms: waveforms)
    modules.train()
    waves = torch.randn(8, 8000, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4).repeat_interleave(2)
    expected = {name: tensor.double() for name, tensor in modules["backbone"].state_dict().items()}
    for step in range(5):
        make_step(waves, labels, 0, step, 5)
        for name, tensor in modules["backbone"].state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * tensor.double()
    found = evaluated(modules).state_dict()
    for name, tensor in found.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), expected[name], atol=1e-5, rtol=1e-5)
        else:
            assert int(tensor) == 5
    assert not torch.equal(found["linear.weight"], modules["backbone"].state_dict()["linear.weight"])
    assert not torch.equal(found["standardise.running_mean"], torch.zeros(128))
    assert not {id(tensor) for tensor in modules["average"].parameters()} & set(learning)
    plain = build(RECIPE, 4)
    assert evaluated(plain) is plain["backbone"]


def test_the_average_is_kept_and_resumed(
    tiny_corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_finish", lambda *_: None)
    pack, whole, stopped = tmp_path / "pack", tmp_path / "whole", tmp_path / "stopped"
    recipe = replace(RECIPE, schedule=replace(RECIPE.schedule, eval_every=1))
    train(RECIPE, tiny_corpus, tmp_path / "at the end", pack_folder=pack)
    train(recipe, tiny_corpus, whole, pack_folder=pack)
    evaluated_dev = loop.dev_eer

    def stop(*_: object) -> float:
        monkeypatch.setattr(loop, "dev_eer", evaluated_dev)
        raise KeyboardInterrupt

    def once(*given: object) -> float:
        monkeypatch.setattr(loop, "dev_eer", stop)
        return evaluated_dev(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "dev_eer", once)  # the second evaluation, after a first state was written
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny_corpus, stopped, pack_folder=pack)
    train(recipe, tiny_corpus, stopped, pack_folder=pack)
    state, again = load_file(whole / "state.safetensors"), load_file(stopped / "state.safetensors")
    assert all(torch.equal(tensor, again[key]) for key, tensor in state.items())
    last = load_file(tmp_path / "at the end" / "state.safetensors")
    kept = load_file(tmp_path / "at the end" / "best.safetensors")  # the one evaluation is of the last weights
    assert all(torch.equal(tensor, last[f"module.average.{key}"]) for key, tensor in kept.items())
    assert not torch.equal(kept["linear.weight"], last["module.backbone.linear.weight"])


def test_a_share_is_below_one() -> None:
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(RecipeError, match="average"):
            Schedule(average=wrong)
