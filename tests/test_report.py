"""The report of a case: what it says is what the tracer says; it is safe, repeatable, and fits a phone and a page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import run_cli, tone
from synthprint import __version__
from synthprint.calibration.calibration import Evidence
from synthprint.casework.case import Case, Question, examine
from synthprint.casework.report_page import plain, report_page
from synthprint.errors import EmbeddingsError, OutputError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.runtime import load_extractor
from synthprint.gallery.calibrating import set_threshold
from synthprint.gallery.destination import opened
from synthprint.gallery.enrolment import from_manifest
from synthprint.gallery.gallery import Gallery
from synthprint.model.calibrations import fit_comparisons
from synthprint.model.limits import Limits
from synthprint.model.model import Model
from synthprint.model.tunings import TimelineTuning
from synthprint.reading import doors
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Candidate
from synthprint.types import Embeddings, Labelled, Manifest

HOSTILE = '<img src=x onerror="alert(1)">&'
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def tracer(tiny_checkpoint: Checkpoint, tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Tracer:
    """A gallery with rule and calibrations, and an extractor with calibrations and limits."""
    extractor = load_extractor(tiny_checkpoint.folder, threads=1)
    folder = tmp_path_factory.mktemp("report") / "gallery"
    with opened(folder, extractor.digest) as gallery:
        from_manifest(extractor, tiny_corpus.split("train")).into(gallery)
        set_threshold(gallery)
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(6), 8)
    vectors = np.eye(extractor.dim)[owners] + 0.3 * rng.standard_normal((48, extractor.dim))
    made_up = Embeddings(tuple(map(str, range(48))), vectors, extractor.digest)
    calibrations = fit_comparisons(Labelled(made_up, [f"s{owner}" for owner in owners], "made up"))
    limits = Limits(min_duration_s=1.0, basis="what the test says")
    return Tracer(Model(extractor, calibrations, limits), Gallery.load(folder))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Manifest) -> list[Path]:
    """A short clip, a long one, and none, with a hostile name."""
    folder = tmp_path_factory.mktemp("clips")
    short = Path(shutil.copy(tiny_corpus.audio_path(tiny_corpus.utterances[0]), folder / "short & <b>.wav"))
    long = folder / "long.wav"
    soundfile.write(long, np.concatenate([tone(1, 7, 3.0), tone(4, 2, 3.0)]), SAMPLE_RATE)
    bad = folder / "bad.wav"
    bad.write_bytes(b"no audio")
    return [short, long, bad]


@pytest.fixture
def case(tracer: Tracer, clips: list[Path]) -> Case:
    tuning = replace(TimelineTuning.shipped(), extractor=tracer.extractor.digest, window_s=0.5)
    tuned = Tracer(replace(tracer.model, timeline=tuning), tracer.gallery)
    return examine(tuned, clips, Question(HOSTILE, "Which?", "Me", "today"), "synthprint report x")


class Outline(HTMLParser):
    """Headings in order, and the names of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]


def text_of(page: str) -> str:
    body = page[page.index("<body>") :]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def test_it_says_what_the_tracer_says(case: Case, tracer: Tracer, clips: list[Path]) -> None:
    text = text_of(report_page(case))
    for clip in case.clips:
        trace = tracer.trace(clip.path)
        assert clip.trace.source == trace.source
        assert [c.source for c in clip.trace.candidates] == [c.source for c in trace.candidates]
        for part in (clip.path, doors.sha256(Path(clip.path)), plain(clip.trace, case.method), f"{trace.score:.3f}"):
            assert part in text
        for statement in clip.trace.statements:
            assert statement[1:] in text
        for candidate in trace.candidates:
            assert candidate.lr is not None
            assert f"{candidate.lr.log10_lr:.2f}" in text
    assert "lasts 0.6 s" in text
    assert case.failures[str(clips[2])].sha256 == doors.sha256(clips[2])
    assert doors.sha256(clips[2]) in text
    assert "bad.wav could not be examined: " in text
    gallery = tracer.gallery.folder / "gallery.json"
    for part in (__version__, tracer.extractor.digest, doors.sha256(gallery), "synthprint report x", "Which?"):
        assert part in text
    rule = tracer.rule
    assert rule is not None
    assert f"{rule.false_rejection:.1%}" in text
    assert f"from a score of {rule.threshold:.3f} on" in text
    assert "development clips" not in text  # the rule of this gallery is of its enrolled clips
    assert "duration at least 1 s" in text
    assert "what the test says" in text
    assert case.pairs is not None
    assert case.pairs.log10_lr is not None
    assert f"{case.pairs.log10_lr[0, 1]:.2f}" in text


def test_a_long_clip_has_a_timeline(case: Case) -> None:
    short, long = case.clips
    assert short.timeline is None
    assert long.timeline is not None
    page = report_page(case)
    assert long.timeline.summary()[:40] in text_of(page)
    assert page.count('class="lane"') >= len(long.timeline.leading())


def test_it_is_safe_and_the_same_again(case: Case) -> None:
    page = report_page(case)
    assert page == report_page(case)
    assert HOSTILE not in page
    assert HOSTILE in text_of(page)
    outline = Outline()
    outline.feed(page)
    assert not outline.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert "http:" not in page.replace("http-equiv", "")
    assert "https:" not in page
    assert "default-src 'none'" in page
    assert outline.levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))


def test_what_nobody_measured_is_said_to_be_unknown(tracer: Tracer, clips: list[Path], tmp_path: Path) -> None:
    bare = Tracer(Model(tracer.extractor), tracer.gallery.copy(tmp_path / "gallery"))
    bare.gallery.set_backends({name: replace(bare.gallery.setting(name), rule=None, calibrations=None)
                               for name in bare.gallery.index.backends})  # fmt: skip
    case = examine(bare, clips[:2], Question(), "")
    text = text_of(report_page(case))
    assert "No threshold is set for this gallery" in text
    assert "It was not measured for which clips this extractor can be used" in text
    assert "Nobody measured what it is worth as evidence" in text
    assert case.clips[1].timeline is None
    assert "was not looked for: how to was not measured for this extractor" in text
    alone = examine(bare, clips[:1], Question(), "")
    assert alone.pairs is None
    with pytest.raises(EmbeddingsError, match="none of 1 clips can be examined"):
        examine(bare, clips[2:], Question(), "")


def test_a_files_name_cannot_turn_the_page_around(
    tracer: Tracer, tiny_checkpoint: Checkpoint, clips: list[Path], tmp_path: Path
) -> None:
    """Marks of direction are shown as what they are, and a name that is no text is shown all the same."""
    odd = [tmp_path / "evil\u202egnp.wav", Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.wav"))]
    for path in odd:
        shutil.copy(clips[0], path)
    run_cli("report", *odd, "-g", tracer.gallery.folder, "--model", tiny_checkpoint.folder, "-o", tmp_path / "odd.html")
    page = (tmp_path / "odd.html").read_text(encoding="utf-8")
    assert "\u202e" not in page
    assert "evil\ufffdgnp.wav" in page
    assert "bad\ufffd.wav" in page


def test_the_same_file_twice_is_no_evidence(tracer: Tracer, clips: list[Path], tmp_path: Path) -> None:
    copy = Path(shutil.copy(clips[0], tmp_path / "copy.wav"))
    case = examine(tracer, [*clips[:2], copy], Question(), "")
    text = text_of(report_page(case))
    assert "byte for byte the same file as clip 1" in text
    assert re.search(r" 1 \S+ same 2 ", text)  # the pair of clips 1 and 3 has no LR
    doubtful = [str(i) for i, clip in enumerate(case.clips, 1) if clip.trace.outside]
    assert {"1", "3"} <= set(doubtful)  # they are shorter than the limits say
    assert f"Pairs with clip {', '.join(doubtful)} are less sure" in text


def test_a_short_clip_is_not_said_to_be_beyond_limits_that_nobody_measured(tracer: Tracer, clips: list[Path]) -> None:
    said = "outside what the method was validated for"
    assert said in text_of(report_page(examine(tracer, clips[:1], Question(), "")))
    bare = Tracer(Model(tracer.extractor), tracer.gallery)
    text = text_of(report_page(examine(bare, clips[:1], Question(), "")))
    assert said not in text
    assert "There are limits to this answer" in text


def test_answers_in_plain_words(case: Case) -> None:
    trace, method = case.clips[0].trace, replace(case.method, sources=7)
    best = Candidate("x", "f", None, 0.9, (), Evidence(1.0, 0))
    known = replace(trace, unknown=False, source="x", family="f", rivals=(), candidates=(best,), components={})
    assert plain(known, method) == "It resembles clips of x, more than those of any other of the 7 enrolled sources."
    human = replace(known, candidates=(replace(best, kind="human"),))
    assert "human speech, as enrolled under the name x" in plain(human, method)
    close = replace(known, rivals=(replace(best, source="y"),))
    assert plain(close, method).startswith("It resembles x and y so much alike that these cannot be told apart.")
    assert "family f" in plain(close, method)
    unknown = replace(known, unknown=True, source=None)
    assert plain(unknown, method).startswith("None of the 7 enrolled sources")


def test_the_command_writes_page_and_record(
    tracer: Tracer, tiny_checkpoint: Checkpoint, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("report", *clips[:2], "-g", tracer.gallery.folder, "--model", tiny_checkpoint.folder, "--case", "No. 7")
    assert "2 clips examined" in run_cli(*words, "-o", tmp_path / "a.html", "--record", tmp_path / "a.json").stdout
    page = (tmp_path / "a.html").read_text()
    assert "<title>No. 7</title>" in page
    found = json.loads((tmp_path / "a.json").read_text())
    assert [clip["path"] for clip in found["clips"]] == list(map(str, clips[:2]))
    assert found["method"]["command"] in text_of(page)
    assert "--case 'No. 7'" in found["method"]["command"]
    printed = json.loads(run_cli(*words, "-o", tmp_path / "a.html", "--json").stdout)
    assert printed.keys() == found.keys()
    assert printed["clips"] == found["clips"]
    before = run_cli(*words, "-o", tmp_path / "z.html", "--json", tmp_path / "z.json", status=2)
    assert "give --record FILE" in before.stderr
    assert not (tmp_path / "z.html").exists()
    dash = Path(shutil.copy(clips[0], tmp_path / "-o.wav"))
    monkeypatch.chdir(tmp_path)
    dashed = ("-g", tracer.gallery.folder, "--model", tiny_checkpoint.folder, "-o", "d.html", "--", dash.name)
    run_cli("report", *dashed)
    again = text_of(Path("d.html").read_text())
    assert "synthprint report -o d.html --gallery" in again
    assert "-- -o.wav" in again
    assert "left out: " in run_cli(*words, clips[2], "-o", tmp_path / "b.html", status=1).stderr
    with pytest.raises(OutputError, match=r"c\.pdf: cannot be written \(its name must end in \.html\)"):
        run_cli(*words, "-o", tmp_path / "c.pdf")


def browse(*options: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_scrolling_sideways(case: Case, width: int, tmp_path: Path) -> None:
    best = case.clips[0].trace.candidates[0]
    wide = replace(best, source="MW" * 16)
    trace = replace(case.clips[0].trace, candidates=(wide, replace(best, source="語" * 30)))
    page = report_page(replace(case, clips=(replace(case.clips[0], trace=trace), *case.clips[1:])))
    frame = f'<iframe id="f" src="report.html" style="width:{width}px;height:900px;border:0"></iframe>'
    script = (
        "<script>f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=[d.scrollWidth,d.clientWidth,f.contentDocument.querySelectorAll('svg').length,"
        "getComputedStyle(f.contentDocument.body).maxWidth,"
        "Math.min(...[...d.querySelectorAll('svg text')].map(t=>t.getBBox().x))].join(' ')}</script>"
    )
    (tmp_path / "report.html").write_text(page)
    (tmp_path / "outer.html").write_text(f"<!doctype html><title></title>{frame}{script}")
    shown = browse(
        "--allow-file-access-from-files", "--virtual-time-budget=3000", "--dump-dom", f"file://{tmp_path}/outer.html"
    )
    found = re.search(r"<title>(\d+) (\d+) (\d+) (\S+) (\S+)</title>", shown)
    assert found, shown[:500]
    assert int(found[1]) <= int(found[2]) == width
    assert int(found[3]) == page.count("<svg")
    assert float(found[5]) >= 0  # no name is cut off at the left of its picture
    assert found[4] == "736px"  # the style is in force: its digest is that of the policy


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
def test_it_prints(case: Case, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(report_page(case))
    browse(f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer", f"file://{tmp_path}/report.html")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    pages = re.findall(rb"/Type\s*/Page\b", printed)
    assert len(pages) >= 3  # each clip starts a page
    sizes = {tuple(float(x) for x in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", printed)}
    assert {(round(box[2]), round(box[3])) for box in sizes} == {(595, 842)}  # A4
