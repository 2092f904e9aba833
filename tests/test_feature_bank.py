"""Features computed once: those that are computed anyway, kept over kills and damage, and a training on them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from conftest import TINY_RECIPE, tone
from synthprint import background
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.errors import ManifestError, RecipeError
from synthprint.extractor.embedding import embed
from synthprint.extractor.recipe import BackboneChoice, Crop, FeaturesChoice, LossChoice, Recipe
from synthprint.extractor.runtime import TorchExtractor
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.augmentation import Augmentation
from synthprint.training import feature_bank, loop
from synthprint.training.data import TrainingData
from synthprint.training.distributed import ProcessGroup
from synthprint.training.feature_bank import ClipFeatures, FeatureBank, as_float16, changed_copy, features_of
from synthprint.training.feature_corpus import FeatureCorpus
from synthprint.training.hardware import Hardware
from synthprint.training.loop import train
from synthprint.training.modules import build
from synthprint.training.preflight import preflight
from synthprint.types import Manifest, Utterance

RECIPE = replace(
    TINY_RECIPE,
    backbone=BackboneChoice("spectral_statistics", 8, {"hidden": 0, "parts": ["level", "deviation"]}),
    loss=LossChoice("ge2e"),
    sampler=replace(TINY_RECIPE.sampler, name="balanced", utterances_per_source=2),
    features=FeaturesChoice(copies=2, shortest_s=0.3),
    augmentation=Augmentation(gain_db=12.0, noise=0.5),
)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start; one test has them."""
    monkeypatch.setattr(feature_bank, "processors", lambda: 1)


@pytest.fixture(scope="module")
def store(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny corpus lies decoded."""
    folder = tmp_path_factory.mktemp("pack")
    TrainingData.open(RECIPE, tiny_corpus, folder)
    return folder


@pytest.fixture
def fresh(tiny_corpus: Manifest, tmp_path: Path) -> TrainingData:
    """The tiny corpus, with no features yet."""
    return TrainingData.open(RECIPE, tiny_corpus, tmp_path / "pack")


def backbone_of(recipe: Recipe) -> torch.nn.Module:
    return build(recipe, 5)["backbone"].eval()


def corpus_of(data: TrainingData) -> FeatureCorpus:
    return FeatureCorpus(data, backbone_of(data.recipe), "cpu")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the clips whose features were computed, as it goes on."""
    ids: list[str] = []
    plain = ClipFeatures.__call__

    def noted(self: ClipFeatures, clip: feature_bank.Clip) -> tuple[str, int, np.ndarray]:
        ids.append(clip.id)
        return plain(self, clip)

    monkeypatch.setattr(ClipFeatures, "__call__", noted)
    return ids


def test_rows_are_the_features_of_windows_and_of_changed_copies(fresh: TrainingData) -> None:
    """Clips have 9600 samples and windows 8000: two a clip."""
    backbone = backbone_of(RECIPE)
    bank = FeatureBank(RECIPE, backbone, fresh.train.folder)
    rows, (train, dev), count = bank.rows((fresh.train, 2), (fresh.dev, 0))
    assert count == len(train) + len(dev) == len(fresh.train) + len(fresh.dev)
    assert rows.shape == (4 * len(train) + 2 * len(dev), bank.size)
    for index in (0, 5, len(train) - 1):
        wave, name = fresh.train.wave(index), fresh.train.manifest.utterances[index].id
        waves = [wave[:8000], wave[1600:], *(changed_copy(RECIPE, wave, name, copy) for copy in (0, 1))]
        with torch.no_grad():
            expected = np.concatenate([backbone.features(torch.from_numpy(each)[None]).numpy() for each in waves])
        own = train[index]
        assert (own.windows, own.copies) == (2, 2)
        np.testing.assert_array_equal(rows[own.first : own.first + 4], as_float16(expected))
    assert {(row.windows, row.copies) for row in dev} == {(2, 0)}


def test_a_changed_copy_is_a_stretch_of_its_own_length() -> None:
    recipe = replace(RECIPE, augmentation=Augmentation(), crop=Crop(12_000))
    wave = np.arange(20_000, dtype=np.float32)
    copies = [changed_copy(recipe, wave, "a", copy) for copy in range(200)]
    lengths = [len(copy) for copy in copies]
    assert min(lengths) >= 4800
    assert max(lengths) <= 12_000
    assert np.ptp(lengths) > 6000
    assert all(np.array_equal(copy, wave[int(copy[0]) : int(copy[0]) + len(copy)]) for copy in copies)
    assert len({float(copy[0]) for copy in copies}) > 100
    np.testing.assert_array_equal(changed_copy(recipe, wave, "a", 7), copies[7])
    assert not np.array_equal(changed_copy(recipe, wave, "b", 7), copies[7])
    other = replace(recipe, features=replace(recipe.features, seed=2))
    assert not np.array_equal(changed_copy(other, wave, "a", 7), copies[7])
    assert not np.array_equal(changed_copy(RECIPE, wave, "a", 7), changed_copy(recipe, wave, "a", 7))
    np.testing.assert_array_equal(changed_copy(recipe, wave[:3000], "a", 0), np.resize(wave[:3000], 4800))


def test_batches_are_drawn_from_the_rows(fresh: TrainingData) -> None:
    corpus = corpus_of(fresh)
    rows, (train, _), _ = FeatureBank(RECIPE, backbone_of(RECIPE), fresh.train.folder).rows(
        (fresh.train, 2), (fresh.dev, 0)
    )
    indices = np.tile(np.array([0, 7, 24, 3]), 100)
    found, labels = corpus.batch(indices, 1, 2)
    assert labels.tolist() == fresh.labels[indices].tolist()
    assert found.dtype == torch.float32
    drawn = []
    for index, row in zip(indices, found.numpy(), strict=True):
        own = rows[train[index].first : train[index].first + 4].astype(np.float32)
        drawn.append(int(np.flatnonzero((own == row).all(axis=1))[0]))
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [0.15, 0.15, 0.35, 0.35], atol=0.08)
    assert torch.equal(corpus.batch(indices, 1, 2, slice(3, 9))[0], found[3:9])
    assert torch.equal(corpus_of(fresh).batch(indices, 1, 2)[0], found)
    assert not torch.equal(corpus.batch(indices, 1, 3)[0], found)


def test_dev_embeddings_are_those_of_the_extractor(fresh: TrainingData) -> None:
    backbone = backbone_of(RECIPE)
    extractor = TorchExtractor(backbone, RECIPE.crop.samples, RECIPE.backbone.dim, "training")
    expected, failures = embed(extractor, ((u.id, fresh.dev.wave(i)) for i, u in enumerate(fresh.dev.manifest)))
    found = corpus_of(fresh).embed_dev(backbone)
    assert expected is not None
    assert found is not None
    assert not failures
    assert found.ids == expected.ids
    assert (found.vectors * expected.vectors).sum(axis=1).min() > 0.9999
    part = corpus_of(fresh).embed_dev(backbone, slice(1, None, 3))
    assert part is not None
    assert part.ids == expected.ids[1::3]
    assert corpus_of(fresh).embed_dev(backbone, slice(1000, None)) is None


def test_what_is_computed_is_not_computed_again(fresh: TrainingData, computed: list[str]) -> None:
    """Not after a kill, nor for another seed of the training; for another augmentation it is, and for a new clip."""
    plain = ClipFeatures.__call__
    total = len(fresh.train) + len(fresh.dev)

    def killed(self: ClipFeatures, clip: feature_bank.Clip) -> tuple[str, int, np.ndarray]:
        if len(computed) == 10:
            raise KeyboardInterrupt
        return plain(self, clip)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClipFeatures, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            corpus_of(fresh)
    assert len(computed) == 10
    again = corpus_of(fresh)
    assert again.computed == total - 10
    assert sorted(computed) == sorted(u.id for pack in (fresh.train, fresh.dev) for u in pack.manifest)
    assert corpus_of(replace(fresh, recipe=replace(RECIPE, seed=9, loss=LossChoice("softmax")))).computed == 0
    for other in (
        replace(RECIPE, augmentation=Augmentation(gain_db=3.0)),
        replace(RECIPE, crop=Crop(9000)),
        replace(RECIPE, backbone=replace(RECIPE.backbone, options={"hidden": 0, "parts": ["level", "change"]})),
    ):
        assert corpus_of(replace(fresh, recipe=other)).computed == total
    renamed = replace(fresh.train.manifest.utterances[0], id="new")
    fresh.train.manifest = replace(fresh.train.manifest, utterances=(renamed, *fresh.train.manifest.utterances[1:]))
    assert corpus_of(fresh).computed == 1


@pytest.mark.parametrize("damage", ["rows", "cut", "line", "half a line", "absurd", "gone"])
def test_damaged_rows_are_computed_again(damage: str, fresh: TrainingData) -> None:
    indices = np.arange(12)
    expected = corpus_of(fresh).batch(indices, 0, 0)[0]
    folder = FeatureBank(RECIPE, backbone_of(RECIPE), fresh.train.folder).folder
    rows, index = folder / "features.f16", folder / "index.jsonl"
    lines = index.read_text().splitlines()
    if damage == "rows":
        data = bytearray(rows.read_bytes())
        data[5] ^= 1
        rows.write_bytes(data)
    elif damage == "cut":
        rows.write_bytes(rows.read_bytes()[:-3])
    elif damage == "line":
        index.write_text("\n".join(["{", *lines[1:]]) + "\n")
    elif damage == "half a line":
        index.write_text("\n".join(lines)[:-10])
    elif damage == "absurd":
        absurd = json.dumps(json.loads(lines[0]) | {"first": -4})
        index.write_text("\n".join([absurd, *lines[1:]]) + "\n")
    else:
        rows.unlink()
    again = corpus_of(fresh)
    assert again.computed == (len(lines) if damage == "gone" else 1)
    assert torch.equal(again.batch(indices, 0, 0)[0], expected)
    assert corpus_of(fresh).computed == 0


def test_processes_of_their_own_give_the_same(fresh: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = corpus_of(fresh).batch(np.arange(12), 0, 0)[0]
    folder = FeatureBank(RECIPE, backbone_of(RECIPE), fresh.train.folder).folder
    (folder / "features.f16").unlink()
    monkeypatch.setattr(feature_bank, "processors", lambda: 2)
    assert torch.equal(corpus_of(fresh).batch(np.arange(12), 0, 0)[0], expected)
    assert not background._KEPT


def test_what_is_too_large_for_16_bits_is_cut_off_and_silence_has_no_window(tmp_path: Path) -> None:
    np.testing.assert_array_equal(as_float16(np.array([1e9, -np.inf, 1.5], np.float32)), [65504.0, -65504.0, 1.5])
    rows = []
    for name, split, level in (("a", "train", 0.5), ("b", "train", 1.2e-5), ("c", "dev", 0.5), ("d", "dev", 0.5),
                               ("e", "dev", 1.2e-5), ("f", "dev", 0.5)):  # fmt: skip
        wave = level * tone(ord(name) % 6, 0) / np.abs(tone(ord(name) % 6, 0)).max()
        soundfile.write(tmp_path / f"{name}.wav", wave, SAMPLE_RATE, "FLOAT")
        rows.append(Utterance(name, f"{name}.wav", "xy"[name in "bd"], split=split))
    data = TrainingData.open(RECIPE, Manifest(tuple(rows), tmp_path), tmp_path / "pack")
    corpus = corpus_of(data)
    assert corpus.batch(np.array([1] * 20), 0, 0)[0].isfinite().all()
    found = corpus.embed_dev(backbone_of(RECIPE))
    assert found is not None
    assert found.ids == ("c", "d", "f")
    assert features_of(backbone_of(RECIPE), []).shape == (0, 128)


def test_a_training_on_features_goes_on_as_if_it_had_not_stopped(
    tiny_corpus: Manifest, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_finish", lambda *_: None)
    recipe = replace(RECIPE, twins=replace(RECIPE.twins, copies=1))
    train(recipe, tiny_corpus, tmp_path / "whole", pack_folder=store)
    evaluated = loop.dev_eer

    def stop(*_: object) -> float:
        monkeypatch.setattr(loop, "dev_eer", evaluated)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "dev_eer", stop)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny_corpus, tmp_path / "stopped", pack_folder=store)
    train(recipe, tiny_corpus, tmp_path / "stopped", pack_folder=store)
    train(recipe, tiny_corpus, tmp_path / "captured", pack_folder=store, hardware=Hardware(capture=True))
    train(replace(recipe, features=FeaturesChoice()), tiny_corpus, tmp_path / "plain", pack_folder=store)
    names = ("whole", "stopped", "captured", "plain")
    states = {name: load_file(tmp_path / name / "state.safetensors") for name in names}
    for same in ("stopped", "captured"):
        assert all(torch.equal(tensor, states[same][key]) for key, tensor in states["whole"].items())
    weights = "module.backbone.linear.weight"
    assert not torch.equal(states["whole"][weights], states["plain"][weights])
    first = json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[0])
    assert first["feature_clips"] == len(tiny_corpus)
    assert first["features_s"] > 0
    assert "feature_clips" not in (tmp_path / "captured" / "log.jsonl").read_text()


def test_what_cannot_be_trained_on_features_says_so(tiny_corpus: Manifest, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"\[features\] backbone ThinResNet has no features apart"):
        preflight(replace(RECIPE, backbone=TINY_RECIPE.backbone), tiny_corpus, Hardware(), ProcessGroup())
    with pytest.raises(RecipeError, match="leave resident out") as caught:
        preflight(replace(RECIPE, augmentation=Augmentation()), tiny_corpus, Hardware(resident=True), ProcessGroup())
    assert caught.value.parameter == "resident"
    with pytest.raises(RecipeError, match="leave compile out"):
        preflight(RECIPE, tiny_corpus, Hardware(compile=True), ProcessGroup())
    with pytest.raises(RecipeError, match="those of backbone Learning learn"):
        preflight(replace(RECIPE, backbone=BackboneChoice(f"{__name__}:Learning", 8)), tiny_corpus, Hardware(),
                  ProcessGroup())  # fmt: skip
    with pytest.raises(RecipeError, match=r"shortest_s = 2\.0 is longer than a crop \(0\.5 s\)"):
        replace(RECIPE, features=FeaturesChoice(copies=1))
    for wrong in ({"copies": -1}, {"copies": 2000}, {"unchanged": 1.0}, {"shortest_s": 0.0}, {"seed": -1}):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            FeaturesChoice(**wrong)
    with pytest.raises(RecipeError, match=r"\[features\]: unknown key.*copy"):
        Recipe.from_dict({"features": {"copy": 1}})
    data = TrainingData.open(RECIPE, tiny_corpus, tmp_path / "pack")
    (tmp_path / "pack" / "features").write_text("in the way")
    with pytest.raises(ManifestError, match="features cannot be stored here"):
        corpus_of(data)


class Learning(SpectralStatistics):
    """Features that learn."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__(dim)
        self.gain = torch.nn.Parameter(torch.ones(1))

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.gain * super().features(waveform)
