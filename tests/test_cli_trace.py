"""`synthprint trace`, `compare`, `enrol` and `gallery …`, from good and from bad files to exit status and output."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import Result

from conftest import run_cli, tone
from synthprint.errors import CheckpointError, EmbeddingsError, GalleryError, ManifestError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Manifest


class Synthprint:
    """The command line with a model, in a folder of its own."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def run(self, *words: object, status: int = 0) -> Result:
        return run_cli(*words, status=status)

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", status=status).stdout)

    def trace(self, *words: object, status: int = 0) -> list[dict[str, Any]]:
        result = self.run("trace", *words, "--model", self.model, "--json", status=status)
        assert result.stderr == ""
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def cli(tiny_checkpoint: Checkpoint) -> Synthprint:
    return Synthprint(tiny_checkpoint.folder)


@pytest.fixture(scope="module")
def gallery(cli: Synthprint, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the tiny corpus' train split, with thresholds set on its dev split."""
    folder = tmp_path_factory.mktemp("cli") / "gallery"
    manifest = tiny_corpus.root / "manifest.csv"
    tiny_corpus.save(manifest)
    cli.run("gallery", "import", folder, manifest, "--split", "train", "--model", cli.model)
    cli.run("gallery", "calibrate", folder, "--data", manifest, "--model", cli.model)
    return folder


@pytest.fixture
def own(gallery: Path, tmp_path: Path) -> Path:
    """A copy of the gallery that a test may change."""
    return Path(shutil.copytree(gallery, tmp_path / "own"))


def clip(corpus: Manifest, source: int, number: int) -> Path:
    return corpus.root / f"source-{source}" / f"{number}.wav"


# Files of every kind: how each is written, and what the answer is to say where it cannot be traced.
def wav(subtype: str = "PCM_16", rate: int = SAMPLE_RATE, channels: int = 1) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        wave = np.tile(tone(1, 7, 1.0)[:, None], channels)
        soundfile.write(path, wave, rate, subtype=subtype)

    return write


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def truncated(path: Path) -> None:
    wav()(path)
    path.write_bytes(path.read_bytes()[:60])


def samples(wave: np.ndarray) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, wave, SAMPLE_RATE, subtype="FLOAT")


GOOD: dict[str, Callable[[Path], object]] = {
    "pcm16.wav": wav(),
    "pcm24.wav": wav("PCM_24"),
    "float.wav": wav("FLOAT"),
    "8khz.wav": wav(rate=8000),
    "48khz.wav": wav(rate=48_000),
    "stereo.wav": wav(channels=2),
    "six.wav": wav(channels=6),
    "short.wav": samples(tone(1, 7, 0.1)),
    "a.flac": lambda path: soundfile.write(path, tone(1, 7), SAMPLE_RATE),
    "a.ogg": lambda path: soundfile.write(path, tone(1, 7), SAMPLE_RATE),
    "a.mp3": lambda path: soundfile.write(path, tone(1, 7), SAMPLE_RATE),
    "blank name [bold].wav": wav(),
    "Ünïcode.wav": wav(),
}
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.wav": (lambda _: None, "no such file"),
    "empty.wav": (content(b""), "empty"),
    "text.wav": (content(b"not audio at all\n" * 99), "not audio"),
    "noise.mp3": (content(bytes(range(256)) * 40), ""),
    "truncated.wav": (truncated, "0.0"),
    "silent.wav": (samples(np.zeros(SAMPLE_RATE, np.float32)), "silent"),
    "nan.wav": (samples(np.full(SAMPLE_RATE, np.nan, np.float32)), "not numbers"),
    "instant.wav": (samples(tone(1, 7)[:100]), "at least 0.05 s"),
    "folder": (Path.mkdir, "holds no audio"),
}


def test_every_kind_of_file_is_answered(cli: Synthprint, gallery: Path, tmp_path: Path) -> None:
    for name, write in [*GOOD.items(), *((name, write) for name, (write, _) in BAD.items())]:
        write(tmp_path / name)
    names = [name for pair in zip(GOOD, BAD, strict=False) for name in pair] + list(GOOD)[len(BAD) :]
    rows = cli.trace(*(tmp_path / name for name in names), "--gallery", gallery, status=1)
    assert [row["path"] for row in rows] == [str(tmp_path / name) for name in names]
    answers = dict(zip(names, rows, strict=True))
    for name in GOOD:
        row = answers[name]
        assert row["candidates"][0]["score"] >= row["candidates"][1]["score"]
        assert row["unknown"] == (row["source"] is None)
        assert "error" not in row
    for name, (_, reason) in BAD.items():
        assert set(answers[name]) == {"path", "error"}
        assert reason in answers[name]["error"], name


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_m4a_is_answered(cli: Synthprint, gallery: Path, tmp_path: Path) -> None:
    wav()(tmp_path / "a.wav")
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.m4a"], check=True)
    (row,) = cli.trace(tmp_path / "a.m4a", "-g", gallery)
    assert row["duration_s"] == pytest.approx(1.0, abs=0.1)


def test_json_has_the_promised_fields(cli: Synthprint, gallery: Path, tiny_corpus: Manifest) -> None:
    (row,) = cli.trace(clip(tiny_corpus, 2, 0), "--gallery", gallery, "--top", 2, "--nearest", 1)
    assert row["nearest"][0]["source"] == "source-2"
    assert row["nearest"][0]["id"] == "source-2/0.wav"
    assert len(row["candidates"]) == 2
    assert {"path", "source", "unknown", "family", "candidates", "nearest"} <= set(row)
    assert {"source", "score"} <= set(row["candidates"][0])


def test_one_clip_is_told_in_words(cli: Synthprint, gallery: Path, tiny_corpus: Manifest) -> None:
    result = cli.run("trace", clip(tiny_corpus, 2, 0), "-g", gallery, "--model", cli.model)
    path, verdict, *tables = result.stdout.splitlines()
    assert path == f"{clip(tiny_corpus, 2, 0)}  0.6 s"
    assert "threshold" in verdict
    assert "family-0" in "".join(tables)
    assert "source-2/0.wav" in "".join(tables)
    assert "may be the recording that is enrolled" in result.stderr


def test_many_clips_take_a_line_each_and_failures_come_last(
    cli: Synthprint, gallery: Path, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    folder = tiny_corpus.root / "source-1"
    result = cli.run("trace", folder, tmp_path / "no[such].wav", "-g", gallery, "--model", cli.model, status=1)
    lines = result.stdout.splitlines()
    assert [line.split()[-1] for line in lines[:-1]] == [str(path) for path in sorted(folder.iterdir())]
    assert lines[-1].split()[:2] == ["-", "failed"]
    assert result.stderr.splitlines() == [
        f"left out: {tmp_path / 'no[such].wav'}: no such file",
        "1 of 9 clips left out",
    ]


def test_a_name_cannot_speak_to_the_terminal(cli: Synthprint, gallery: Path, tmp_path: Path) -> None:
    wav()(tmp_path / "\x1b[31mred.wav")
    result = cli.run(
        "trace", tmp_path / "\x1b[31mred.wav", tmp_path / "\x1b[31m", "-g", gallery, "--model", cli.model, status=1
    )
    assert "\x1b" not in result.output
    assert "\ufffd[31mred.wav" in result.stdout


def test_a_name_need_not_be_utf_8(cli: Synthprint, gallery: Path, tmp_path: Path) -> None:
    good, bad = (tmp_path / os.fsdecode(name) for name in (b"a\xff.wav", b"b\xff.wav"))
    try:
        wav()(tmp_path / "a.wav")
        (tmp_path / "a.wav").rename(good)
        bad.write_bytes(b"no audio")
    except OSError:
        pytest.skip("this file system has no such names")
    rows = cli.trace(tmp_path, "-g", gallery, status=1)
    assert [row["path"] for row in rows] == [str(good), str(bad)]
    assert "a\ufffd.wav" in cli.run("trace", tmp_path, "-g", gallery, "--model", cli.model, status=1).stdout
    cli.run("enrol", tmp_path / "mine", "one", good, "--model", cli.model)
    assert cli.json("gallery", "show", tmp_path / "mine", "one")[0]["id"] == "a\ufffd.wav"


def test_backends_can_be_chosen(cli: Synthprint, gallery: Path, tiny_corpus: Manifest) -> None:
    rows = [
        cli.trace(clip(tiny_corpus, 2, 6), "-g", gallery, "--backend", backend)[0]
        for backend in ("centroid", "knn", "cosine")
    ]
    assert len({row["candidates"][0]["score"] for row in rows}) == 3
    assert rows[2]["candidates"][0]["score"] == pytest.approx(rows[2]["nearest"][0]["score"])
    assert cli.trace(clip(tiny_corpus, 2, 6), "-g", gallery) == rows[:1]


def test_compare(cli: Synthprint, tiny_corpus: Manifest) -> None:
    a, b = clip(tiny_corpus, 0, 0), clip(tiny_corpus, 3, 0)
    found = cli.json("compare", a, b, "--model", cli.model)
    assert (found["a"], found["b"], found["lr"]) == ([str(a)], [str(b)], None)
    text = cli.run("compare", a, b, "--model", cli.model).stdout
    assert text.startswith(f"cosine similarity {found['score']:.3f}")


def test_a_calibrated_model_compares_with_evidence(cli: Synthprint, tiny_corpus: Manifest, tmp_path: Path) -> None:
    model = Path(shutil.copytree(cli.model, tmp_path / "model"))
    data = tiny_corpus.root / "manifest.csv"
    text = cli.run("model", "calibrate", model, "--data", data, "--split", "train").stdout
    assert "1 and 1" in text
    assert f"{model / 'calibrations.json'} written" in text
    a, b = clip(tiny_corpus, 0, 0), tiny_corpus.root / "source-3"
    found = cli.json("compare", a, b, "--model", model)
    assert (len(found["a"]), len(found["b"])) == (1, 8)
    calibration = found["calibration"]
    assert calibration["lower"] <= found["lr"]["log10_lr"] <= calibration["upper"]
    assert calibration["population"]["extractor"] == json.loads((model / "calibrations.json").read_text())["extractor"]
    assert calibration["population"]["compared"].startswith("1 clip against ")
    text = cli.run("compare", a, b, "--model", model).stdout
    assert text.startswith(found["statement"][0].upper() + found["statement"][1:])
    with pytest.raises(CheckpointError, match="no checkpoint's folder"):
        cli.run("model", "calibrate", tmp_path / "nosuch", "--data", data)


def test_a_clip_that_cannot_be_compared_is_left_out(cli: Synthprint, tiny_corpus: Manifest, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    shutil.copy(clip(tiny_corpus, 0, 0), tmp_path / "a" / "good.wav")
    (tmp_path / "a" / "bad.wav").write_bytes(b"RIFF")
    result = cli.run("compare", tmp_path / "a", clip(tiny_corpus, 1, 0), "--model", cli.model, status=1)
    assert "1 clip against 1 clip" in result.stdout
    assert "left out: " in result.stderr
    assert "bad.wav" in result.stderr


def test_aliases_are_declared_and_taken_back(cli: Synthprint, own: Path, tiny_corpus: Manifest) -> None:
    clip_path = clip(tiny_corpus, 1, 0)
    cli.run("enrol", own, "source-1@page", clip(tiny_corpus, 1, 7), "--model", cli.model)
    text = cli.run("gallery", "alias", own, "source-1", "source-1@page").stdout
    assert text == "'source-1' is also known as 'source-1@page'\n"
    (row,) = cli.trace(clip_path, "-g", own)
    named = {c["source"]: c["aliases"] for c in row["candidates"]}
    assert named["source-1"] == ["source-1@page"]
    assert "source-1@page" not in named
    listed = {entry["source"]: entry["alias of"] for entry in cli.json("gallery", "list", own)}
    assert listed["source-1@page"] == "source-1"
    cli.run("gallery", "alias", own, "source-1@page", "--undo")
    assert all(entry["alias of"] is None for entry in cli.json("gallery", "list", own))


def test_enrolling_makes_a_gallery_that_traces(cli: Synthprint, tiny_corpus: Manifest, tmp_path: Path) -> None:
    mine = tmp_path / "deep" / "mine"
    result = cli.run(
        "enrol", mine, "one", clip(tiny_corpus, 0, 0), "--family", "f", "--publisher", "a page", "--title",
        "System one", "--model", cli.model,
    )  # fmt: skip
    assert result.stdout == f"1 clip added; 'one' has 1 clip in {mine}\n"
    cli.run("enrol", mine, "three", tiny_corpus.root / "source-3", "--model", cli.model)
    (row,) = cli.trace(clip(tiny_corpus, 0, 0), "-g", mine)
    assert (row["source"], row["family"], row["unknown"], row["threshold"]) == ("one", "f", False, None)
    assert any("no threshold" in warning for warning in row["warnings"])
    assert "one is known from one publisher only (a page): a likeness may be of the page" in row["warnings"]
    named = {c["source"]: (c["title"], c["publishers"]) for c in row["candidates"]}
    assert named == {"one": ("System one", ["a page"]), "three": (None, [])}
    keys = ("title", "family", "kind", "vocoder", "publishers", "alias of")
    nothing: dict[str, object] = dict.fromkeys(keys)
    assert cli.json("gallery", "list", mine) == [
        nothing | {"source": "one", "family": "f", "clips": 1, "publishers": 1, "title": "System one"},
        nothing | {"source": "three", "clips": 8},
    ]


def test_publishers_and_titles_are_shown(cli: Synthprint, own: Path, tiny_corpus: Manifest) -> None:
    words = ("--model", cli.model, "--publisher")
    cli.run(
        "enrol", own, "new", clip(tiny_corpus, 5, 0), clip(tiny_corpus, 5, 1), *words, "a page", "--title", "A System"
    )
    summary = cli.run("gallery", "show", own).stdout
    assert "1 publisher; 1 source from one publisher only: a likeness may be of the page" in summary
    cli.run("enrol", own, "new", clip(tiny_corpus, 5, 2), *words, "a hub")
    shown = cli.json("gallery", "show", own)
    assert (shown["publishers"], shown["from_one_publisher"]) == (2, 0)
    clips = cli.run("gallery", "show", own, "new").stdout
    assert clips.startswith("new: A System\npublishers: a page (2 clips), a hub (1 clip)\n")
    assert [entry["publisher"] for entry in cli.json("gallery", "show", own, "new")] == ["a page", "a page", "a hub"]
    told = cli.run("trace", clip(tiny_corpus, 5, 0), "-g", own, "--model", cli.model).stdout
    assert "publishers" in told
    assert "new (A System)" in told


def test_enrolling_twice_or_under_two_names(cli: Synthprint, own: Path, tiny_corpus: Manifest) -> None:
    words = ("enrol", own, "source-1", clip(tiny_corpus, 1, 0), clip(tiny_corpus, 1, 7), "--model", cli.model)
    already = {"0.wav": "source-1/0.wav"}
    assert cli.json(*words) == {"added": ["7.wav"], "already": already, "failures": [], "remarks": {}}
    assert cli.json(*words)["added"] == []
    other = ("enrol", own, "source-2", clip(tiny_corpus, 1, 0), "--model", cli.model)
    with pytest.raises(GalleryError, match="force its enrolment under both"):
        cli.run(*other)
    assert cli.json(*other, "--force")["added"] == ["0.wav"]


def test_enrolling_what_is_partly_unusable(cli: Synthprint, own: Path, tiny_corpus: Manifest, tmp_path: Path) -> None:
    words = ("enrol", own, "new", clip(tiny_corpus, 5, 0), tmp_path / "missing.wav", "--model", cli.model)
    result = cli.run(*words, status=1)
    assert result.stdout.startswith("1 clip added")
    assert result.stderr == f"left out: {tmp_path / 'missing.wav'}: no such file\n"
    with pytest.raises(EmbeddingsError):
        cli.run("enrol", tmp_path / "none", "new", tmp_path / "missing.wav", "--model", cli.model)
    assert not (tmp_path / "none").exists()


def test_a_gallery_can_start_as_a_copy(cli: Synthprint, gallery: Path, tiny_corpus: Manifest, tmp_path: Path) -> None:
    new = ("enrol", tmp_path / "mine", "five", clip(tiny_corpus, 5, 0), "--model", cli.model, "--from", gallery)
    cli.run(*new)
    names = [row["source"] for row in cli.json("gallery", "list", tmp_path / "mine")]
    assert names == ["five", *(f"source-{i}" for i in range(5))]
    assert cli.json("gallery", "show", tmp_path / "mine")["rules"] == cli.json("gallery", "show", gallery)["rules"]
    assert "now there are 6" in cli.run("gallery", "show", tmp_path / "mine").stdout
    with pytest.raises(GalleryError, match="do not start from a copy"):
        cli.run(*new)


def test_gallery_show(cli: Synthprint, gallery: Path) -> None:
    shown = cli.json("gallery", "show", gallery)
    assert (shown["sources"], shown["clips"], shown["backend"]) == (5, 25, "centroid")
    assert shown["rules"]["knn"]["known"] == {
        "clips": 15, "sources": 5, "data": "manifest.csv/dev"
    }  # fmt: skip
    text = cli.run("gallery", "show", gallery).stdout
    assert f"threshold {shown['rules']['centroid']['threshold']:.3f} (equal error)" in text
    assert "8 clips of 1 source: manifest.csv/dev" in text
    clips = cli.json("gallery", "show", gallery, "source-3")
    assert [row["id"] for row in clips] == [f"source-3/{i}.wav" for i in range(5)]
    assert "source-3/4.wav" in cli.run("gallery", "show", gallery, "source-3").stdout
    assert "family-1" in cli.run("gallery", "list", gallery).stdout
    with pytest.raises(GalleryError, match="not enrolled"):
        cli.run("gallery", "show", gallery, "nosuch")


def test_gallery_remove_and_merge(cli: Synthprint, own: Path, gallery: Path) -> None:
    result = cli.run("gallery", "remove", own, "source-0", "source-4")
    assert result.stdout.splitlines() == ["'source-0': removed, with 5 clips", "'source-4': removed, with 5 clips"]
    assert cli.json("gallery", "show", own)["sources"] == 3
    merged = cli.json("gallery", "merge", own, gallery)
    assert (len(merged["added"]), len(merged["already"])) == (10, 15)
    assert cli.json("gallery", "list", own) == cli.json("gallery", "list", gallery)


def test_what_is_done_to_a_gallery_is_said_as_json(cli: Synthprint, own: Path, gallery: Path) -> None:
    removed = cli.json("gallery", "remove", own, "source-0", "source-4")
    assert removed == [{"source": "source-0", "clips": 5}, {"source": "source-4", "clips": 5}]
    first, second = cli.json("gallery", "merge", own, gallery, gallery)
    assert [len(merged["added"]) for merged in (first, second)] == [10, 0]
    assert set(second) == set(cli.json("gallery", "merge", own, gallery))
    alias = ("gallery", "alias", own, "source-2", "source-4")
    assert cli.json(*alias) == [{"source": "source-2", "aliases": ["source-4"]}]
    assert cli.json(*alias[:3], "source-4", "--undo") == [{"source": "source-4", "aliases": []}]


def test_gallery_calibrate(cli: Synthprint, own: Path, tiny_corpus: Manifest) -> None:
    words = ("gallery", "calibrate", own)  # without data no model is needed
    rules = cli.json(*words, "--false-acceptance", 0.1, "--backend", "knn")
    assert all(rule["false_acceptance"] <= 0.1 for rule in rules.values())
    assert all("left out" in rule["known"]["data"] for rule in rules.values())
    assert cli.json("gallery", "show", own)["backend"] == "knn"
    (row,) = cli.trace(clip(tiny_corpus, 5, 0), "-g", own)
    assert (row["backend"], row["threshold"]) == ("knn", rules["knn"]["threshold"])
    assert "answers by knn" in cli.run(*words).stdout
    refused = cli.run(*words, "--false-acceptance", 0.1, "--false-rejection", 0.1, status=2)
    assert "not both" in refused.output
    with pytest.raises(GalleryError, match=r"0\.05 is 5 %"):
        cli.run(*words, "--false-rejection", 5)
    with pytest.raises(ManifestError):
        cli.run(*words, "--data", tiny_corpus.root / "manifest.csv", "--split", "test")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_gallery_calibrate_says_what_it_left_out(
    options: tuple[str, ...], cli: Synthprint, own: Path, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(tiny_corpus.root, tmp_path / "data"))
    (data / "source-1" / "7.wav").write_bytes(b"RIFF")
    words = ("gallery", "calibrate", own, "--data", data / "manifest.csv", "--model", cli.model)
    result = cli.run(*words, *options, status=1)
    assert re.fullmatch(r"left out: source-1/7\.wav: .+\n", result.stderr)
    assert result.stdout.startswith("{\n" if options else "\nanswers by centroid: ")
    (known,) = {rule["known"]["data"] for rule in cli.json("gallery", "show", own)["rules"].values()}
    assert known == "manifest.csv/dev, without 1 that could not be used"


def test_gallery_import_draws_some_of_each_source(cli: Synthprint, tiny_corpus: Manifest, tmp_path: Path) -> None:
    added = cli.json("gallery", "import", tmp_path / "g", tiny_corpus.root, "--per-source", 2, "--model", cli.model)
    assert len(added["added"]) == 12
    assert {row["clips"] for row in cli.json("gallery", "list", tmp_path / "g")} == {2}


def test_an_error_is_one_line_and_exits_with_2(tmp_path: Path) -> None:
    code = "from synthprint.cli import main; main()"
    command = [sys.executable, "-c", code, "trace", "a.wav", "--gallery", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}: is no gallery")
    assert done.stderr.count("\n") == 1
