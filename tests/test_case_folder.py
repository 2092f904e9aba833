"""A case on disk: whole whatever happens to its writers, reported as it says, and opening nothing outside itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from conftest import run_cli, tone
from killing import killed
from synthprint import files
from synthprint import report as write_report
from synthprint.casework.case_contents import LAST_ORDER, Question
from synthprint.casework.case_folder import CaseFolder, case_in
from synthprint.errors import CaseError, EmbeddingsError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.gallery.enrolment import enrol
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Manifest
from test_report import text_of

ASKED = Question("No. 7 <b>", "Which?\n\nAnd why?", "Me", "today", "First.\n\nSecond & last.\nStill.")


@pytest.fixture
def case(tmp_path: Path) -> CaseFolder:
    return CaseFolder.create(tmp_path / "case", ASKED)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source.wav").write_bytes(b"some bytes")
    return tmp_path / "source.wav"


def stored(case: CaseFolder) -> set[str]:
    return {path.name for path in (case.folder / "clips").iterdir()}


def test_what_was_written_is_there_when_it_is_opened_again(case: CaseFolder, source: Path) -> None:
    first = case.add(source, "a/b <i>.WAV")
    second = case.add(source, "no ending")
    third = case.add(source, "x.a-very-long-ending")
    assert first.sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert (first.file, second.file, third.file) == (f"{first.id}.wav", second.id, third.id)
    case.change(question="Who?", saved=True)
    again = CaseFolder.load(case.folder)
    assert again.contents == case.contents
    assert (again.contents.asked.question, again.contents.asked.notes) == ("Who?", ASKED.notes)
    assert [clip.name for clip in again.contents.clips] == ["a/b <i>.WAV", "no ending", "x.a-very-long-ending"]
    assert again.locate(first).read_bytes() == b"some bytes"
    again.remove(second.id)
    assert stored(case) == {first.file, third.file}
    assert [clip.id for clip in CaseFolder.load(case.folder).contents.clips] == [first.id, third.id]
    with pytest.raises(CaseError, match="has no clip"):
        case.remove(second.id)


def test_clips_stand_in_their_order_whichever_came_first(case: CaseFolder, source: Path) -> None:
    for name, order in (("d", None), ("f", 5), ("a", 0), ("e", 3), ("g", None)):
        case.add(source, name, order)
    assert [(clip.name, clip.order) for clip in CaseFolder.load(case.folder).contents.clips] == [
        ("d", 0), ("a", 0), ("e", 3), ("f", 5), ("g", 6),
    ]  # fmt: skip
    table = json.loads((case.folder / "case.json").read_text())
    for clip in table["clips"]:
        del clip["order"]  # as an earlier version wrote it
    (case.folder / "case.json").write_text(json.dumps(table))
    assert [clip.name for clip in CaseFolder.load(case.folder).contents.clips] == list("daefg")
    assert case.add(source, "last").order == 1
    last = case.add(source, "very last", LAST_ORDER)
    assert case.contents.clips[-1] == last
    assert case.add(source, "after it").order == LAST_ORDER
    with pytest.raises(CaseError, match=r"clips\[.*order"):
        case.add(source, "beyond", LAST_ORDER + 1)


def test_a_case_that_is_closed_leaves_nothing(case: CaseFolder, source: Path) -> None:
    case.add(source, "a.wav")
    other = CaseFolder.load(case.folder)
    case.close()
    assert set(case.folder.parent.iterdir()) == {source}
    for write in (lambda: other.add(source, "b.wav"), lambda: other.change(case="x"), other.close):
        with pytest.raises(CaseError, match=r"is no case|is not the folder"):
            write()
    assert set(case.folder.parent.iterdir()) == {source}


def test_names_that_occur_twice_are_told_apart(case: CaseFolder, source: Path) -> None:
    keys = [case.add(source, name).id for name in ("a.wav", "a.wav", "a.wav (2)", "a.wav")]
    assert [case.shown()[key] for key in keys] == ["a.wav", "a.wav (2)", "a.wav (2) (2)", "a.wav (3)"]


def test_what_cannot_be_read_again_is_not_written(case: CaseFolder, source: Path, tmp_path: Path) -> None:
    held = (case.folder / "case.json").read_bytes()
    for write, message in (
        (lambda: case.change(case="x" * 1001), "title must be text, of length at most 1000|title"),
        (lambda: case.change(gallery="../elsewhere"), "gallery"),
        (lambda: case.add(source, ""), "name"),
        (lambda: case.add(tmp_path / "none.wav", "a.wav"), r"none\.wav: cannot be read \(No such file"),
        (lambda: case.add(tmp_path, "a.wav"), "it is a folder"),
    ):
        with pytest.raises(CaseError, match=message):
            write()
    assert (case.folder / "case.json").read_bytes() == held
    assert stored(case) == set()
    with pytest.raises(CaseError, match="something is there already"):
        CaseFolder.create(case.folder, ASKED)
    with pytest.raises(CaseError, match="gallery"):
        CaseFolder.create(tmp_path / "other", ASKED, gallery="/etc")
    assert not (tmp_path / "other").exists()


def test_writers_at_the_same_time_lose_nothing(case: CaseFolder, source: Path) -> None:
    opened = [CaseFolder.load(case.folder) for _ in range(6)]

    def write(number: int) -> None:
        for clip in range(3):
            opened[number].add(source, f"{number}-{clip}.wav")
        opened[number].change(notes=f"by {number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = CaseFolder.load(case.folder).contents
    assert {clip.name for clip in contents.clips} == {f"{n}-{clip}.wav" for n in range(6) for clip in range(3)}
    assert stored(case) == {clip.file for clip in contents.clips}


KILLED = """
from synthprint.casework.case_folder import CaseFolder


def work():
    case = CaseFolder.load(folder)
    case.remove(case.add(sys.argv[3], "new.wav").id)
"""


def test_killed_anywhere_the_case_is_one_of_the_two(case: CaseFolder, source: Path) -> None:
    kept = case.add(source, "kept.wav")
    for _ in killed(KILLED, case.folder, source, step=2, least=4):
        opened = CaseFolder.load(case.folder)
        assert [clip.name for clip in opened.contents.clips] in (["kept.wav"], ["kept.wav", "new.wav"])
        for clip in opened.contents.clips:
            assert opened.locate(clip).read_bytes() == b"some bytes"
        for clip in opened.contents.clips[1:]:
            opened.remove(clip.id)
        opened.remove(opened.add(source, "other.wav").id)
        assert stored(case) == {kept.file}  # what the killed one left is gone


def _clips(table: dict[str, Any], **change: object) -> None:
    table["clips"][0] |= change


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "slip": (lambda t: _clips(t, file="../../source.wav"), r"clips\[0\]\.file"),
    "absolute": (lambda t: _clips(t, file="/etc/passwd"), r"clips\[0\]\.file"),
    "itself": (lambda t: _clips(t, file="case.json"), r"clips\[0\]\.file"),
    "line": (lambda t: _clips(t, file=t["clips"][0]["file"] + "\n"), r"clips\[0\]\.file"),
    "path": (lambda t: _clips(t, path="/etc/passwd"), "unknown key 'path'"),
    "digest": (lambda t: _clips(t, sha256="0"), r"clips\[0\]\.sha256"),
    "twice": (lambda t: t["clips"].append(t["clips"][0]), "names a clip twice"),
    "gallery": (lambda t: t.update(gallery="../g"), "gallery"),
    "notes": (lambda t: t.update(notes="x" * 100_001), "notes"),
    "missing": (lambda t: t.pop("title"), "title is missing"),
    "no format": (lambda t: t.pop("format"), "format is missing"),
    "version": (lambda t: t.update(format="synthprint-case-9"), "reads 'synthprint-case-1'"),
    "many": (lambda t: t.update(clips=t["clips"] * 3001), "clips"),
}


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_case_is_told(case: CaseFolder, source: Path, tmp_path: Path, change: str) -> None:
    case.add(source, "a.wav")
    path = case.folder / "case.json"
    table = json.loads(path.read_text())
    alter, message = HOSTILE[change]
    alter(table)
    path.write_text(json.dumps(table))
    with pytest.raises(CaseError, match=message) as told:
        CaseFolder.load(case.folder)
    assert str(path) in str(told.value)
    with pytest.raises(CaseError, match=message):
        write_report([case.folder], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_case_is_told(tmp_path: Path, source: Path) -> None:
    with pytest.raises(CaseError, match=r"is no case: case\.json cannot be read"):
        CaseFolder.load(tmp_path / "none")
    assert case_in(tmp_path) is None
    assert case_in(source) is None
    (tmp_path / "case.json").write_text("[1")
    with pytest.raises(CaseError, match=r"case\.json: is damaged: .*is not JSON"):
        case_in(tmp_path)
    (tmp_path / "case.json").write_text(json.dumps({"asked": {}, "clips": [], "method": {}, "pairs": None}))
    assert case_in(tmp_path) is None  # the record of a report
    (tmp_path / "case.json").unlink()
    (tmp_path / "case.json").symlink_to(source)
    with pytest.raises(CaseError, match="is a link, and a case opens no file outside its folder"):
        case_in(tmp_path)


@pytest.fixture(scope="module")
def gallery(tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "gallery"
    for name in range(2):
        clips = [tiny_corpus.root / f"source-{name}" / f"{clip}.wav" for clip in range(3)]
        enrol(folder, f"source-{name}", clips, model=tiny_checkpoint.folder)
    return folder


@pytest.fixture
def full(case: CaseFolder, tiny_corpus: Manifest, tmp_path: Path) -> CaseFolder:
    """Three clips, two of one name."""
    long = tmp_path / "long.wav"
    soundfile.write(long, np.concatenate([tone(1, 7, 3.0), tone(4, 2, 3.0)]), SAMPLE_RATE)
    case.add(tiny_corpus.root / "source-1/6.wav", "b <b>.wav")
    case.add(long, "a.wav")
    case.add(tiny_corpus.root / "source-0/6.wav", "a.wav")
    return case


def test_the_report_of_a_case_says_what_the_case_says(
    full: CaseFolder, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    options = ("-g", gallery, "--model", tiny_checkpoint.folder, "-o", tmp_path / "page.html")
    found = json.loads(run_cli("report", full.folder, *options, "--json").stdout)
    assert [clip["path"] for clip in found["clips"]] == ["b <b>.wav", "a.wav", "a.wav (2)"]
    assert [clip["trace"]["path"] for clip in found["clips"]] == ["b <b>.wav", "a.wav", "a.wav (2)"]
    assert [clip["sha256"] for clip in found["clips"]] == [clip.sha256 for clip in full.contents.clips]
    assert found["asked"] == {
        "case": ASKED.case, "question": ASKED.question, "analyst": "Me", "date": "today", "notes": ASKED.notes
    }  # fmt: skip
    assert found["method"]["command"].endswith(str(full.folder))
    page = (tmp_path / "page.html").read_text()
    assert "<title>No. 7 &lt;b&gt;</title>" in page
    assert "<p>First.</p><p>Second &amp; last.<br>Still.</p>" in page
    assert "<p>Which?</p><p>And why?</p>" in page
    assert "clips" + os.sep + full.contents.clips[0].file not in page
    run_cli("report", full.folder, *options, "--case", "Other", "--notes", "Mine")
    words = text_of((tmp_path / "page.html").read_text())
    assert "Other" in words
    assert "Mine" in words
    assert "Which?" in words
    assert "Second" not in words


def test_a_clip_that_is_not_the_one_of_the_case_is_a_failure_that_says_so(
    full: CaseFolder, gallery: Path, tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path: Path
) -> None:
    first, second, third = (full.locate(clip) for clip in full.contents.clips)
    shutil.copy(tiny_corpus.root / "source-0/7.wav", first)
    second.write_bytes(b"no audio")
    examined = write_report([full.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder)
    assert [clip.path for clip in examined.clips] == ["a.wav (2)"]
    for name in ("b <b>.wav", "a.wav"):
        assert "is not the file of the case: case.json names one with the SHA-256" in examined.failures[name].reason
    assert examined.failures["a.wav"].sha256 == hashlib.sha256(b"no audio").hexdigest()
    first.unlink()
    first.symlink_to(tiny_corpus.root / "source-1/6.wav")  # the same bytes, but elsewhere
    second.unlink()
    examined = write_report([full.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder)
    assert examined.failures["b <b>.wav"].reason.startswith("is a link, and a case opens no file outside its folder")
    assert examined.failures["a.wav"].reason == "no such file"
    third.unlink()
    with pytest.raises(EmbeddingsError, match=r"none of 3 clips can be examined; b <b>\.wav: is a link"):
        write_report([full.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder)


def test_a_case_is_reported_by_itself_and_with_its_gallery(
    full: CaseFolder, source: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(CaseError, match="is a case, which is reported by itself"):
        write_report([source, full.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder)
    full.change(gallery="mine")
    with pytest.raises(CaseError, match="a gallery that is called 'mine'; name the folder of a gallery") as told:
        write_report([full.folder], tmp_path / "page.html", None, tiny_checkpoint.folder)
    assert told.value.parameter == "gallery"
    assert len(write_report([full.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder).clips) == 3
    empty = CaseFolder.create(tmp_path / "empty", Question())
    with pytest.raises(EmbeddingsError, match="no clips were given"):
        write_report([empty.folder], tmp_path / "page.html", gallery, tiny_checkpoint.folder)


def test_a_change_that_fails_leaves_the_case(case: CaseFolder, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kept = case.add(source, "kept.wav")
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", full)
        for write in (lambda: case.add(source, "new.wav"), lambda: case.remove(kept.id)):
            with pytest.raises(Exception, match="No space left"):
                write()
    assert CaseFolder.load(case.folder).contents.clips == (kept,)
    assert case.locate(kept).read_bytes() == b"some bytes"
