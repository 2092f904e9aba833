"""MLAAD's source-tracing lists: what the loader makes of them, and that the linter names each of their traps."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import mlaad_tree
from synthprint.errors import ManifestError
from synthprint.linting.findings import Finding
from synthprint.linting.linter import Report, lint
from synthprint.manifests.opening import distinct, open_manifest
from synthprint.protocols import mlaad
from synthprint.scoring.all_pairs import QUADRANTS, evaluate_all_pairs
from synthprint.types import SPLITS, Manifest

REAL_LISTS = os.environ.get("SYNTHPRINT_MLAAD_LISTS")
real = pytest.mark.skipif(REAL_LISTS is None, reason="SYNTHPRINT_MLAAD_LISTS names no copy of MLAAD's lists")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("mlaad")
    mlaad_tree.write_lists(root)
    return open_manifest(root)


@pytest.fixture(scope="module")
def linted(miniature: Manifest) -> Report:
    return lint(miniature, audio=False)


def found(report: Report, code: str) -> dict[str, Finding]:
    """The findings with this code by their message."""
    return {f.message: f for f in report.findings if f.code == code}


# --- where the lists are, and what a row of them becomes ------------------------------------------------------


@pytest.mark.parametrize("where", ["", *mlaad.LIST_FOLDERS, "MLAADv5_for_sourcetracing/mlaadv5_for_sourcetracing"])
@pytest.mark.parametrize("audio", ["", "MLAADv5"])
def test_lists_and_audio_are_found_where_people_keep_them(tmp_path: Path, where: str, audio: str) -> None:
    mlaad_tree.write_lists(tmp_path / where)
    (tmp_path / audio / "fake").mkdir(parents=True)
    assert mlaad.recognises(tmp_path)
    assert mlaad.read(tmp_path).root == tmp_path / audio


def test_the_audio_is_found_around_the_folder_of_the_lists(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path / "mlaad4sourcetracing")
    (tmp_path / "fake").mkdir()
    assert mlaad.read(tmp_path / "mlaad4sourcetracing").root == tmp_path


def test_every_row_of_the_lists_is_kept_in_order(miniature: Manifest) -> None:
    listed = [row for name in mlaad_tree.ROWS for row in mlaad_tree.rows(name)]
    assert [(f"./{u.path}", u.source) for u in miniature] == listed
    assert Counter(u.split for u in miniature) == {"train": 69, "dev": 56, "test": 185}


def test_the_language_comes_from_the_path_alone(miniature: Manifest) -> None:
    assert next((u.language, u.text_id, u.family, u.extra) for u in miniature) == ("en", "emma_0", "bark", {})
    by_source = {u.source: {v.language for v in miniature if v.source == u.source} for u in miniature}
    assert by_source[mlaad_tree.XTTS_1] == {"en", "cs", "pl"}  # one source, many languages
    assert by_source[mlaad_tree.MMS] == {"de"}
    same_stem = [u for u in miniature if u.text_id == "svejk_0"]
    assert {u.source for u in same_stem} == {mlaad_tree.XTTS_1, mlaad_tree.XTTS_2}  # one name, two files
    assert len({u.id for u in same_stem}) == 2


def test_meta_csv_is_pipes_without_quotes_and_only_describes(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    mlaad_tree.write_meta(
        tmp_path / "fake/de/facebook_mms-tts-deu",
        [
            './fake/de/facebook_mms-tts-deu/werther_0.wav|de_DE/x.wav|en|True|1.25|mms|facebook/mms-tts-deu|VITS|"Wie|so?',
            "./fake/de/facebook_mms-tts-deu/werther_1.wav|cut short",
            "./fake/de/facebook_mms-tts-deu/werther_2.wav|a|de|True|unknown|mms|facebook/mms-tts-deu|VITS|Ach\u2028so.",
        ],
    )
    described = {u.text_id: u for u in mlaad.read(tmp_path) if u.source == mlaad_tree.MMS}
    first = described["werther_0"]
    assert (first.duration_s, first.family, first.language) == (1.25, "vits", "de")
    assert first.extra == {
        "original_file": "de_DE/x.wav",
        "is_original_language": "True",
        "training_data": "mms",
        "architecture": "VITS",
        "transcript": '"Wie|so?',
    }
    assert described["werther_1"].extra == {}
    assert (described["werther_2"].duration_s, described["werther_2"].extra["transcript"]) == (None, "Ach\u2028so.")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("tts_models/en/ljspeech/tacotron2-DDC_ph", "tacotron2"),
        ("tts_models/en/sam/tacotron-DDC", "tacotron"),
        ("tts_models/en/blizzard2013/capacitron-t2-c50", "tacotron2"),
        ("facebook/mms-tts-fra", "vits"),
        ("tts_models/en/jenny/jenny", "vits"),
        ("tts_models/bn/custom/vits-female", "vits"),
        ("VITS", "vits"),
        ("vixTTS", "xtts"),
        ("tts_models/multilingual/multi-dataset/xtts_v1.1", "xtts"),
        ("suno/bark-small", "bark"),
        ("tts_models/uk/mai/glow-tts", "glow-tts"),
        ("parler_tts_mini_v0.1", "parler-tts"),
        ("WhisperSpeech", "whisperspeech"),
        ("microsoft/speecht5_tts", "speecht5_tts"),
    ],
)
def test_family_by_name(name: str, known: str) -> None:
    assert mlaad.family(name) == known


@pytest.mark.parametrize(
    ("broken", "text", "message"),
    [
        ("dev.csv", "file,label\n", r"dev\.csv: line 1: the header is 'file,label', not 'path,model_name'"),
        ("dev.csv", "path,model_name\n./fake/en/m/a.wav\n", r"dev\.csv: line 2 has 1 cells and the header 2; .*unpack"),
        ("dev.csv", "path,model_name\n./a.wav,m\n", r"dev\.csv: line 2 is not '\./fake/"),
        ("dev.csv", "path,model_name\n./fake/en/m/a.wav,m\n", r"dev\.csv: line 2 is in no list of .*fine"),
        ("fine/dev___lang_seen___model_seen.csv", None, r"dev___lang_seen___model_seen\.csv: cannot be read"),
    ],
)
def test_the_list_that_is_broken_is_named(tmp_path: Path, broken: str, text: str | None, message: str) -> None:
    mlaad_tree.write_lists(tmp_path)
    (tmp_path / broken).unlink()
    if text is not None:
        (tmp_path / broken).write_text(text)
    with pytest.raises(ManifestError, match=message):
        mlaad.read(tmp_path)


# --- the traps, one by one: what the loader gives, and what the linter says -----------------------------------


def test_quadrants_are_those_of_the_fine_lists(miniature: Manifest) -> None:
    for split, name in (("dev", "dev"), ("test", "eval")):
        assert Counter(u.quadrant for u in miniature.split(split)) == mlaad_tree.QUADRANTS[name]
    assert {u.quadrant for u in miniature.split("train")} == {(True, True)}


def test_trap_duplicate_rows(miniature: Manifest, linted: Report) -> None:
    repeated = [u.id for u in miniature if "#" in u.id]
    assert repeated == [f"fake/de/griffin_lim/moor_{i}.wav#2" for i in range(8)]
    assert [u.id for u in distinct(miniature)] == [u.id for u in miniature if "#" not in u.id]
    (finding,) = found(linted, "repeated-path").values()
    assert (finding.severity, finding.count, finding.examples) == ("warning", 8, ("griffin_lim (8)",))


def test_trap_clips_listed_as_unseen_of_a_source_in_train(tmp_path: Path, miniature: Manifest, linted: Report) -> None:
    assert [u.source_seen for u in miniature.split("test") if u.source == mlaad_tree.NEON] == [False] * 4
    assert {u.source_seen for u in miniature.split("dev") if u.source == mlaad_tree.NEON} == {True}
    (finding,) = found(linted, "marked-unseen").values()
    assert (finding.count, finding.examples) == (4, (f"{mlaad_tree.NEON} (4 clips)",))
    assert not found(linted, "marked-seen")
    # Without the fine lists the train list decides, and nothing contradicts it.
    mlaad_tree.write_lists(tmp_path, fine=False)
    assert {u.quadrant for u in mlaad.read(tmp_path).split("test")} == {None}
    filled = open_manifest(tmp_path)
    assert {u.source_seen for u in filled.split("test") if u.source == mlaad_tree.NEON} == {True}
    assert not found(lint(filled, audio=False), "marked-unseen")


def test_trap_the_same_weights_under_two_names(miniature: Manifest, linted: Report) -> None:
    seen = {u.source: u.source_seen for u in miniature.split("test")}
    assert (seen[mlaad_tree.SUNO_BARK], seen[mlaad_tree.COQUI_BARK]) == (True, False)
    (finding,) = found(linted, "twin-names").values()
    assert finding.examples == (f"{mlaad_tree.SUNO_BARK} (in train), {mlaad_tree.COQUI_BARK}",)


def test_trap_sources_that_are_unseen_in_both_dev_and_test(linted: Report) -> None:
    (finding,) = found(linted, "unseen-twice").values()
    assert (finding.count, finding.examples) == (2, ("WhisperSpeech", mlaad_tree.COQUI_BARK))


def test_trap_shared_sentences(linted: Report) -> None:
    assert {message: f.count for message, f in found(linted, "shared-sentences").items()} == {
        "2 sentences of train also in dev, in 2 clips there": 2,
        "5 sentences of train also in test, in 5 clips there; 3 of them in the same language": 5,
        "2 sentences of dev also in test, in 2 clips there; 0 of them in the same language": 2,
    }


def test_trap_three_sources_make_most_target_pairs(linted: Report) -> None:
    (finding,) = found(linted, "dominant-sources").values()
    assert finding.message == "3 of 8 sources make 90% of the 3,282 target pairs in test: a pooled EER is mostly theirs"
    assert finding.examples == (
        f"{mlaad_tree.COQUI_BARK} (54%)",
        f"{mlaad_tree.XTTS_1} (19%)",
        f"{mlaad_tree.XTTS_2} (17%)",
    )


def test_trap_unseen_sources_of_known_families(linted: Report) -> None:
    messages = "\n".join(found(linted, "known-families"))
    assert "64 of the 79 clips of unseen sources in test (81%) belong to a family that is in train" in messages
    assert "23 of the 33 clips of unseen sources in dev (70%)" in messages


def test_nothing_else_is_found_and_nothing_is_called_an_error(linted: Report) -> None:
    assert Counter(f.code for f in linted.findings) == {
        "repeated-path": 1, "twin-names": 1, "marked-unseen": 1, "unseen-twice": 1, "shared-sentences": 3,
        "small-source": 2, "dominant-sources": 1, "known-families": 2, "unchecked": 1,
    }  # fmt: skip
    assert (linted.count("error"), linted.count("warning"), linted.count("note")) == (0, 12, 1)


# --- the published lists --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> Manifest:
    return open_manifest(str(REAL_LISTS))


@pytest.fixture(scope="module")
def published_report(published: Manifest) -> Report:
    return lint(published, audio=False)


@real
def test_the_published_lists_have_the_published_counts(published: Manifest) -> None:
    sources = {u.source for u in published.split("train")}
    counts = {}
    for split in SPLITS:
        part = published.split(split)
        languages = {u.language for u in part}
        seen = len(sources & set(part.sources))
        counts[split] = (len(part), len(distinct(part)), len(part.sources), seen, len(languages))
    assert counts == {
        "train": (11_100, 11_100, 24, 24, 8),
        "dev": (12_000, 12_000, 25, 8, 21),
        "test": (33_900, 33_791, 64, 21, 37),
    }


@real
def test_the_published_quadrants_are_those_of_the_lists_not_of_the_papers_text(published: Manifest) -> None:
    assert Counter(u.quadrant for u in published.split("dev")) == {
        (True, True): 3_000, (False, True): 2_700, (True, False): 1_800, (False, False): 4_500,
    }  # fmt: skip
    assert Counter(u.quadrant for u in published.split("test")) == {
        (True, True): 8_700, (False, True): 7_500, (True, False): 4_800, (False, False): 12_900,
    }  # fmt: skip


@real
def test_every_trap_of_the_published_lists_is_found(published_report: Report) -> None:
    assert [(f.code, f.count) for f in published_report.findings] == [
        ("repeated-path", 109),
        ("twin-names", 1),
        ("marked-unseen", 91),
        ("unseen-twice", 2),
        ("shared-sentences", 577),
        ("shared-sentences", 1_539),
        ("shared-sentences", 2_184),
        ("dominant-sources", 12),
        ("dominant-sources", 3),
        ("known-families", 6_000),
        ("known-families", 16_500),
        ("unchecked", 1),
    ]
    examples = {f.code: f.examples for f in published_report.findings}
    assert examples["twin-names"] == (f"{mlaad_tree.SUNO_BARK} (in train), {mlaad_tree.COQUI_BARK}",)
    assert examples["marked-unseen"] == (f"{mlaad_tree.NEON} (91 clips)",)
    assert examples["unseen-twice"] == ("WhisperSpeech", mlaad_tree.COQUI_BARK)
    assert examples["dominant-sources"] == (
        f"{mlaad_tree.COQUI_BARK} (60%)", f"{mlaad_tree.XTTS_1} (18%)", f"{mlaad_tree.XTTS_2} (15%)",
    )  # fmt: skip
    messages = "\n".join(f.message for f in published_report.findings)
    assert "1,539 sentences of train also in test" in messages
    assert "3 of 64 sources make 92% of the 43,434,103 target pairs in test" in messages
    assert "16,500 of the 20,400 clips of unseen sources in test (81%)" in messages


@real
@pytest.mark.parametrize(
    ("split", "trials", "targets"), [("dev", 71_994_000, 6_114_000), ("test", 574_588_050, 43_434_103)]
)
def test_an_evaluation_counts_the_published_numbers_of_pairs(
    published: Manifest, split: str, trials: int, targets: int
) -> None:
    part = published.split(split)
    vectors = np.random.default_rng(1).standard_normal((len(part), 4))
    evaluation = evaluate_all_pairs(vectors, [u.source for u in part], [u.quadrant for u in part])
    assert (evaluation.pooled.targets, evaluation.pooled.targets + evaluation.pooled.nontargets) == (targets, trials)
    assert evaluation.pooled.eer == pytest.approx(0.5, abs=0.001)  # these vectors say nothing
    counts = Counter(u.quadrant for u in part)
    assert {name: group.utterances for name, group in evaluation.quadrants.items()} == {
        name: counts[quadrant] for quadrant, name in QUADRANTS.items()
    }
    assert len(evaluation.sources) == len(part.sources)
