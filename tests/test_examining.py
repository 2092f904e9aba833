"""What is odd about a file, told in every answer; a file that vanishes is that clip's failure alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from synthprint import Tracer
from synthprint.casework.case import Question, examine
from synthprint.casework.clusters import cluster
from synthprint.casework.report_page import report_page
from synthprint.cli import app
from synthprint.extractor import examining
from synthprint.extractor.examining import ExaminedClip, UnusableClip, examined
from synthprint.gallery.enrolment import from_files, from_manifest
from synthprint.reading import doors
from synthprint.types import Manifest, Utterance

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
ODD = "the file is 2 WAVE streams, one after the other: all of them were examined"
CANCELS = "the file has 2 channels, of which number 1 was examined: their average cancels"


@pytest.fixture(scope="module")
def tracer() -> Tracer:
    return Tracer.load(threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ordinary clip, two that were joined, one whose channels cancel."""
    wave = soundfile.read(CLIPS / "flite_slt" / "01.flac", dtype="float32")[0]
    soundfile.write(tmp_path / "plain.wav", wave, 16000)
    data = (tmp_path / "plain.wav").read_bytes()
    (tmp_path / "joined.wav").write_bytes(data + data)
    soundfile.write(tmp_path / "cancels.wav", np.stack([wave, -wave], axis=1), 16000)
    return tmp_path


def clips(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.wav"))


def test_a_trace_tells_what_is_odd_about_its_file(tracer: Tracer, folder: Path) -> None:
    cancels, joined, plain = tracer.trace_many(clips(folder))
    assert plain.to_dict() == tracer.trace(folder / "plain.wav").to_dict()
    assert cancels.warnings[0].startswith(CANCELS)
    assert joined.warnings[0] == ODD
    assert joined.duration_s == 2 * plain.duration_s
    assert len(sources := {trace.source for trace in (cancels, joined, plain)}) == 1
    assert (sources.pop() or "").startswith("flite")
    assert not any("the file" in warning for warning in plain.warnings)


def test_every_other_answer_does_too(tracer: Tracer, folder: Path) -> None:
    comparison = tracer.compare(folder / "joined.wav", folder / "cancels.wav")
    assert f"{folder / 'joined.wav'}: {ODD}" in comparison.warnings
    assert ODD in tracer.timeline(folder / "joined.wav").warnings
    grouped = cluster(clips(folder), tracer.model, None, 0.5)
    assert [ODD in exhibit.warnings for exhibit in grouped.exhibits] == [False, True, False]
    enrolment = from_files(tracer.extractor, "x", clips(folder))
    assert {Path(path).name for path in enrolment.remarks} == {"joined.wav", "cancels.wav"}
    page = report_page(examine(tracer, [folder], Question(), "synthprint report"))
    assert ODD in page
    assert CANCELS in page


def test_a_channel_is_chosen_on_the_command_line(folder: Path) -> None:
    quiet = soundfile.read(CLIPS / "espeak-ng_default" / "01.flac", dtype="float32")[0]
    loud = soundfile.read(CLIPS / "flite_slt" / "01.flac", dtype="float32")[0][: len(quiet)]
    soundfile.write(folder / "both.wav", np.stack([loud, quiet[: len(loud)]], axis=1), 16000)

    def source(*words: str) -> str:
        result = CliRunner().invoke(app, ["trace", "--json", str(folder / "both.wav"), *words])
        answer = json.loads(result.stdout)
        return str(answer["candidates"][0]["source"] if "candidates" in answer else answer["error"])

    assert source("--channel", "1").startswith("flite")
    assert source("--channel", "2").startswith("espeak")
    assert source("--channel", "3").startswith("has no channel '3'")
    result = CliRunner().invoke(app, ["enrol", str(folder / "g"), "x", str(folder / "both.wav"), "--channel", "7"])
    assert "has no channel '7'" in str(result.exception)


@pytest.fixture
def vanishing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """joined.wav is there when it is decoded, and gone when its digest is taken."""

    def sha256(path: Path) -> str:
        (folder / "joined.wav").unlink(missing_ok=True)
        return digest(path)

    digest = doors.sha256
    monkeypatch.setattr(doors, "sha256", sha256)
    return folder


def test_a_file_that_vanishes_is_that_clips_failure(tracer: Tracer, vanishing: Path) -> None:
    paths = clips(vanishing)
    enrolment = from_files(tracer.extractor, "x", paths)
    assert [clip.id for clip in enrolment.clips] == ["cancels.wav", "plain.wav"]
    assert list(enrolment.failures.values()) == ["was there, and vanished while it was examined"]


def test_a_file_of_a_manifest_that_vanishes_is_a_failure_too(tracer: Tracer, vanishing: Path) -> None:
    utterances = tuple(Utterance(id=path.stem, path=path.name, source="x") for path in clips(vanishing))
    enrolment = from_manifest(tracer.extractor, Manifest(utterances, vanishing))
    assert [clip.id for clip in enrolment.clips] == ["cancels", "plain"]
    assert enrolment.failures == {"joined": "was there, and vanished while it was examined"}


@pytest.mark.parametrize("answer", ["cluster", "compare", "report"])
def test_nor_does_it_end_another_answer(answer: str, tracer: Tracer, vanishing: Path) -> None:
    paths = clips(vanishing)
    if answer == "cluster":
        failures = {path: str(reason) for path, reason in cluster(paths, tracer.model, None, 0.5).failures.items()}
    elif answer == "compare":
        failures = tracer.compare(paths, paths[0]).failures
    else:
        failures = {path: unread.reason for path, unread in examine(tracer, paths, Question(), "").failures.items()}
    assert failures == {str(vanishing / "joined.wav"): "was there, and vanished while it was examined"}


def test_a_file_that_is_changed_before_its_digest_is_taken(tracer: Tracer, folder: Path) -> None:
    (clip,) = examined(tracer.extractor, [folder / "plain.wav"])
    assert isinstance(clip, ExaminedClip)
    assert clip.sha256() == doors.sha256(folder / "plain.wav")
    shutil.copy(folder / "joined.wav", folder / "plain.wav")
    with pytest.raises(Exception, match="was changed while it was examined"):
        clip.sha256()


def test_the_stream_takes_no_more_than_it_needs(tracer: Tracer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come while files are still to be decoded."""
    paths = [folder / "plain.wav", folder / "missing.wav"] * 40
    decoded: list[object] = []
    original = examining.decoded

    def counted(todo: Iterator[Path], channel: str) -> Iterator[object]:
        for sound in original(todo, channel):
            decoded.append(sound)
            yield sound

    monkeypatch.setattr(examining, "decoded", counted)
    stream = examined(tracer.extractor, paths)
    first, second = next(stream), next(stream)
    assert isinstance(first, ExaminedClip)
    assert second == UnusableClip(folder / "missing.wav", "no such file")
    assert len(decoded) <= 2 * examining.BATCH_CLIPS
    assert len(list(stream)) == 78
