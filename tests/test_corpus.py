"""Building the open corpus, with engines made for the test and with real ones."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint.corpus import building, catalogue, texts
from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.types import SPLITS, Manifest

RATE = 8_000


def tone(name: str, *languages: str, family: str = "tone") -> System:
    return System(name, family, "tts", "Apache-2.0", ("apt:tone",), languages, "nobody")


class Tones:
    """An engine for tests: a chord that depends on system, language and text, and nothing else."""

    systems = tuple(tone(f"tone/{voice}", "en", "de", "fi", "fr", "es") for voice in "abcdef")

    def installed(self) -> tuple[System, ...]:
        return self.systems

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        return [EngineError("cannot say that") if "unsayable" in t else chord(system.name, language, t) for t in texts]


class Halves:
    """A vocoder for tests: half as loud."""

    systems = (System("half/half", "half", "copysyn", "Apache-2.0", ("apt:half",)),)

    def installed(self) -> tuple[System, ...]:
        return self.systems

    def resynthesise(self, system: System, waves: Sequence[np.ndarray]) -> list[Recording | EngineError]:  # noqa: ARG002
        return [Recording(0.5 * wave, 16_000) for wave in waves]


class Broken(Tones):
    systems = (tone("broken/x", "en", "de", family="broken"),)

    def speak(self, *asked: object) -> list[Recording | EngineError]:  # noqa: ARG002
        raise ZeroDivisionError("a bug in somebody's library")


def chord(*parts: str, seconds: float = 0.3) -> Recording:
    rng = np.random.default_rng(zlib.crc32(repr(parts).encode()))
    time_s = np.arange(round(seconds * RATE)) / RATE
    samples = sum(np.sin(2 * np.pi * f * time_s) for f in rng.uniform(100, 3000, 3)) / 4
    return Recording(np.float32(samples), RATE)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The engines of this file in place of the real ones."""
    engines: dict[str, object] = {"tones": Tones(), "halves": Halves()}
    monkeypatch.setattr(catalogue, "engines", lambda: engines)
    return engines


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """A file of forty sentences in five languages."""
    path = tmp_path / "sentences.csv"
    rows = [
        f"{language},{i},Sentence {i} in {language}" for language in ("en", "de", "fi", "fr", "es") for i in range(40)
    ]
    path.write_text("language,text_id,text\n" + "\n".join(rows) + "\n")
    return path


def splits_of(rows: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, split in rows:
        found[key].add(split)
    return found


@pytest.mark.usefixtures("shelf")
def test_a_corpus_is_built_and_its_manifest_says_what_is_there(sentences: Path, tmp_path: Path) -> None:
    built = building.build(tmp_path / "c", clips=24, copies=8, sentences=sentences)
    assert built.failures == []
    loaded = Manifest.load(built.path)
    assert loaded.utterances == built.manifest.utterances
    assert set(loaded.sources) == {*(s.name for s in Tones.systems), "half/half"}
    parts = building.quadrants(loaded)
    assert {key[0] for key in parts} == set(SPLITS)
    assert len(parts) == 9
    for u in loaded:
        assert u.path == f"fake/{u.language}/{u.source.replace('/', '_')}/{Path(u.path).name}"
        header = soundfile.info(loaded.audio_path(u))
        assert (header.format, header.subtype) == ("FLAC", "PCM_16")
        assert header.samplerate == int(u.extra["sample_rate"]) == (16_000 if u.source == "half/half" else RATE)
        assert u.duration_s == pytest.approx(header.duration, abs=1e-3)
    spoken = next(u for u in loaded if u.source == "tone/a" and u.language == "en")
    samples, _ = soundfile.read(loaded.audio_path(spoken))
    expected = chord("tone/a", "en", spoken.extra["transcript"]).samples
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)
    copy = next(u for u in loaded if u.source == "half/half")
    assert copy.extra["original_source"] in {s.name for s in Tones.systems}
    assert copy.speaker == "nobody"
    assert {u.publisher for u in loaded} == {"open"}
    groups = {(u.language, u.group) for u in loaded}
    assert len(groups) == len({group for _, group in groups}) == 5  # one a language, vocoders included


def test_a_page_group_is_a_language_and_a_plan() -> None:
    said = [texts.Sentence(f"d.{i}", code, f"{code} {i}", "d") for code in ("en", "fi") for i in range(3)]
    said.append(texts.Sentence("human.a", "en", "", "human.a"))
    groups = building.page_groups(said, 0)
    assert len({groups[s] for s in said}) == 3
    assert groups[said[0]] == groups[said[2]] != groups[said[3]]
    assert building.page_groups(said[::-1], 0) == groups
    assert building.page_groups(said, 1)[said[0]] != groups[said[0]]
    fewer = building.page_groups(said[1:], 0)
    assert fewer[said[1]] != groups[said[1]]
    assert fewer[said[3]] == groups[said[3]]


@pytest.mark.usefixtures("shelf")
def test_what_is_there_is_kept_and_what_is_missing_is_made(sentences: Path, tmp_path: Path) -> None:
    first = building.build(tmp_path / "c", clips=12, copies=4, sentences=sentences)
    paths = [first.manifest.audio_path(u) for u in first.manifest]
    before = {path: path.stat().st_mtime_ns for path in paths}
    content = paths[3].read_bytes()
    paths[3].unlink()
    (paths[0].parent / ".half.123.tmp.flac").write_bytes(b"of a build that was killed")
    again = building.build(tmp_path / "c", clips=12, copies=4, sentences=sentences)
    assert again.manifest.utterances == first.manifest.utterances
    assert [path for path in paths if path.stat().st_mtime_ns != before[path]] == [paths[3]]
    assert paths[3].read_bytes() == content
    assert not list((tmp_path / "c").rglob("*.tmp*"))


def test_what_fails_is_reported_and_the_rest_is_made(shelf: dict[str, object], tmp_path: Path) -> None:
    shelf["broken"] = Broken()
    lines = [f"Sentence number {i}." for i in range(30)] + [f"An unsayable sentence {i}." for i in range(3)]
    (tmp_path / "en.txt").write_text("\n".join(lines))
    built = building.build(tmp_path / "c", clips=60, sentences=tmp_path / "en.txt")
    with open(tmp_path / "c" / "failures.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(built.failures) > 30
    reasons = {row["source"]: row["reason"] for row in rows}
    assert reasons["broken/x"] == 'ZeroDivisionError("a bug in somebody\'s library")'
    assert reasons["tone/a"] == "cannot say that"
    assert "was not made" in reasons["half/half"]
    assert "broken/x" not in built.manifest.sources
    assert not [u for u in built.manifest if "unsayable" in u.extra["transcript"]]
    assert not {row["path"] for row in rows} & {u.path for u in built.manifest}


def test_the_same_samples_under_two_labels_are_left_out(
    monkeypatch: pytest.MonkeyPatch, sentences: Path, tmp_path: Path
) -> None:
    class Twins(Tones):
        """`tone/b` says in English what `tone/a` says, with longer silences."""

        def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
            if language != "en" or system.name not in ("tone/a", "tone/b"):
                return super().speak(system, texts, language)
            silence = np.zeros(700 if system.name == "tone/b" else 100, np.float32)
            return [Recording(np.concatenate([silence, chord("x", t).samples, silence]), RATE) for t in texts]

    twins = Twins()
    monkeypatch.setattr(catalogue, "engines", lambda: {"twins": twins})
    built = building.build(tmp_path / "c", clips=40, sentences=sentences)
    reasons = {reason for _, reason in built.failures}
    assert reasons == {"left out: the same samples from tone/a and tone/b"}
    said = {
        source: {u.text_id for u in built.manifest if u.language == "en" and u.source == source}
        for source in ("tone/a", "tone/b")
    }
    assert not said["tone/a"] & said["tone/b"]


@pytest.mark.usefixtures("shelf")
def test_nothing_half_written_is_left_by_a_build_that_is_killed(sentences: Path, tmp_path: Path) -> None:
    code = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_corpus as t
from pathlib import Path
class Slow(t.Tones):
    def speak(self, *args):
        time.sleep(0.05)
        return super().speak(*args)
t.catalogue.engines = lambda: {{"tones": Slow(), "halves": t.Halves()}}
t.building.build(Path({str(tmp_path / "c")!r}), clips=40, copies=20, sentences=Path({str(sentences)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while len(list((tmp_path / "c").rglob("*.flac"))) < 20 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = [path for path in (tmp_path / "c" / "fake").rglob("*.flac") if not path.name.startswith(".")]
    assert there
    assert all(soundfile.info(path).frames in (0.3 * RATE, 0.3 * 16_000) for path in there)
    assert not (tmp_path / "c" / "manifest.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in there}
    built = building.build(tmp_path / "c", clips=40, copies=20, sentences=sentences)
    assert {path: path.stat().st_mtime_ns for path in there} == before
    assert {tmp_path / "c" / u.path for u in built.manifest} >= set(there)


def test_a_name_that_nobody_has_is_refused(shelf: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match="no engine or system is called 'tone/z'; there are: half/half, halves, tone/a"
    ):
        building.build(tmp_path, only=["tone/z"])
    with pytest.raises(EngineError, match="no kind of engine is called 'song'"):
        building.build(tmp_path, kinds=["song"])
    with pytest.raises(EngineError, match="speaks 'it'; it speaks: de, en, es, fi, fr"):
        building.build(tmp_path, languages=["it"])
    shelf.clear()
    with pytest.raises(EngineError, match="the catalogue of engines says how to install one") as caught:
        building.build(tmp_path)
    assert caught.value.command == "corpus engines"


def test_one_command_installs_what_is_missing() -> None:
    packages = ["apt:flite", "pip:setuptools<81", "npm:@x/y", "apt:espeak-ng", "pip-alone:heavy"]
    assert catalogue.install_command(packages) == (
        "sudo apt-get install -y --no-install-recommends espeak-ng flite && python -m pip install 'setuptools<81'"
        " && python -m pip install --no-deps heavy && npm install --prefix ~/.cache/synthprint @x/y"
    )
    assert catalogue.install_command([]) == ""
    here, gone = tone("a/a", "en"), System("b/b", "b", "tts", "x", ("apt:b", "apt:festival"), ("en", "hi"), "b")
    partly = System("b/b", "b", "tts", "x", ("apt:festival",), ("en",), "b")
    listed = [catalogue.Entry("a", here, here), catalogue.Entry("b", gone, partly)]
    assert [p for p in catalogue.missing_packages(listed) if p != texts.PACKAGE] == ["apt:b"]


def test_real_synthesizers_build_a_whole_corpus(tmp_path: Path) -> None:
    there = {entry.system.name for entry in catalogue.catalogue() if entry.installed}
    if not {"espeak-ng/klatt4", "flite/slt"} <= there:
        pytest.skip("needs espeak-ng and flite")
    (tmp_path / "own.csv").write_text(
        "language,text_id,text\n" + "".join(f'{s.language},{s.text_id},"{s.text}"\n' for s in texts.packaged())
    )
    built = building.build(
        tmp_path / "c", only=["espeak_ng", "flite"], languages=["en", "fi", "pl", "hu"], limit=100,
        sentences=tmp_path / "own.csv",
    )  # fmt: skip
    assert built.failures == []
    parts = building.quadrants(built.manifest)
    assert len(parts) == 9
    assert all(1.0 < (u.duration_s or 0) < 8.0 for u in built.manifest)
    assert all(len(s) == 1 for s in splits_of([(u.text_id or "", u.split or "") for u in built.manifest]).values())


@pytest.mark.usefixtures("shelf")
def test_the_command_line_shows_what_was_built(
    sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from synthprint.cli import corpus

    (tmp_path / "more.csv").write_text(sentences.read_text() + "en,x,Some unsayable thing.\n")
    corpus.build(tmp_path / "c", clips=100, texts=tmp_path / "more.csv", languages="en,de, fi")
    shown = capsys.readouterr().out
    assert "unseen" in shown
    assert "× tone/a: cannot say that" in shown
    corpus.build(tmp_path / "c", clips=100, texts=tmp_path / "more.csv", languages="en,de,fi", as_json=True)
    summary = json.loads(capsys.readouterr().out)
    assert (
        sum(part["clips"] for part in summary["parts"]) == summary["clips"] == len(Manifest.load(summary["manifest"]))
    )
    assert summary["sources"] == 7
    assert summary["failures"] > 0


@pytest.mark.usefixtures("shelf")
def test_the_command_line_shows_the_engines(capsys: pytest.CaptureFixture[str]) -> None:
    from synthprint.cli import corpus

    corpus.engines()
    assert "7 of 7 systems are installed." in capsys.readouterr().out
    corpus.engines(as_json=True)
    listed = json.loads(capsys.readouterr().out)["systems"]
    assert {entry["name"]: entry["installed_languages"] for entry in listed}["tone/a"] == ["en", "de", "fi", "fr", "es"]
