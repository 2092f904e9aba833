"""A corpus on the device: its crops are the plain path's to the last bit, and its embeddings the extractor's."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from conftest import TINY_RECIPE
from synthprint.errors import RecipeError
from synthprint.extractor.embedding import embed
from synthprint.extractor.recipe import Crop, Recipe
from synthprint.extractor.runtime import TorchExtractor
from synthprint.manifests.packing import pack
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.augmentation import Augmentation
from synthprint.training import resident
from synthprint.training.data import TrainingData
from synthprint.training.modules import build
from synthprint.training.preflight import augments
from synthprint.training.resident import ResidentClips, ResidentCorpus
from synthprint.types import Manifest, Utterance


@pytest.fixture(scope="module")
def store(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny corpus lies decoded."""
    folder = tmp_path_factory.mktemp("pack")
    TrainingData.open(TINY_RECIPE, tiny_corpus, folder)
    return folder


def data_with(samples: int, manifest: Manifest, store: Path, recipe: Recipe = TINY_RECIPE) -> TrainingData:
    return TrainingData.open(replace(recipe, crop=Crop(samples)), manifest, store)


@pytest.mark.parametrize("samples", [2000, 9600, 25_000])  # clips have 9600: cut, whole, repeated
def test_crops_are_those_of_the_plain_path(samples: int, tiny_corpus: Manifest, store: Path) -> None:
    data = data_with(samples, tiny_corpus, store)
    corpus = ResidentCorpus(data, "cpu")
    indices = np.array([0, 7, 7, 24, 3])
    for epoch, step, part in ((0, 0, slice(None)), (3, 2, slice(2, 5))):
        crops, labels = data.batch(indices, epoch, step, part)
        firsts, same_labels = corpus.batch(indices, epoch, step, part)
        assert torch.equal(corpus.train.crops(firsts), crops)
        assert torch.equal(labels, same_labels)
        assert np.array_equal(
            corpus.train.firsts[indices[part]] + data.crop_starts(indices, epoch, step, part), firsts.numpy()
        )
    assert len(set(data.crop_starts(np.zeros(50, np.int64), 1, 1))) > (10 if samples < 9600 else 0)


def test_every_sample_value_is_scaled_to_the_same_bits(tmp_path: Path) -> None:
    """Clips of unlike lengths, one of them with every value that 16 bits have but -32768."""
    every = np.arange(-32767, 32768).astype(np.int16)
    for name, wave in (("a", every[::50]), ("b", every), ("c", every[::20])):
        soundfile.write(tmp_path / f"{name}.wav", wave / 32767, SAMPLE_RATE, "FLOAT")
    packed = pack(Manifest(tuple(Utterance(n, f"{n}.wav", "s") for n in "abc"), tmp_path), tmp_path / "pack")
    clips = ResidentClips(packed, 3000, "cpu")
    assert clips.firsts.tolist() == [0, 3000, 68_535]
    found = clips.crops(torch.arange(3000, 68_535 - 2999, 3000))
    expected = every.astype(np.float32) / np.float32(32767)
    assert np.array_equal(found.flatten().numpy(), expected[: found.numel()])
    for index, first in enumerate(clips.firsts):
        plain = packed.crop(index, 3000, np.random.default_rng(1))
        start = packed.crop_start(index, 3000, np.random.default_rng(1))
        assert np.array_equal(clips.crops(torch.tensor([int(first) + start]))[0].numpy(), plain)


@pytest.mark.parametrize("samples", [4000, 9600, 12_000])
@pytest.mark.parametrize("part", [slice(None), slice(1, None, 3)])
def test_dev_embeddings_are_those_of_the_extractor(
    samples: int, part: slice, tiny_corpus: Manifest, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "EVALUATION_BATCH", 7)  # the last batch is filled up
    data = data_with(samples, tiny_corpus, store)
    backbone = build(data.recipe, 5)["backbone"]
    own = list(enumerate(data.dev.manifest))[part]
    extractor = TorchExtractor(backbone, samples, data.recipe.backbone.dim, "training")
    expected, failures = embed(extractor, ((u.id, data.dev.wave(i)) for i, u in own))
    found = ResidentCorpus(data, "cpu").embed_dev(backbone, part)
    assert found is not None
    assert expected is not None
    assert not failures
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


def test_a_dev_clip_without_a_finite_embedding_is_left_out(tiny_corpus: Manifest, store: Path) -> None:
    data = data_with(8000, tiny_corpus, store)
    corpus = ResidentCorpus(data, "cpu")
    second_window = torch.from_numpy(data.dev.wave(2)[-8000:])

    class Fails(torch.nn.Module):
        def forward(self, waveform: torch.Tensor) -> torch.Tensor:
            assert torch.backends.cudnn.enabled  # cudnn.flags switches it off unless told otherwise
            fails = (waveform == second_window).all(dim=1, keepdim=True)
            return torch.where(fails, torch.nan, waveform[:, :4])

    found = corpus.embed_dev(Fails())
    assert found is not None
    assert found.ids == tuple(u.id for i, u in enumerate(data.dev.manifest) if i != 2)
    assert corpus.embed_dev(torch.nn.Sequential(Fails(), torch.nn.Threshold(2.0, torch.nan))) is None
    assert corpus.embed_dev(Fails(), slice(100, None)) is None  # more processes than clips


def test_all_but_silent_dev_clips_are_left_out_as_everywhere(tmp_path: Path) -> None:
    """Such a clip passes the decoder, and is silent once it is stored with 16 bits."""
    rng = np.random.default_rng(0)
    rows = []
    for name, split, level in (("a", "train", 0.3), ("b", "train", 0.3), ("c", "dev", 0.3), ("d", "dev", 0.3),
                               ("e", "dev", 1.2e-5)):  # fmt: skip
        wave = level * rng.uniform(-1, 1, 9000)
        soundfile.write(tmp_path / f"{name}.wav", wave, SAMPLE_RATE, "FLOAT")
        rows.append(Utterance(name, f"{name}.wav", "xy"[name in "bd"], split=split))
    rows.append(replace(rows[2], id="c2"))
    data = TrainingData.open(TINY_RECIPE, Manifest(tuple(rows), tmp_path), tmp_path / "pack")
    assert "e" in data.dev.index
    found = ResidentCorpus(data, "cpu").embed_dev(build(TINY_RECIPE, 2)["backbone"])
    assert found is not None
    assert found.ids == ("c", "d", "c2")


def test_where_the_corpus_lies(
    tiny_corpus: Manifest, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_with(8000, tiny_corpus, store)
    needed = 2 * 9600 * len(tiny_corpus)
    monkeypatch.setattr(resident, "free_bytes", lambda _: 2 * needed)
    assert resident.resident(data, "cpu", None) is None
    assert resident.resident(data, "cpu", False) is None
    assert resident.resident(data, "cuda", False) is None
    assert resident.resident(data, "cpu", True) is not None
    monkeypatch.setattr(resident, "free_bytes", lambda _: 2 * needed - 1)
    with pytest.raises(
        RecipeError, match=r"takes 0\.0 GB as samples, and on cpu there are 0\.0 GB.*leave resident"
    ) as caught:
        resident.resident(data, "cpu", True)
    assert caught.value.parameter == "resident"
    with caplog.at_level(logging.INFO):
        assert resident.resident(data, "cuda", None) is None
    assert "crops are cut on the CPU" in caplog.text
    noisy = data_with(8000, tiny_corpus, store, replace(TINY_RECIPE, augmentation=Augmentation(gain_db=3.0)))
    assert resident.resident(noisy, "cuda", None) is None
    with pytest.raises(RecipeError, match="crops are augmented"):
        resident.resident(noisy, "cpu", True)


def test_what_counts_as_augmentation() -> None:
    assert not augments(TINY_RECIPE)
    assert not augments(replace(TINY_RECIPE, augmentation=Augmentation(equaliser_db=3.0)))
    for name in ("equalise", "band_limit", "noise", "codec", "silence", "gain_db"):
        assert augments(replace(TINY_RECIPE, augmentation=Augmentation(**{name: 0.5})))
