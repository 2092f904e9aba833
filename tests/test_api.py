"""What a command does is one call from Python, and the library speaks of parameters where the commands have options."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import synthprint
from conftest import run_cli
from synthprint import cli
from synthprint.cli import terminal
from synthprint.errors import CheckpointError, EmbeddingsError, GalleryError, OutputError, SynthprintError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.model.model import Model, open_model
from synthprint.model.tunings import TimelineTuning
from synthprint.sound.conditions import Conditions
from synthprint.types import Manifest

PACKAGE = Path(synthprint.__file__).parent
SHORT = Conditions(0.1, 8000.0, -3.0, 0.0, 40.0, 0.1, 0.0, False)


def clip(corpus: Manifest, source: int, number: int) -> Path:
    return corpus.root / f"source-{source}" / f"{number}.wav"


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint) -> Model:
    return Model.load(tiny_checkpoint.folder, threads=1)


@pytest.fixture(scope="module")
def gallery(model: Model, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, enrolled one after the other."""
    folder = tmp_path_factory.mktemp("api") / "gallery"
    for source in range(2):
        paths = [clip(tiny_corpus, source, number) for number in range(3)]
        enrolled = synthprint.enrol(folder, f"source-{source}", paths, family="f", model=model)
        assert len(enrolled.added) == enrolled.clip_counts[f"source-{source}"] == 3
    return folder


def test_a_model_is_what_lies_in_its_folder(model: Model, tiny_checkpoint: Checkpoint) -> None:
    assert model.digest == model.extractor.digest == tiny_checkpoint.digest
    assert (model.folder, model.card) == (tiny_checkpoint.folder, None)
    assert (model.calibrations, model.limits, model.timeline, model.clusters) == (None, None, None, None)
    assert model.beyond_limits(SHORT) == ("lasts 0.10 s; below 0.5 s an answer is less sure",)
    assert model.beyond_limits(replace(SHORT, duration_s=3.0)) == ()
    assert open_model(model) is model


def test_the_shipped_model_has_been_measured() -> None:
    model = Model.load(threads=1)
    assert model.calibrations is not None
    assert model.timeline is not None
    assert model.clusters is not None
    assert model.card is not None
    assert model.card.startswith("# ")
    assert "lasts 0.1" in model.beyond_limits(SHORT)[0]  # whether limits were measured or not


def test_a_card_that_is_no_text_is_refused(model: Model, tmp_path: Path) -> None:
    assert replace(model, folder=None).card is None
    moved = replace(model, folder=tmp_path)
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match=r"README\.md: is not UTF-8 text .*; take it away"):
        _ = moved.card
    (tmp_path / "README.md").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(CheckpointError, match=r"README\.md: is larger than any model card"):
        _ = moved.card


def test_a_tracer_is_loaded_with_what_an_answer_lists(model: Model, gallery: Path, tiny_corpus: Manifest) -> None:
    tracer = synthprint.Tracer.load(model=model, gallery=gallery, top=1, nearest=2, backend="knn")
    trace = tracer.trace(clip(tiny_corpus, 0, 5))
    assert (len(trace.candidates), len(trace.nearest), trace.backend) == (1, 2, "knn")
    assert tracer.model is model
    by_place = synthprint.Tracer.load(gallery, model.folder, "knn", 1, "auto")
    assert by_place.trace(clip(tiny_corpus, 0, 5)).candidates[0] == trace.candidates[0]
    assert synthprint.Tracer.load(tracer.gallery, model).gallery is tracer.gallery


def test_enrolling_is_one_call(model: Model, gallery: Path, tiny_corpus: Manifest, tmp_path: Path) -> None:
    clips = [clip(tiny_corpus, 4, 0), tmp_path / "missing.wav"]
    enrolled = synthprint.enrol(tmp_path / "mine", "new", clips, model=model, start_from=gallery)
    assert (enrolled.added, enrolled.sources) == (("0.wav (3)",), 3)
    assert enrolled.clip_counts == {"new": 1, "source-0": 3, "source-1": 3}
    assert enrolled.failures == {str(tmp_path / "missing.wav"): "no such file"}
    again = synthprint.enrol(str(tmp_path / "mine"), "new", clips[:1], model=model.folder)
    assert (again.added, again.already, again.clip_counts["new"]) == ((), {"0.wav": "0.wav (3)"}, 1)
    with pytest.raises(GalleryError, match="there is a gallery already"):
        synthprint.enrol(tmp_path / "mine", "new", clips, model=model, start_from=gallery)
    with pytest.raises(EmbeddingsError, match="none of 0 clips can be enrolled; no clips were given"):
        synthprint.enrol(tmp_path / "other", "new", [], model=model)
    assert not (tmp_path / "other").exists()


def test_grouping_is_one_call(model: Model, gallery: Path, tiny_corpus: Manifest) -> None:
    paths = [clip(tiny_corpus, 0, 4), clip(tiny_corpus, 0, 5)]
    found = synthprint.cluster(paths, model, gallery, -1.0)
    assert isinstance(found, synthprint.Clustering)
    (group,) = found.groups
    assert group.trace is not None
    assert group.trace.enrolled == 2
    assert found.extractor == model.digest
    assert synthprint.cluster(paths, model, gallery=None, threshold=-1.0).groups[0].trace is None
    with pytest.raises(GalleryError, match="extractor"):  # the gallery that comes with synthprint is of another one
        synthprint.cluster(paths, model, threshold=-1.0)
    clip_of_ours = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt" / "01.flac"
    (group,) = synthprint.cluster([clip_of_ours]).groups
    assert group.trace is not None
    assert (group.trace.source or "").startswith("flite")


def test_a_report_is_one_call(model: Model, gallery: Path, tiny_corpus: Manifest, tmp_path: Path) -> None:
    page, table = tmp_path / "case.html", tmp_path / "case.json"
    paths = [clip(tiny_corpus, 0, 4), tmp_path / "missing.wav"]
    case = synthprint.report(paths, page, gallery, model, case="No. 7", record=table)
    assert isinstance(case, synthprint.Case)
    assert set(case.failures) == {str(tmp_path / "missing.wav")}
    assert "<title>No. 7</title>" in page.read_text()
    assert json.loads(table.read_text()) == json.loads(json.dumps(case.to_dict()))
    call = case.method.command
    assert call.startswith(f"synthprint.report(['{paths[0]}', '{paths[1]}'], '{page}', gallery='{gallery}', model=")
    first = page.read_bytes()
    page.unlink()
    eval(call, {"synthprint": synthprint})
    assert page.read_bytes() == first
    with pytest.raises(OutputError, match=r"its name must end in \.html"):
        synthprint.report(paths, tmp_path / "case.pdf", gallery, model)


def test_the_other_answers_are_calls_of_a_tracer(model: Model, gallery: Path, tiny_corpus: Manifest) -> None:
    tuning = replace(TimelineTuning.shipped(), extractor=model.digest, window_s=0.5)
    tracer = synthprint.Tracer.load(gallery, replace(model, timeline=tuning))
    paths = [clip(tiny_corpus, 0, 4), clip(tiny_corpus, 1, 4)]
    assert all(isinstance(answer, synthprint.Trace) for answer in tracer.trace_many(paths))
    assert isinstance(next(tracer.trace_many(["missing.wav"])), synthprint.Failure)
    comparison = tracer.compare(*paths)
    assert isinstance(comparison, synthprint.Comparison)
    assert comparison == synthprint.compare(*paths, model)
    timeline = tracer.timeline(paths[0])
    assert isinstance(timeline, synthprint.Timeline)
    assert timeline.tuning == tuning
    assert np.isfinite(timeline.scores).all()


# Errors.
def test_an_error_names_its_parameter_and_the_command_line_its_option(
    model: Model,
    gallery: Path,
    tiny_corpus: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = clip(tiny_corpus, 0, 0)
    with pytest.raises(GalleryError, match="give a threshold, a mean cosine from -1 to 1") as caught:
        synthprint.cluster([path], model, gallery=None)
    assert caught.value.parameter == "threshold"
    cases = {
        ("cluster", path, "--no-gallery"): "(--threshold)",
        ("enrol", gallery, "new", path, "--from", gallery): "(--from)",
        ("enrol", gallery, "new", path): "(--force)",
        ("enrol", "default", "new", path): "(--from)",
    }
    for words, option in cases.items():
        line = ["synthprint", *map(str, words), "--model", str(model.folder)]
        monkeypatch.setattr("sys.argv", line)
        assert cli._status() == cli.FAILED
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.endswith(f" {option}\n")
    monkeypatch.setattr("synthprint.model.shipped.shipped_folder", lambda: path.parent / "nothing")
    monkeypatch.setattr("sys.argv", ["synthprint", "trace", str(path), "--gallery", str(gallery)])
    assert cli._status() == cli.FAILED
    assert capsys.readouterr().err.endswith(" (--model)\n")
    assert terminal.flag("per_source") == "--per-source"


def test_an_error_names_the_command_that_helps(
    model: Model,
    tiny_corpus: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert model.folder is not None
    damaged = shutil.copytree(model.folder, tmp_path / "damaged")
    (damaged / "limits.json").write_text("{")
    line = [
        "synthprint",
        "compare",
        *map(str, [clip(tiny_corpus, 0, 0), clip(tiny_corpus, 0, 1)]),
        "--model",
        str(damaged),
    ]
    monkeypatch.setattr("sys.argv", line)
    assert cli._status() == cli.FAILED
    assert capsys.readouterr().err.endswith("measure the limits again; see 'synthprint model limits --help'\n")


def test_every_command_that_an_error_may_name_is_one() -> None:
    named = named_by_errors("command")
    assert named >= {
        "corpus engines",
        "corpus split",
        "enrol",
        "model build",
        "model calibrate",
        "model limits",
        "model tune",
    }
    for words in sorted(named):
        run_cli(*words.split(), "--help")


def test_every_option_that_an_error_may_name_is_one() -> None:
    """As help has it; a parameter that no command has would be told of in vain."""
    helps = " ".join(
        run_cli(*command, "--help").stdout
        for command in (
            ["cluster"],
            ["enrol"],
            ["trace"],
            ["train"],
            ["probe"],
            ["timeline"],
            ["report"],
            ["serve"],
            ["serve", "token"],
            ["bulk", "trace"],
            ["watch"],
            ["monitor"],
        )
    )
    for parameter in sorted(parameters()):
        assert terminal.flag(parameter) in helps, parameter


def parameters() -> set[str]:
    """All parameters that an error of the library names."""
    return named_by_errors("parameter")


def named_by_errors(keyword: str) -> set[str]:
    words = (word for node in library() if isinstance(node, ast.Call) for word in node.keywords)
    return {word.value.value for word in words if word.arg == keyword and isinstance(word.value, ast.Constant)}


@cache
def library() -> list[ast.Call | ast.Raise]:
    """All calls and raises of the library; that is walked through once."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "cli"]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return [node for node in nodes if isinstance(node, ast.Call | ast.Raise)]


def test_the_library_speaks_of_no_option_and_no_command() -> None:
    assert parameters() >= {
        "threshold", "start_from", "force", "backend", "model", "per_source", "resident", "capture", "gallery", "pack",
    }  # fmt: skip
    for statement in (node for node in library() if isinstance(node, ast.Raise)):
        for part in ast.walk(statement):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                told = part.value.replace("pip install --force-reinstall", "")  # pip's option, and no command of ours
                assert not re.search(r"--[a-z]|'synthprint [a-z]|: synthprint [a-z]", told), part.value


def test_an_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(GalleryError("x", parameter="force")))
    assert (str(error), error.parameter) == ("x", "force")
    assert SynthprintError("x").parameter is None
    assert pickle.loads(pickle.dumps(OutputError("a", "b"))).parameter is None
