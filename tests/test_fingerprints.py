"""Fingerprints of a batch: combs and band edges in the statistics that show them, one a source; a step with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import TINY_RECIPE
from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import BackboneChoice, FingerprintsChoice, LossChoice, Recipe, TwinsChoice
from synthprint.training import fingerprints
from synthprint.training.distributed import ProcessGroup
from synthprint.training.fingerprints import (
    draw_fingerprints,
    fingerprint_columns,
    with_fingerprints,
    with_unheard,
)
from synthprint.training.hardware import Hardware
from synthprint.training.modules import build
from synthprint.training.preflight import check_loss_fits_sampler, check_processes, preflight
from synthprint.training.step import Step, adam
from synthprint.training.twins import LABELS
from synthprint.types import Manifest

NET = SpectralStatistics(dim=4, parts=("deviation", "finer", "fine", "level"))
COLUMNS = fingerprint_columns(NET)
SIZE = sum(PARTS[part] for part in NET.parts)
BATCH = torch.tensor([0, 0, 3, 3, 1, 1])


def test_the_columns_of_a_part_are_those_of_the_features() -> None:
    wave = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features, parts = NET.features(wave), NET.statistics(wave)
    assert NET.columns.keys() == parts.keys()
    assert all(torch.equal(features[:, NET.columns[part]], parts[part]) for part in parts)
    assert COLUMNS.keys() == {"finer", "fine", "level"}


def test_a_source_is_fingerprinted_as_one() -> None:
    x = torch.randn(6, SIZE, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    rows, labels = with_fingerprints(x, BATCH, FingerprintsChoice(copies=2), COLUMNS)
    assert torch.equal(rows[:6], x)
    assert torch.equal(labels, torch.cat([BATCH, BATCH + LABELS, BATCH + 2 * LABELS]))
    added = rows[6:] - x.repeat(2, 1)
    torch.testing.assert_close(added[::2], added[1::2])
    assert (torch.pdist(added[::2]) > 1).all()  # six sources, six fingerprints
    assert (added[:, NET.columns["deviation"]] == 0).all()


@pytest.mark.parametrize(("rate", "stage"), [(100.0, 1), (93.75, 8)])
def test_a_comb_is_that_of_tones_over_noise(rate: float, stage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second route: white noise with tones at the multiples of f through the backbone's own statistics."""
    monkeypatch.setattr(fingerprints, "NATIVE_RATES_HZ", (rate * 100,))
    monkeypatch.setattr(fingerprints, "STRIDES", (100,))
    monkeypatch.setattr(fingerprints, "CODEC_FRAME_RATES_HZ", (rate,))
    monkeypatch.setattr(fingerprints, "STAGES", (stage,))
    monkeypatch.setattr(fingerprints, "COMBS", 1)
    monkeypatch.setattr(fingerprints, "GAPS", 0.0)
    monkeypatch.setattr(fingerprints, "_uniform", lambda count, _: torch.full((count, 1), 0.5))  # half, no tilt
    added = draw_fingerprints(1, SIZE, FingerprintsChoice(1, 12.0, 0.0), COLUMNS)[0]
    spacing, seconds = rate * stage, 60
    rng = np.random.default_rng(0)
    time_s = np.arange(16_000 * seconds) / 16_000
    noise = rng.standard_normal(len(time_s))
    tones = sum(np.sin(2 * np.pi * n * spacing * time_s + rng.uniform(0, 7)) for n in range(1, int(8000 / spacing)))
    # Under a Hann window of 1024 a tone of amplitude a has the power (256 a)², white noise 384: 6 dB is s = 3.
    waves = torch.from_numpy(np.stack([noise, noise + np.sqrt(3 * 384) / 256 * tones])).float()
    with torch.no_grad():
        statistics = NET.statistics(waves)
    for part in ("fine", "finer"):
        expected = statistics[part][1] - statistics[part][0]
        found = added[NET.columns[part]]
        assert np.corrcoef(expected[4:-4], found[4:-4])[0, 1] > 0.93
        assert float(found[8:-8].max()) == pytest.approx(float(expected[8:-8].max()), rel=0.25)


def test_depth_bounds_the_teeth_and_edges_are_few() -> None:
    torch.manual_seed(0)
    shallow = draw_fingerprints(200, SIZE, FingerprintsChoice(1, 1.0, 0.0), COLUMNS)[:, NET.columns["fine"]]
    assert 0.05 < float(shallow.abs().amax(dim=1).mean()) < 2
    assert float(shallow.abs().max()) < 2 * fingerprints.COMBS
    torch.manual_seed(0)
    edged = draw_fingerprints(200, SIZE, FingerprintsChoice(1, 1.0, 0.3), COLUMNS)[:, NET.columns["fine"]]
    changed = (edged - shallow).abs()
    assert 0.2 < float((changed.amax(dim=1) > 1e-3).float().mean()) < 0.4
    assert float(changed[:, :300].max()) < 1e-3  # an edge stands above 6 kHz
    assert (draw_fingerprints(9, SIZE, FingerprintsChoice(1), COLUMNS).isfinite()).all()


def test_twins_are_drawn_as_without_fingerprints() -> None:
    x = torch.randn(6, SIZE, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    rows, labels = with_unheard(x, BATCH, TwinsChoice(2), FingerprintsChoice(), {})
    torch.manual_seed(3)
    more, labelled = with_unheard(x, BATCH, TwinsChoice(2), FingerprintsChoice(1), COLUMNS)
    assert torch.equal(more[:18], rows)
    assert torch.equal(labelled[:18], labels)
    assert torch.equal(labelled[18:], BATCH + 3 * LABELS)
    assert len(more) == 24


def recipe() -> Recipe:
    return replace(
        TINY_RECIPE,
        backbone=BackboneChoice("spectral_statistics", 8, {"hidden": 0, "parts": ["fine", "deviation"]}),
        loss=LossChoice("ge2e"),
        sampler=replace(TINY_RECIPE.sampler, name="balanced", utterances_per_source=2),
        fingerprints=FingerprintsChoice(copies=1),
    )


def test_a_step_learns_from_fingerprints_and_is_reproducible() -> None:
    waves = torch.randn(6, 8000, generator=torch.Generator().manual_seed(0))
    weights = {}
    for name, chosen in (("with", recipe()), ("again", recipe()), ("without", Recipe.from_dict(
        recipe().to_dict() | {"fingerprints": {"copies": 0}}
    ))):  # fmt: skip
        modules = build(chosen, 6)
        step = Step(chosen, modules, adam(modules, chosen.schedule, "cpu"), ProcessGroup(), lambda x: x)
        step(waves, BATCH, 0, 0, 4)
        weights[name] = modules["backbone"].linear.weight.detach().clone()
    assert torch.equal(weights["with"], weights["again"])
    assert not torch.equal(weights["with"], weights["without"])


def test_what_cannot_have_fingerprints_says_so(tiny_corpus: Manifest) -> None:
    with pytest.raises(RecipeError, match="ThinResNet has none of the parts fine, finer"):
        fingerprint_columns(ThinResNet())
    with pytest.raises(RecipeError, match="SpectralStatistics has none of the parts"):
        fingerprint_columns(SpectralStatistics(parts=["level"]))
    with pytest.raises(RecipeError, match=r"fingerprint is none of them.*\[fingerprints\] copies = 0"):
        check_loss_fits_sampler(replace(recipe(), loss=LossChoice("aam_softmax")))
    with pytest.raises(RecipeError, match=r"\[fingerprints\] are made of a whole batch"):
        check_processes(recipe(), Hardware(), ProcessGroup(0, 2))
    with pytest.raises(RecipeError, match="has none of the parts"):
        preflight(replace(recipe(), backbone=TINY_RECIPE.backbone), tiny_corpus, Hardware(), ProcessGroup())
    for wrong, said in (({"copies": -1}, "copies"), ({"depth_db": 0.0}, "depth_db"), ({"edges": 1.5}, "edges")):
        with pytest.raises(RecipeError, match=said):
            FingerprintsChoice(**wrong)
