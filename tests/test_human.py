"""A detector of human speech as part of a model: calibrated, measured, and leading every answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import run_cli
from human_corpus import DEV, PUBLISHERS, human_corpus
from human_detector import write_detector
from synthprint.calibration.calibration import Evidence
from synthprint.casework.clusters import cluster
from synthprint.casework.report import report
from synthprint.errors import CalibrationError, CheckpointError, ManifestError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.gallery.gallery import Gallery
from synthprint.measuring.human import DetectorPlan, clip_shares, kind_of, store_detector
from synthprint.measuring.human_figures import JudgedClips, figures
from synthprint.metrics import auroc
from synthprint.model.detector import HUMAN_FOLDER, RECORD, Detector, DetectorCalibration
from synthprint.model.model import Model
from synthprint.sound import audio
from synthprint.tracing.comparison import compare
from synthprint.tracing.tracer import Tracer
from synthprint.types import Manifest, Utterance

PLAN = DetectorPlan(kinds={"tts": 0.75, "codec": 0.25}, threads=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return human_corpus(tmp_path_factory.mktemp("human"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return write_detector(tmp_path_factory.mktemp("detector") / "run")


@pytest.fixture(scope="module")
def folder(
    corpus: Manifest, detector: Checkpoint, tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model with a calibrated detector."""
    model = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(tiny_checkpoint.folder, model)
    _, failures = store_detector(model, corpus, detector.folder, PLAN)
    assert not failures
    return model


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model.load(folder, threads=1)


@pytest.fixture(scope="module")
def tracer(model: Model, corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    tracer = Tracer(model, Gallery.create(tmp_path_factory.mktemp("gallery") / "g", model.digest), "cosine")
    for source in ("tts-0", "codec-0", "human"):
        tracer.enrol(source, [corpus.audio_path(u) for u in corpus.split("dev") if u.source == source])
    return tracer


def clips_of(corpus: Manifest, kind: str, split: str = "test") -> list[Path]:
    return [corpus.audio_path(u) for u in corpus.split(split) if kind_of(u) == kind]


def test_it_is_measured_on_publishers_that_it_never_met(folder: Path, model: Model, corpus: Manifest) -> None:
    assert model.detector is not None
    fitted = model.detector.calibration
    population = fitted.calibration.population
    assert population.sources == len(DEV)
    assert (population.targets, population.nontargets) == (4 * len(DEV), 8 * len(DEV))
    assert fitted.human_publishers == len(DEV)
    assert fitted.kinds == {"codec": 0.25, "tts": 0.75}
    assert set(fitted.figures) == {"dev", "test"}
    for split, publishers in (("dev", len(DEV)), ("test", PUBLISHERS - 13)):
        measured = fitted.figures[split]
        assert measured["human"]["clips"] == 4 * publishers
        assert set(measured["kinds"]) == {"tts", "codec"}
        assert measured["all"]["publishers"] == publishers
        assert measured["all"]["within_pages"]["pages"] == publishers
        assert measured["all"]["auroc"] > 0.9
    assert fitted == DetectorCalibration.load(folder / HUMAN_FOLDER, model.detector.digest)
    test = list(corpus.split("test"))
    answers = [model.detector.examine(audio.load(corpus.audio_path(u))) for u in test]
    human = np.array([u.human for u in test])
    assert auroc([a.score for a, h in zip(answers, human, strict=True) if h],
                 [a.score for a, h in zip(answers, human, strict=True) if not h]) > 0.9  # fmt: skip
    assert {a.answer for a, h in zip(answers, human, strict=True) if h} >= {"human"}


def test_answers_follow_the_evidence(model: Model) -> None:
    assert model.detector is not None
    fitted = replace(model.detector.calibration, least_log10_lr=0.3)
    grid = [fitted.answer(score) for score in np.linspace(-50, 50, 401)]
    assert [a.lr.log10_lr for a in grid] == sorted(a.lr.log10_lr for a in grid)
    for answer in grid:
        lr = answer.lr.log10_lr
        assert answer.answer == ("unclear" if abs(lr) < 0.3 else "human" if lr > 0 else "synthetic")
    assert (grid[0].words, grid[-1].words) == ("synthetic speech", "human speech")
    assert "times more probable with human speech than with synthetic speech" in grid[-1].statement
    assert f"(the most that {len(DEV)} validation publishers support)" in grid[-1].statement
    assert "times more probable with synthetic speech" in grid[0].statement
    with pytest.raises(CalibrationError):
        fitted.answer(float("nan"))


def test_publishers_that_trained_it_are_left_out_and_must_be_named(
    corpus: Manifest, detector: Checkpoint, tmp_path: Path
) -> None:
    nameless = Manifest(tuple(replace(u, publisher=None) for u in corpus), corpus.root, corpus.name)
    with pytest.raises(ManifestError, match="has a publisher"):
        store_detector(tmp_path, nameless, detector.folder, PLAN)
    trained = replace(PLAN, calibrated="train", tested="none")
    with pytest.raises(ManifestError, match="every publisher of the splits train and none trained"):
        store_detector(tmp_path, corpus, detector.folder, trained)
    few = corpus.filter(lambda u: u.publisher in ("page-3", "page-4"))
    with pytest.raises(CalibrationError, match="4 sources or more"):
        store_detector(tmp_path, few, detector.folder, PLAN)
    assert not (tmp_path / HUMAN_FOLDER).exists()


def test_an_extractor_is_no_detector(corpus: Manifest, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="8 dimensions"):
        store_detector(tmp_path, corpus, tiny_checkpoint.folder, PLAN)


def test_shares_are_those_declared() -> None:
    rows = [("human", "p", "human")] * 3 + [("human", "q", "human")]
    rows += [("tts", "p", "a")] * 4 + [("tts", "p", "b")] + [("tts", "q", "a")] + [("codec", "q", "c")] * 2
    rows += [("spss", "q", "d")]
    clips = [Utterance(str(i), str(i), source, publisher=publisher, extra={"kind": kind})
             for i, (kind, publisher, source) in enumerate(rows)]  # fmt: skip
    shares = clip_shares(clips, {"tts": 0.6, "codec": 0.2})
    assert shares[:4].tolist() == pytest.approx([1 / 6] * 3 + [1 / 2])
    assert shares[4:].tolist() == pytest.approx([0.75 / 16] * 4 + [0.75 / 4, 0.75 / 2, 0.125, 0.125, 0.0])
    assert shares[:4].sum() == pytest.approx(1)
    assert shares[4:].sum() == pytest.approx(1)


def test_figures_by_hand() -> None:
    human = np.array([True, True, False, False, False])
    clips = JudgedClips(
        human, np.array(["p", "q", "p", "q", "q"]), np.array(["human", "human", "tts", "tts", "codec"]),
        np.array([2.0, 0.0, 1.0, -1.0, 0.5]), np.array([1.0, 0.0, 0.5, -1.0, 0.1]),
        np.array([0.5, 0.5, 0.25, 0.25, 0.5]),
    )  # fmt: skip
    found = figures(clips, 0.3)
    assert found["kinds"]["tts"]["auroc"] == pytest.approx(0.75)  # 2 above both, 0 above one of them
    assert found["kinds"]["tts"]["within_pages"] == {"pages": 2, "auroc": 1.0}
    assert found["kinds"]["codec"]["within_pages"] == {"pages": 1, "auroc": 0.0}
    assert found["all"]["auroc"] == pytest.approx(0.5 * 1 + 0.5 * 0.25)
    assert found["human"]["answers"] == {"human": 0.5, "synthetic": 0.0, "unclear": 0.5}
    assert found["kinds"]["tts"]["answers"] == {"human": 0.5, "synthetic": 0.5, "unclear": 0.0}
    bits = [np.log2(1 + 0.1), np.log2(2), np.log2(1 + 10**0.5), np.log2(1.1), np.log2(1 + 10**0.1)]
    assert found["all"]["cllr"] == pytest.approx(float(np.dot(bits, clips.shares)) / 2, abs=1e-4)


@pytest.fixture(scope="module")
def spoken(tracer: Tracer, corpus: Manifest) -> Path:
    """A test clip that the detector finds human."""
    return next(path for path in clips_of(corpus, "human") if tracer.trace(path).spoken)


@pytest.fixture(scope="module")
def made(tracer: Tracer, corpus: Manifest) -> Path:
    """One that it finds synthetic."""
    traces = ((path, tracer.trace(path).human) for path in clips_of(corpus, "tts"))
    return next(path for path, human in traces if human and human.answer == "synthetic")


def test_a_trace_leads_with_it(tracer: Tracer, spoken: Path, made: Path) -> None:
    human, synthetic = tracer.trace_many([spoken, made])
    assert human.human
    assert synthetic.human
    assert human.verdict().startswith("human speech: no system is named as its maker")
    assert (human.source, human.family, human.rivals, human.statements, human.name) == (
        None,
        None,
        (),
        (),
        "human speech",
    )
    assert human.candidates
    assert synthetic.verdict().startswith(f"synthetic speech: {synthetic.candidates[0].source}")
    assert synthetic.source is not None
    assert human.to_dict()["human"]["answer"] == "human"
    assert list(human.to_dict())[:2] == ["path", "human"]
    again = tracer.trace(spoken)
    assert again.human
    assert again.human.score == pytest.approx(human.human.score)
    wave = audio.load(spoken)
    assert tracer.trace_wave(wave, 16_000).human == pytest.approx(again.human) or tracer.trace_wave(wave, 16_000).spoken
    bare = Tracer(replace(tracer.model, detector=None), tracer.gallery, "cosine").trace(spoken)
    assert bare.human is None
    assert bare.candidates == human.candidates
    assert bare.source is not None
    assert not bare.verdict().startswith(("human", "synthetic"))


def test_what_is_not_clear_is_said_and_changes_nothing_else(tracer: Tracer, made: Path) -> None:
    trace = tracer.trace(made)
    assert trace.human
    unclear = trace.with_human(replace(trace.human, answer="unclear", lr=Evidence(0.1, 0)))
    assert unclear.verdict() == trace.verdict().replace("synthetic speech", "human or synthetic is not clear", 1)
    assert unclear.source == trace.source


def test_a_comparison_says_it_of_each_clip(model: Model, spoken: Path, made: Path) -> None:
    found = compare(spoken, made, model)
    assert [found.human[str(path)].answer for path in (spoken, made)] == ["human", "synthetic"]
    assert any("no one source made both" in warning for warning in found.warnings)
    assert found.to_dict()["human"][str(spoken)]["answer"] == "human"
    assert compare(spoken, made, replace(model, detector=None)).human == {}


def test_clusters_leave_people_apart(model: Model, corpus: Manifest, spoken: Path, made: Path) -> None:
    others = list(clips_of(corpus, "codec")[:3])
    found = cluster([spoken, made, *others], model, None, 0.5)
    assert [exhibit.path for exhibit in found.spoken] == [str(spoken)]
    assert len(found.exhibits) == 4
    assert sorted(i for group in found.groups for i in group.members) == [0, 1, 2, 3]
    table = found.to_dict()
    assert [clip["path"] for clip in table["human"]] == [str(spoken)]
    assert table["clips"][0]["human"]["answer"] == "synthetic"
    assert cluster([spoken], model, None, 0.5).groups == ()


def test_a_report_begins_with_it(tracer: Tracer, spoken: Path, made: Path, tmp_path: Path) -> None:
    case = report([spoken, made], tmp_path / "report.html", tracer.gallery, tracer.model, record=tmp_path / "case.json")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Human speech. No system is named as its maker." in page
    assert "Synthetic speech. It resembles" in page
    assert "What the detector of human speech found is" in page
    assert case.method.detector
    assert "like speech of people than of systems" in page
    table = json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    assert table["clips"][0]["trace"]["human"]["answer"] == "human"
    assert table["method"]["detector"]["kinds"] == {"codec": 0.25, "tts": 0.75}


def test_the_command_line(
    folder: Path, detector: Checkpoint, corpus: Manifest, tracer: Tracer, spoken: Path, made: Path, tmp_path: Path
) -> None:
    corpus.save(corpus.root / "manifest.csv")
    own = tmp_path / "model"
    shutil.copytree(folder, own)
    shutil.rmtree(own / HUMAN_FOLDER)
    words = [
        "model",
        "human",
        own,
        "--data",
        corpus.root / "manifest.csv",
        "--kind",
        "tts=0.75",
        "--kind",
        "codec=0.25",
    ]
    shown = run_cli(*words, "--detector", detector.folder)
    assert "AUROC" in shown.output
    assert "human" in shown.output
    stored, expected = (json.loads((home / HUMAN_FOLDER / RECORD).read_text()) for home in (own, folder))
    assert stored["calibration"]["population"].pop("data") == "manifest.csv"
    assert expected["calibration"]["population"].pop("data") == "pages"
    assert stored == expected
    again = run_cli(*words, "--json", "--least-lr", "3")  # the one that lies there
    assert json.loads(again.output)["least_log10_lr"] == pytest.approx(np.log10(3))
    assert run_cli("model", "human", own, "--data", corpus.root / "manifest.csv", "--kind", "tts", status=2)
    options = ["--gallery", tracer.gallery.folder, "--model", folder]
    assert "human speech: no system" in run_cli("trace", spoken, *options, "--backend", "cosine").output
    lines = run_cli("trace", spoken, made, *options, "--backend", "cosine").output.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["human", "synthetic"]
    assert f"{spoken}: human speech, " in run_cli("compare", spoken, made, "--model", folder).output
    shown = run_cli("cluster", spoken, made, "--no-gallery", "--model", folder, "--threshold", "0.5")
    assert f"human speech: {spoken}, " in shown.output
    assert "1 clip in 1 group" in shown.output


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda table: table.pop("calibration"), "calibration"),
        (lambda table: table.update(format="other"), "format"),
        (lambda table: table["kinds"].update(tts=2.0), "kinds"),
        (lambda table: table.update(least_log10_lr=-1.0), "least_log10_lr"),
        (lambda table: table["calibration"].update(lower=1.0), "calibration"),
    ],
)
def test_a_damaged_record_is_named(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    own = tmp_path / "model"
    shutil.copytree(folder, own)
    record = own / HUMAN_FOLDER / RECORD
    table = json.loads(record.read_text(encoding="utf-8"))
    change(table)
    record.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(CheckpointError, match=why):
        Detector.load(own, threads=1)


def test_what_is_not_calibrated_is_no_detector_of_the_model(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "model"
    shutil.copytree(folder, own)
    (own / HUMAN_FOLDER / RECORD).unlink()
    assert Model.load(own, threads=1).detector is None
    shutil.rmtree(own / HUMAN_FOLDER)
    assert Model.load(own, threads=1).detector is None
