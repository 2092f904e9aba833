"""Simulated generators: reproducible, at their level, out of pauses, apart in their averaged spectra; in a batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import TINY_RECIPE, tone
from synthprint.errors import RecipeError
from synthprint.extractor.recipe import GeneratorsChoice, LossChoice, Recipe
from synthprint.training import generators
from synthprint.training.data import TrainingData
from synthprint.training.generators import (
    HOPS,
    LABELS,
    UPSAMPLINGS,
    Generator,
    _Stage,
    drawn_generator,
    give_generators,
    outliers,
)
from synthprint.training.preflight import check_loss_fits_sampler, refuse_augmentation
from synthprint.types import Manifest


def speech(seed: int, duration_s: float = 2.0) -> np.ndarray:
    """Noise that comes and goes, with half a second of a far quieter floor in its middle."""
    rng = np.random.default_rng(seed)
    wave = rng.standard_normal(round(16_000 * duration_s))
    wave = np.convolve(wave, [1, 0.9, 0.5], "same") * (1.2 + np.sin(np.arange(len(wave)) / 700 + seed))
    wave[12_000:20_000] *= 1e-4
    return (0.1 * wave).astype(np.float32)


def of_kind(upsampling: str, count: int) -> list[Generator]:
    drawn = (Generator(seed) for seed in range(1000))
    return list(islice((generator for generator in drawn if generator.upsampling == upsampling), count))


def test_every_architecture_is_drawn() -> None:
    drawn = [Generator(seed) for seed in range(200)]
    assert {g.upsampling for g in drawn} == set(UPSAMPLINGS)
    assert {g.activation for g in drawn} == set(generators.ACTIVATIONS)
    assert {g.native_rate for g in drawn} == set(generators.NATIVE_RATES_HZ)
    assert all(HOPS[0] <= np.prod(g.strides) <= HOPS[1] for g in drawn)
    assert len({g.strides for g in drawn}) > 50


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_a_seed_is_reproducible_at_its_level_and_silent_in_pauses(upsampling: str) -> None:
    for generator in of_kind(upsampling, 3):
        wave = speech(1)
        given = generator(wave, np.random.default_rng(5))
        assert given.dtype == np.float32
        assert given.shape == wave.shape
        added = generator.added(wave, np.random.default_rng(5))
        assert np.array_equal(given, wave + added)
        below_db = 10 * np.log10(np.mean(np.square(wave, dtype=float)) / np.mean(np.square(added, dtype=float)))
        assert below_db == pytest.approx(generator.level_db, abs=0.01)
        assert 20 <= generator.level_db <= 40
        assert np.abs(added[12_600:19_400]).max() == 0
        assert not np.array_equal(generator.added(wave, np.random.default_rng(6)), added)


def test_the_level_range_is_heeded_and_silence_stays_silence() -> None:
    levels = [Generator(seed, (30.0, 31.0)).level_db for seed in range(20)]
    assert min(levels) >= 30
    assert max(levels) <= 31
    assert not Generator(0)(np.zeros(8000, np.float32), np.random.default_rng(0)).any()
    assert len(Generator(0)(speech(0)[:700], np.random.default_rng(0))) == 700


def averaged(generator: Generator, clips: range) -> np.ndarray:
    """The ripple of the averaged spectrum of what a generator adds to some clips, scaled to length 1."""
    window = np.hanning(1024)
    power = [
        np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(added, 1024)[::256] * window)) ** 2
        for clip in clips
        for added in [generator.added(speech(clip), np.random.default_rng(clip))]
    ]
    mean = 10 * np.log10(np.concatenate(power).mean(axis=0) + 1e-12)[8:-8]
    ripple = mean - np.convolve(np.pad(mean, 7, "edge"), np.ones(15) / 15, "valid")
    return np.asarray(ripple / np.linalg.norm(ripple))


def test_averaged_spectra_of_transposed_upsampling_are_its_own() -> None:
    """The same generator on other speech is closer to itself than to any other generator."""
    drawn = of_kind("transposed", 6)
    first = np.stack([averaged(generator, range(4)) for generator in drawn])
    other = np.stack([averaged(generator, range(4, 8)) for generator in drawn])
    likeness = first @ other.T
    own = np.diag(likeness)
    others = likeness[~np.eye(len(drawn), dtype=bool)]
    assert (likeness.argmax(axis=1) == np.arange(len(drawn))).all()
    assert own.mean() > others.mean() + 0.5


@pytest.mark.parametrize(("kind", "stride"), [("nearest", 5), ("linear", 4), ("transposed", 3), ("subpixel", 8)])
def test_a_stage_is_the_upsampling_that_it_is_called(kind: str, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a constant, and against torch's own transposed convolution with the same kernel."""
    kernels = []
    real = generators._upsampling_kernel
    monkeypatch.setattr(generators, "_upsampling_kernel", lambda *a: kernels.append(real(*a)) or kernels[-1])
    stage = _Stage(np.random.default_rng(2), kind, stride, 3, 2, 0.5)
    x = torch.randn(1, 3, 40, generator=torch.Generator().manual_seed(0))
    weight = torch.from_numpy(kernels[0]).float().transpose(0, 1).contiguous()
    expected = F.conv_transpose1d(x, weight, stride=stride) + 0
    found = stage(x)
    assert found.shape == (1, 2, 40 * stride)
    bias = stage(torch.zeros_like(x))
    late = (-(-weight.shape[2] // stride) - 1) // 2 * stride  # the stage's output is centred on its input
    middle = slice(10 * stride, 30 * stride)
    shifted = expected[..., late:] if weight.shape[2] > stride else expected
    torch.testing.assert_close((found - bias)[..., middle], shifted[..., middle], atol=1e-5, rtol=1e-5)
    periodic = stage(torch.ones_like(x))[0, 0, middle]
    spread = float(periodic.reshape(-1, stride).std(dim=1).mean())
    assert (spread < 1e-5) == (kind in ("nearest", "linear"))  # the others leave a comb, whatever they have learnt


def test_a_source_of_a_batch_goes_as_one() -> None:
    labels = np.repeat([7, 3, 9, 4], 3)
    counts = []
    for seed in range(50):
        marked, given = give_generators(labels, GeneratorsChoice(count=5, share=0.5), np.random.default_rng(seed))
        for source in np.unique(labels):
            rows = np.flatnonzero(labels == source)
            assert len({id(given[row]) for row in rows}) == 1
            assert set(marked[rows]) == {source if given[rows[0]] is None else source + LABELS}
        through = {id(g) for g in given if g is not None}
        counts.append(len(through))
        assert len(through) == len(np.unique(marked[marked >= LABELS]))  # no two sources share one
    assert 1.5 < np.mean(counts) < 2.5
    marked, _ = give_generators(labels, GeneratorsChoice(count=1, share=1.0), np.random.default_rng(0))
    assert (marked == labels + LABELS).all()


def recipe(count: int, share: float = 1.0) -> Recipe:
    return replace(
        TINY_RECIPE,
        loss=LossChoice("ge2e"),
        sampler=replace(TINY_RECIPE.sampler, name="balanced", utterances_per_source=2),
        generators=GeneratorsChoice(count, share),
    )


def test_crops_go_through_generators_and_are_what_they_were_without(tiny_corpus: Manifest, tmp_path: Path) -> None:
    plain = TrainingData.open(recipe(0), tiny_corpus, tmp_path)
    indices = np.arange(6)
    crops, labels = plain.batch(indices, 0, 3)
    data = TrainingData.open(recipe(3), tiny_corpus, tmp_path)
    changed, marked = data.batch(indices, 0, 3)
    assert torch.equal(marked, labels + LABELS)
    power = crops.square().mean(dim=1) / (changed - crops).square().mean(dim=1)
    assert ((10 * power.log10() > 19.9) & (10 * power.log10() < 40.1)).all()
    again, _ = data.batch(indices, 0, 3)
    assert torch.equal(again, changed)
    part, whole = data.batch(indices, 0, 3, slice(1, None, 2))
    assert torch.equal(part, changed[1::2])
    assert torch.equal(whole, marked)


def test_outliers_are_of_systems_that_no_training_draws() -> None:
    waves = [tone(0, clip, 0.5) for clip in range(4)]
    rows = list(outliers(waves, 3))
    assert [name for name, _ in rows] == ["generator-0", "generator-1", "generator-2", "generator-0"]
    assert np.array_equal(rows[2][1], list(outliers(waves, 3))[2][1])
    assert not np.array_equal(rows[1][1], drawn_generator(1)(waves[1], np.random.default_rng([0, 1])))


def test_what_cannot_have_generators_says_so() -> None:
    with pytest.raises(RecipeError, match=r"simulated generator is none of them.*\[generators\] count = 0"):
        check_loss_fits_sampler(replace(recipe(3), loss=LossChoice("aam_softmax")))
    with pytest.raises(RecipeError, match=r"cannot be resident.*generators"):
        refuse_augmentation(recipe(3))
    refused = ({"count": -1}, "count"), ({"share": 0.0}, "share"), ({"least_db": 50.0}, "least_db"), (
        {"most_db": 90.0}, "most_db")  # fmt: skip
    for wrong, said in refused:
        with pytest.raises(RecipeError, match=said):
            GeneratorsChoice(**wrong)
