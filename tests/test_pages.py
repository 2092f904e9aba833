"""A corpus of public pages: its columns, its core, and audio that does not lie here."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from synthprint.errors import ManifestError
from synthprint.manifests.opening import open_manifest
from synthprint.protocols import pages

COLUMNS = (
    "path", "source", "label", "publisher", "group", "content_id", "split", "family", "vocoder", "kind", "language",
    "speaker", "human", "core", "duration_s", "native_sample_rate", "doubt", "ablation",
)  # fmt: skip
ROWS = [
    ("0.flac", "kokoro", "Kokoro", "one/page", "24k", "s1", "train", "styletts2", "istftnet", "tts", "en", "", "0",
     "1", "6.20", "24000", "", ""),
    ("1.flac", "vits-small@page", "VITS small", "one/page", "24k", "s1", "train", "vits", "", "tts", "en?", "", "0",
     "1", "2.10", "24000", "?", "1"),
    ("2.flac", "human", "LJSpeech", "two/page", "", "s1", "dev", "human", "", "human", "?", "lj", "1",
     "0", "4.00", "22050", "", ""),
]  # fmt: skip


def write_pages(
    root: Path,
    audio: tuple[str, ...] = (),
    columns: tuple[str, ...] = COLUMNS,
    rows: Sequence[tuple[str, ...]] = ROWS,
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    for name in audio:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    return root


def test_the_columns_become_those_of_every_manifest(tmp_path: Path) -> None:
    manifest = open_manifest(write_pages(tmp_path, ("0.flac", "1.flac", "2.flac")))
    first, second, human = manifest
    assert (first.id, first.source, first.publisher, first.group, first.text_id) == (
        "0.flac", "kokoro", "one/page", "24k", "s1",
    )  # fmt: skip
    assert (first.family, first.split, first.duration_s) == ("styletts2", "train", 6.2)
    assert {key: first.extra[key] for key in ("label", "vocoder", "kind", "native_sample_rate")} == {
        "label": "Kokoro", "vocoder": "istftnet", "kind": "tts", "native_sample_rate": "24000",
    }  # fmt: skip
    assert "content_id" not in first.extra
    assert (second.language, second.extra["doubt"], second.extra["ablation"]) == ("en", "?", "1")
    assert (human.source, human.family, human.language, human.group) == ("human", "human", None, None)
    assert (first.source_seen, human.source_seen) == (True, False)
    assert open_manifest(tmp_path / "manifest.csv") == manifest


def test_people_are_one_source_whatever_the_page_calls_them(tmp_path: Path) -> None:
    row = (ROWS[2][0], "ground truth@page", *ROWS[2][2:7], "", *ROWS[2][8:])
    (human,) = pages.read(write_pages(tmp_path, rows=[row]))
    assert (human.source, human.family) == ("human", "human")


def test_the_core_is_read_where_only_that_lies_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        manifest = pages.read(write_pages(tmp_path, ("core/0.flac", "core/1.flac", "core/2.flac")))
    assert [(u.id, u.path, u.duration_s) for u in manifest] == [
        ("0.flac", "core/0.flac", 3.2),
        ("1.flac", "core/1.flac", 2.1),
    ]
    assert "1 of 3 clips do not lie here and are left out" in caplog.text
    (tmp_path / "0.flac").touch()
    assert [u.path for u in pages.read(tmp_path)] == ["0.flac", "core/1.flac"]  # the longer one, where both are here


def test_without_any_audio_all_rows_are_read(tmp_path: Path) -> None:
    assert [u.path for u in pages.read(write_pages(tmp_path))] == ["0.flac", "1.flac", "2.flac"]


def test_other_tables_are_not_recognised(tmp_path: Path) -> None:
    assert pages.recognises(write_pages(tmp_path / "pages"))
    for column in pages.NEEDED:
        renamed = tuple("other" if name == column else name for name in COLUMNS)
        root = write_pages(tmp_path / column, columns=renamed)
        assert not pages.recognises(root)
        with pytest.raises(ManifestError, match=f"column '{column}' is missing"):
            pages.read(root)
    (tmp_path / "pages" / "manifest.csv").write_bytes(b"\xff\xfe\0")
    assert not pages.recognises(tmp_path / "pages")


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no rows"):
        pages.read(write_pages(tmp_path, rows=[]))
    row = (*ROWS[0][:6], "validation", *ROWS[0][7:])
    with pytest.raises(ManifestError, match=r"manifest\.csv: line 2: .*split 'validation'"):
        pages.read(write_pages(tmp_path, rows=[row]))


def test_a_name_that_no_file_can_have_is_not_looked_for(tmp_path: Path) -> None:
    root = write_pages(tmp_path, rows=[("x" * 5000, *ROWS[0][1:])])
    assert len(pages.read(root)) == 1
