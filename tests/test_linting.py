"""The linter: what it finds in manifests and in files; and that it finds nothing where nothing is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from noise_files import RATE, noise, noise_corpus, save
from synthprint.linting.findings import N_EXAMPLES, SEVERITIES, Finding, listed
from synthprint.linting.linter import Report, _sample, lint
from synthprint.linting.partitions import MIN_CLIPS, check
from synthprint.manifests.opening import open_manifest
from synthprint.types import Manifest, Utterance
from synthprint.wording import counted


def manifest(*rows: tuple[str, str] | Utterance, root: Path = Path("nowhere")) -> Manifest:
    """A manifest of utterances, or of (path, source)."""
    made = [row if isinstance(row, Utterance) else Utterance(row[0], row[0], row[1]) for row in rows]
    return Manifest(tuple(made), root)


def clip(name: str, source: str = "a", **fields: object) -> Utterance:
    return Utterance(name, name, source, **fields)  # type: ignore[arg-type]


def found(report: Report | list[Finding], code: str) -> list[Finding]:
    return [f for f in (report.findings if isinstance(report, Report) else report) if f.code == code]


def only(report: Report | list[Finding], code: str) -> Finding:
    (finding,) = found(report, code)
    return finding


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings} - {"unchecked"}


# --- findings and their documentation -------------------------------------------------------------------------


def test_every_code_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "lint.md").read_text(encoding="utf-8")
    explained = re.findall(r"^### `([a-z-]+)` \((\w+)\)$", page, re.MULTILINE)
    assert dict(explained) == dict(SEVERITIES)
    assert len(explained) == len(SEVERITIES)


def test_a_finding_takes_its_severity_from_its_code_and_few_examples() -> None:
    finding = Finding("leak", 99, "…", tuple(map(str, range(99))))
    assert (finding.severity, finding.examples) == ("error", ("0", "1", "2", "3", "4"))
    assert len(finding.examples) == N_EXAMPLES
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert [counted(n, "clip") for n in (0, 1, 2000)] == ["0 clips", "1 clip", "2,000 clips"]


# --- labels and splits ----------------------------------------------------------------------------------------


def test_a_sound_manifest_has_no_findings() -> None:
    rows = [
        clip(f"{split}/{source}/{i}", source, split=split, family=f"family {source}", language="en",
             text_id=f"{split} {i}", speaker=f"{split} {source}")
        for split in ("train", "dev", "test") for source in "abc" for i in range(MIN_CLIPS)
    ]  # fmt: skip
    assert check(manifest(*rows)) == []


def test_one_path_under_two_sources_is_a_conflict_in_two_splits_a_leak_else_a_repetition() -> None:
    rows = [
        Utterance("1", "x", "a", split="train"), Utterance("2", "x", "b", split="train"),
        Utterance("3", "y", "a", split="train"), Utterance("4", "y", "a", split="test"),
        *(Utterance(id, "z", "b", split="test") for id in "567"),
    ]  # fmt: skip
    findings = check(manifest(*rows))
    assert only(findings, "label-conflict").examples == ("x: a, b",)
    assert only(findings, "leak").examples == ("y: test, train",)
    assert (only(findings, "repeated-path").count, only(findings, "repeated-path").examples) == (2, ("b (2)",))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["suno/bark", "coqui/all/bark"], "twin-names"),
        (["bark", "suno/bark"], "twin-names"),
        (["melgan@seungwonpark", "MelGAN@descript"], "twin-names"),
        (["tts/en/vits--neon", "tts/en/vits-neon"], "spelling-variants"),
        (["XTTS_v2", "xtts-v2"], "spelling-variants"),
        (["tts/bg/cv/vits", "tts/cs/cv/vits"], None),  # one publisher's systems for two languages
        (["kokoro-v1.0@sherpa", "kokoro-v10@sherpa"], None),
        (["飞", "桨"], None),
    ],
)
def test_names_that_may_mean_the_same_system(names: list[str], code: str | None) -> None:
    report = lint(manifest(*((name, name) for name in names)), audio=False)
    assert codes(report) - {"small-source"} == ({code} if code else set())
    if code:
        assert only(report, code).examples == (", ".join(sorted(names)),)


def test_flags_that_contradict_the_train_split_for_sources_and_languages() -> None:
    rows = [
        clip("1", "a", split="train", language="en"),
        clip("2", "a", split="test", language="en", source_seen=False, language_seen=True),
        clip("3", "b", split="test", language="de", source_seen=True, language_seen=True),
        clip("4", "b", split="test", language="de", source_seen=False, language_seen=False),
    ]
    findings = check(manifest(*rows))
    assert only(findings, "marked-unseen").examples == ("a (1 clip)",)
    assert [f.examples for f in found(findings, "marked-seen")] == [("b (1 clip)",), ("de (1 clip)",)]
    assert not found(check(manifest(*rows[1:])), "marked-seen")  # without a train split there is nothing to contradict


def test_sentences_are_told_by_transcript_where_there_is_no_text_id() -> None:
    rows = [clip("1", split="train", extra={"transcript": "So."}), clip("2", split="test", extra={"transcript": "So."})]
    assert only(check(manifest(*rows)), "shared-sentences").examples == ("So.",)


def test_shared_speakers_are_a_note() -> None:
    rows = [clip("1", split="train", speaker="kal"), clip("2", split="dev", speaker="kal")]
    assert only(check(manifest(*rows)), "shared-speakers").message == "1 speaker of train also in dev, in 1 clip there"


def test_columns_with_gaps_are_named_with_what_was_not_checked() -> None:
    gaps = only(check(manifest(clip("1", split="train"), clip("2"))), "unchecked")
    assert gaps.count == 5
    assert gaps.examples[0].startswith("split: missing in 1 of 2 rows")
    assert gaps.examples[3] == "family: missing in 2 of 2 rows, so not checked there: families known from training"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_dominant_sources_are_the_fewest_that_make_nine_tenths_of_the_target_pairs(sizes: list[int]) -> None:
    rows = [clip(f"{s}/{i}", f"s{s}", split="test") for s, size in enumerate(sizes) for i in range(size)]
    pairs = sorted((sum(1 for i in range(size) for j in range(i)) for size in sizes), reverse=True)
    need = next(k for k in range(len(pairs) + 1) if sum(pairs[:k]) >= 0.9 * sum(pairs))
    dominant = found(check(manifest(*rows)), "dominant-sources")
    assert [f.count for f in dominant] == ([need] if 0 < need < len(sizes) / 2 else [])


# --- files ----------------------------------------------------------------------------------------------------


def test_broken_files_are_found_and_none_ends_the_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save(tmp_path / "good.wav", noise(rng))
    save(tmp_path / "silent.wav", np.zeros(RATE, np.float32))
    save(tmp_path / "nan.wav", np.array([0.1, np.nan] * RATE, np.float32), subtype="FLOAT")
    save(tmp_path / "short.wav", noise(rng, 0.01))
    save(tmp_path / "cut.flac", noise(rng, 2.0))
    (tmp_path / "cut.flac").write_bytes((tmp_path / "cut.flac").read_bytes()[:-20_000])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"this is not audio" * 9)
    (tmp_path / "folder.wav").mkdir()
    names = [
        "good.wav",
        "silent.wav",
        "nan.wav",
        "short.wav",
        "cut.flac",
        "empty.wav",
        "text.wav",
        "folder.wav",
        "no.wav",
    ]
    report = lint(manifest(*((name, f"source {name}") for name in names), root=tmp_path))
    assert {f.code: f.count for f in report.findings if f.severity == "error"} == {
        "missing-file": 1, "empty-file": 1, "unreadable-file": 3, "not-finite": 1, "too-short": 1, "silent-file": 1,
    }  # fmt: skip
    assert only(report, "too-short").examples == ("short.wav: holds 0.010 s of audio",)
    assert [e.partition(":")[0] for e in only(report, "unreadable-file").examples] == [
        "cut.flac",
        "text.wav",
        "folder.wav",
    ]
    assert report.shortcuts is None
    assert "shortcuts were not measured" in report.remarks[-1]


def test_without_audio_no_file_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthprint.linting.linter.inspect_all", lambda *_: pytest.fail("a file was looked at"))
    report = lint(manifest(("a.wav", "a"), ("b.wav", "b"), root=tmp_path), audio=False)
    assert codes(report) == {"small-source"}
    assert report.remarks == ("no file was looked at",)


def test_the_same_bytes_under_two_labels_splits_or_paths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    waves = {"conflict": noise(rng), "leak": noise(rng), "again": noise(rng)}
    for name, wave in waves.items():
        save(tmp_path / f"{name}1.wav", wave)
        save(tmp_path / f"{name}2.wav", wave)
    rows = [
        clip("conflict1.wav", "a", split="train"), clip("conflict2.wav", "b", split="train"),
        clip("leak1.wav", "a", split="train"), clip("leak2.wav", "a", split="test"),
        clip("again1.wav", "b", split="test"), clip("again2.wav", "b", split="test"),
    ]  # fmt: skip
    report = lint(manifest(*rows, root=tmp_path))
    assert only(report, "label-conflict").examples == ("conflict1.wav = conflict2.wav: a, b",)
    assert only(report, "leak").examples == ("leak1.wav = leak2.wav: test, train",)
    assert (only(report, "repeated-content").count, only(report, "repeated-content").examples) == (1, ("b (1)",))


def test_a_row_that_repeats_a_path_is_no_repeated_content(tmp_path: Path) -> None:
    save(tmp_path / "x.wav", noise(np.random.default_rng(0)))
    rows = [Utterance("1", "x.wav", "a"), Utterance("2", "x.wav", "a")]
    assert codes(lint(manifest(*rows, root=tmp_path))) == {"repeated-path", "one-source", "small-source"}


def test_a_length_that_the_manifest_gets_wrong(tmp_path: Path) -> None:
    for name in ("right.wav", "wrong.wav"):
        save(tmp_path / name, noise(np.random.default_rng(0), 1.0 if name == "right.wav" else 2.0))
    report = lint(manifest(clip("right.wav", duration_s=1.1), clip("wrong.wav", "b", duration_s=1.0), root=tmp_path))
    assert only(report, "wrong-duration").examples == ("wrong.wav: 1.00 s in the manifest, 2.00 s in the file",)


def test_only_so_many_files_of_a_source_are_decoded_and_always_the_same(tmp_path: Path) -> None:
    corpus = noise_corpus(tmp_path, 6, lambda _, wave: wave)
    assert "12 files were decoded, at most 4 of each source" in lint(corpus, clips_per_source=4).remarks[1]
    save(tmp_path / "source0" / "new.wav", noise(np.random.default_rng(1)))
    before, after = (
        {u.path for u, chosen in zip(rows, _sample(rows, 4), strict=True) if chosen}
        for rows in (corpus.utterances, open_manifest(tmp_path).utterances)
    )
    assert len(before & after) >= 11


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def corpus_csv(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = ["path,source"]
    for source in ("[bark]", "vits"):
        for i in range(10):
            save(tmp_path / f"{source}{i}.wav", noise(rng, level=0.1 if source == "vits" else 0.01))
            rows.append(f"{source}{i}.wav,{source}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    return tmp_path / "m.csv"


def run(*arguments: object) -> tuple[int, str]:
    from synthprint.cli import app

    result = CliRunner().invoke(app, ["corpus", "lint", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout


def test_the_command_shows_findings_and_the_shortcut_table(corpus_csv: Path) -> None:
    status, out = run(corpus_csv)
    assert status == 0
    assert "20 utterances (no split 20), 2 sources" in out
    assert re.search(r"level +rms_db, peak_db, offset +100.0%", out)
    assert "[bark] (100%)" in out
    assert "0 errors, 1 warning, 1 note" in out


def test_the_command_prints_json_alone_on_stdout(corpus_csv: Path) -> None:
    report = json.loads(run(corpus_csv, "--json")[1])
    assert [f["code"] for f in report["findings"]] == ["shortcut", "unchecked"]
    assert report["shortcuts"]["groups"][-1]["group"] == "all together"
    assert json.loads(run(corpus_csv, "--json", "--no-audio")[1])["shortcuts"] is None


def test_the_command_fails_on_errors_and_when_strict_on_warnings(corpus_csv: Path) -> None:
    assert run(corpus_csv, "--strict")[0] == 1
    assert run(corpus_csv, "--strict", "--no-audio")[0] == 0
    (corpus_csv.parent / "vits0.wav").unlink()
    status, out = run(corpus_csv)
    assert status == 1
    assert "missing-file" in out
