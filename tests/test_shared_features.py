"""A detector that is a head on the features of the model's extractor: what it says, and when it is one."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from conftest import TINY_RECIPE, run_cli, tone
from human_corpus import human_corpus
from human_detector import OPTIONS, write_detector
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.errors import CheckpointError
from synthprint.extractor import embedding
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.embedding import Embedded, embed_beside, embed_each, embed_wave
from synthprint.extractor.recipe import BackboneChoice, Crop, Recipe
from synthprint.extractor.runtime import (
    Extractor,
    HeadExtractor,
    OnnxExtractor,
    TorchExtractor,
    load_backbone,
    load_extractor,
)
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.human import DetectorPlan, store_detector
from synthprint.model.detector import HUMAN_FOLDER, Detector, load_detecting
from synthprint.model.model import Model
from synthprint.model.tunings import TimelineTuning
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.tracer import Tracer
from synthprint.training.export import write_checkpoint
from synthprint.types import Manifest

PLAN = DetectorPlan(kinds={"tts": 0.75, "codec": 0.25}, threads=1)
TUNING = TimelineTuning(0.5, 0.1, 1.0, 0.1, 0.1, 5.0, 0.1, 0.2, "another")
WAVES = [tone(source, 900 + source, duration_s) for source, duration_s in enumerate((0.3, 0.5, 0.8, 1.7, 0.5))]


def write_extractor(folder: Path, samples: int = TINY_RECIPE.crop.samples, parts: tuple[str, ...] = ("level",)) -> Path:
    """An extractor that has not been trained, of the detector's features unless it has other parts."""
    own = {**OPTIONS, "parts": list(parts)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        backbone = SpectralStatistics(8, **own)
    recipe = Recipe(backbone=BackboneChoice("spectral_statistics", 8, own), crop=Crop(samples))
    return write_checkpoint(backbone, recipe, {"a": ""}, folder).folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return human_corpus(tmp_path_factory.mktemp("human"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return write_detector(tmp_path_factory.mktemp("detector") / "run")


@pytest.fixture(scope="module")
def folder(corpus: Manifest, detector: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose detector has the features of its extractor."""
    model = write_extractor(tmp_path_factory.mktemp("model") / "model")
    _, failures = store_detector(model, corpus, detector.folder, PLAN)
    assert not failures
    return model


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model.load(folder, threads=2)


@pytest.fixture(scope="module")
def whole(detector: Checkpoint) -> Extractor:
    """The detector as a graph of its own."""
    return load_extractor(detector.folder, threads=1)


def all_of(extractor: Extractor, beside: Extractor | None) -> list[Embedded]:
    clips = [each for _, each in embed_each(extractor, [(str(i), w) for i, w in enumerate(WAVES)], beside=beside)]
    assert not any(isinstance(each, Exception) for each in clips)
    return [each for each in clips if isinstance(each, Embedded)]


def test_it_is_stored_as_a_head_with_the_same_weights(folder: Path, detector: Checkpoint) -> None:
    stored, extractor = Checkpoint.load(folder / HUMAN_FOLDER), Checkpoint.load(folder)
    assert stored.head
    assert stored.features == extractor.features
    assert stored.weights.read_bytes() == detector.weights.read_bytes()
    assert (stored.digest, stored.recipe, stored.results) == (detector.digest, detector.recipe, detector.results)
    assert stored.parity < 1e-4
    graph = onnx.load(stored.graph).graph
    assert [value.name for value in graph.input] == ["features"]
    assert len(graph.node) < len(onnx.load(detector.graph).graph.node) / 4


def test_a_head_beside_a_network_is_calibrated_under_its_own_digest(
    corpus: Manifest, detector: Checkpoint, tmp_path: Path
) -> None:
    """It is stored without the network's weights, so its digest is not that of the training run; and it can be
    calibrated again where it lies."""
    own = {**OPTIONS, "network": {"dim": 2, "widths": [2, 2, 2, 2, 2]}}
    extractor, scoring = SpectralStatistics(6, **own), SpectralStatistics(1, **own, network_use="input")
    state = scoring.state_dict()
    state["linear.weight"].zero_()  # what the network gives weighs nothing
    for name, value in load_backbone(detector).state_dict().items():
        (state[name][..., : value.shape[-1]] if value.ndim else state[name]).copy_(value)
    scoring.load_state_dict(state)
    assert extractor.network is not None
    assert scoring.network is not None
    scoring.network.load_state_dict(extractor.network.state_dict())
    model, run = tmp_path / "model", tmp_path / "run"
    beside = Recipe(backbone=BackboneChoice("spectral_statistics", 6, own), crop=TINY_RECIPE.crop)
    write_checkpoint(extractor, beside, {"a": ""}, model)
    choice = BackboneChoice("spectral_statistics", 1, {**own, "network_use": "input"})
    write_checkpoint(scoring, replace(beside, backbone=choice), detector.sources, run, detector.results)
    for source in (run, None):
        store_detector(model, corpus, source, PLAN)
        stored = Model.load(model, threads=1).detector
        assert stored is not None
        assert stored.digest == Checkpoint.load(model / HUMAN_FOLDER).digest != Checkpoint.load(run).digest


def test_its_scores_are_those_of_a_whole_graph(model: Model, whole: Extractor) -> None:
    """Of clips with one window, part of one, and several; together, and one by one."""
    assert isinstance(model.beside, HeadExtractor)
    shared, apart = all_of(model.extractor, model.beside), all_of(model.extractor, whole)
    assert max(len(each.windows) for each in shared) > 2
    for wave, one, other in zip(WAVES, shared, apart, strict=True):
        assert one.beside is not None
        assert other.beside is not None
        np.testing.assert_allclose(one.beside, other.beside, atol=1e-5)
        np.testing.assert_array_equal(one.vector, other.vector)
        alone = embed_beside(model.extractor, wave, model.beside)
        assert alone.beside is not None
        np.testing.assert_array_equal(alone.beside, one.beside)  # to the last bit, whatever stands beside it
        np.testing.assert_array_equal(embed_wave(model.beside, wave)[0], one.beside)
        np.testing.assert_array_equal(embed_wave(model.extractor, wave)[0], one.vector)
    assert len({float(each.beside[0]) for each in shared if each.beside is not None}) == len(WAVES)


def test_a_long_clip_is_embedded_in_parts(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = all_of(model.extractor, model.beside)
    monkeypatch.setattr(embedding, "LONG_WINDOWS", 2)
    monkeypatch.setattr(embedding, "CHUNK_WINDOWS", 2)
    for one, other in zip(all_of(model.extractor, model.beside), expected, strict=True):
        assert (one.vector == other.vector).all()
        assert one.beside == other.beside


def test_another_device_gives_close_to_the_same(folder: Path, model: Model) -> None:
    base = TorchExtractor.load(Checkpoint.load(folder), "cpu")
    head = HeadExtractor(Checkpoint.load(folder / HUMAN_FOLDER), base, 1)
    for one, other in zip(all_of(base, head), all_of(model.extractor, model.beside), strict=True):
        np.testing.assert_allclose(one.vector, other.vector, atol=1e-4)
        np.testing.assert_allclose(one.beside, other.beside, atol=1e-3)
    window = WAVES[1]
    vectors, scores = head.embed_beside([window, *[WAVES[4]] * 70])
    alone = head.embed_beside([window])
    assert (vectors[:1] == alone[0]).all()
    assert (scores[:1] == alone[1]).all()
    np.testing.assert_array_equal(base.embed_windows([window]), alone[0])


@pytest.fixture(scope="module")
def tracer(model: Model, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    tracer = Tracer(model, Gallery.create(tmp_path_factory.mktemp("gallery") / "g", model.digest), "cosine")
    for source in ("tts-0", "codec-0"):
        tracer.enrol(source, [corpus.audio_path(u) for u in corpus.split("dev") if u.source == source])
    return tracer


def test_answers_carry_the_detector_s_and_features_are_computed_once(
    tracer: Tracer, whole: Extractor, corpus: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracer.model.detector
    path = corpus.audio_path(corpus.split("test").utterances[0])
    apart = replace(tracer.model, detector=Detector(whole, tracer.model.detector.calibration))
    plain, wave = Tracer(apart, tracer.gallery, "cosine"), tone(0, 5, 0.5)
    of_wave = plain.trace_wave(wave, SAMPLE_RATE)
    expected, parts = plain.trace(path), plain.timeline(path, TUNING).parts
    assert expected.human
    computed: list[int] = []
    graph = tracer.extractor._graph  # type: ignore[attr-defined]
    run = graph.run
    monkeypatch.setattr(graph, "run", lambda rows: [computed.append(len(rows)), run(rows)][1])
    for answer, other in (
        (tracer.trace(path), expected),
        (next(iter(tracer.trace_many([path]))), expected),
        (tracer.trace_wave(wave, SAMPLE_RATE), of_wave),
    ):
        assert answer.human
        assert other.human
        assert answer.human.answer == other.human.answer
        assert answer.human.score == pytest.approx(other.human.score, abs=1e-5)
        assert answer.candidates == other.candidates
    assert computed == [2, 2, 1]  # windows of each clip
    for part, other_part in zip(tracer.timeline(path, TUNING).parts, parts, strict=True):
        assert part.trace.human
        assert other_part.trace.human
        assert part.trace.human.score == pytest.approx(other_part.trace.human.score, abs=1e-5)


def test_beside_another_extractor_it_computes_its_own(model: Model, tiny_checkpoint: Checkpoint) -> None:
    other = load_extractor(tiny_checkpoint.folder, threads=1)
    for one, expected in zip(all_of(other, model.beside), all_of(model.extractor, model.beside), strict=True):
        assert one.beside == expected.beside


def test_on_other_features_it_is_refused(folder: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    head = Checkpoint.load(folder / HUMAN_FOLDER)
    foreign = "is a head on features that this extractor does not give"
    others = [
        tiny_checkpoint.folder,  # it gives none
        write_extractor(tmp_path / "parts", parts=("change",)),  # as many
        write_extractor(tmp_path / "window", samples=head.window_samples + 1),
    ]
    for other in others:
        with pytest.raises(CheckpointError, match=rf"{HUMAN_FOLDER}: {foreign}"):
            HeadExtractor(head, load_extractor(other, threads=1))
        own = Path(shutil.copytree(other, tmp_path / f"with-{other.name}"))
        shutil.copytree(folder / HUMAN_FOLDER, own / HUMAN_FOLDER)
        for load in (Model.load, Detector.load):
            with pytest.raises(CheckpointError, match=foreign) as caught:
                load(own, threads=1)
            assert "\n" not in str(caught.value)


def test_by_itself_it_embeds_nothing(folder: Path) -> None:
    for load in (load_extractor, load_detecting, Model.load):
        with pytest.raises(CheckpointError, match="is a head on the features of another extractor, and embeds nothing"):
            load(folder / HUMAN_FOLDER)
    assert Detector.load(folder, threads=1)


def test_it_may_be_calibrated_again_where_it_lies(folder: Path, corpus: Manifest, tmp_path: Path) -> None:
    own = Path(shutil.copytree(folder, tmp_path / "model"))
    before = (own / HUMAN_FOLDER / "human.json").read_text()
    store_detector(own, corpus, None, PLAN)
    for name in ("model.onnx", "config.json", "model.safetensors"):
        assert (own / HUMAN_FOLDER / name).read_bytes() == (folder / HUMAN_FOLDER / name).read_bytes()
    slopes = [json.loads(text)["calibration"]["map"]["slope"]
              for text in (before, (own / HUMAN_FOLDER / "human.json").read_text())]  # fmt: skip
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)


def test_a_whole_one_that_lies_there_becomes_a_head(detector: Checkpoint, corpus: Manifest, tmp_path: Path) -> None:
    own = write_extractor(tmp_path / "model")
    shutil.copytree(detector.folder, own / HUMAN_FOLDER)
    store_detector(own, corpus, None, PLAN)
    assert Checkpoint.load(own / HUMAN_FOLDER).head
    assert isinstance(Model.load(own, threads=1).beside, HeadExtractor)


@pytest.mark.parametrize("why", ["other features", "another window", "no features", "no torch"])
def test_otherwise_it_stays_whole(
    why: str, detector: Checkpoint, corpus: Manifest, tiny_checkpoint: Checkpoint, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if why == "no features":
        own = Path(shutil.copytree(tiny_checkpoint.folder, tmp_path / "model"))
    else:
        samples = detector.window_samples + (why == "another window")
        own = write_extractor(tmp_path / "model", samples, ("change" if why == "other features" else "level",))
    if why == "no torch":
        monkeypatch.setitem(sys.modules, "synthprint.training.export", None)
    store_detector(own, corpus, detector.folder, PLAN)
    assert (own / HUMAN_FOLDER / "model.onnx").read_bytes() == detector.graph.read_bytes()
    beside = Model.load(own, threads=1).beside
    assert isinstance(beside, OnnxExtractor)


def test_a_head_of_another_model_is_not_stored(folder: Path, corpus: Manifest, tmp_path: Path) -> None:
    own = write_extractor(tmp_path / "model", parts=("change",))
    with pytest.raises(CheckpointError, match="is a head on features that this extractor does not give"):
        store_detector(own, corpus, folder / HUMAN_FOLDER, PLAN)
    assert not (own / HUMAN_FOLDER).exists()


def test_a_description_says_so(folder: Path) -> None:
    shown = run_cli("model", "show", folder)
    assert "a head on the extractor's features" in " ".join(shown.output.split())
    assert json.loads(run_cli("model", "show", folder, "--json").output)["human"]["head"] is True
