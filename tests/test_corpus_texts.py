"""The sentences that the open corpus speaks: our own, GNOME's help, a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthprint.corpus import texts
from synthprint.corpus.plan import text_split
from synthprint.errors import ManifestError
from synthprint.types import SPLITS


def test_our_own_sentences_are_parallel_and_in_every_split() -> None:
    packaged = texts.packaged()
    languages = {s.language for s in packaged}
    keys = {s.text_id for s in packaged}
    assert len(languages) >= 12
    assert len(packaged) == len(languages) * len(keys)
    assert {text_split(s.document) for s in packaged} == set(SPLITS)
    assert all(s.text.isascii() for s in packaged if s.language == "en")
    assert len({(s.language, s.text) for s in packaged}) == len(packaged)
    for language in languages - {"ja", "zh"}:
        assert all(25 <= len(s.text) <= 90 for s in packaged if s.language == language)


PAGE = """<page xmlns="http://projectmallard.org/1.0/"><info><desc>D</desc><p>About the page: not read.</p></info>
<title>T</title><section><p>{first}</p><p>{second}</p></section></page>"""


def test_gnome_help_is_read_in_parallel(tmp_path: Path) -> None:
    def page(language: str, first: str, second: str) -> None:
        folder = tmp_path / language / "gnome-help"
        folder.mkdir(parents=True)
        (folder / "clock.page").write_text(PAGE.format(first=first, second=second), encoding="utf-8")

    page("C", "Click the <gui>Clock</gui>, it’s\n in the top bar of the screen. Short one.",
         "There are at least 24 hours in a day, if you wait long enough.")  # fmt: skip
    page(
        "de",
        "Klicken Sie auf die <gui>Uhr</gui> in der oberen Leiste. Kurz.",
        "Völlig übersetzt, aber ohne Satzende am Ende",
    )
    page("zh_CN", "点击屏幕顶栏里的时钟，就能看到今天的日期。", "打开 Clock 应用程序，看看现在几点。")
    page("fi", "Click the <gui>Clock</gui>, it's in the top bar of the screen. Short one.", "Ei.")
    page(
        "ru",
        "Нажмите на часы Clock в верхней панели экрана, они там есть.",
        "Нажмите на часы в верхней панели экрана справа.",
    )
    found = {(s.language, s.text_id): s for s in texts.gnome_help(folder=tmp_path)}
    assert {key: s.text for key, s in found.items()} == {
        ("en", "gnome.clock.0.0"): "Click the Clock, it's in the top bar of the screen.",
        ("de", "gnome.clock.0.0"): "Klicken Sie auf die Uhr in der oberen Leiste.",
        ("ru", "gnome.clock.1.0"): "Нажмите на часы в верхней панели экрана справа.",
        ("zh", "gnome.clock.0.0"): "点击屏幕顶栏里的时钟，就能看到今天的日期。",
    }
    assert {s.document for s in found.values()} == {"gnome.clock.0", "gnome.clock.1"}
    assert {s.language for s in texts.gnome_help({"de"}, tmp_path)} == {"en", "de"}


def test_sentences_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlanguage\nHyvää huomenta.\tfi\nHYVÄÄ huomenta.\tfi\nGuten Morgen.\tde\n")
    assert [(s.language, s.text) for s in texts.gather(file=tmp_path / "a.tsv")] == [
        ("de", "Guten Morgen."),
        ("fi", "Hyvää huomenta."),
    ]
    (tmp_path / "news.fi.txt").write_text("Yksi lause.\n\nToinen lause.\n")
    assert {s.text for s in texts.gather({"fi"}, tmp_path / "news.fi.txt")} == {"Yksi lause.", "Toinen lause."}


def test_a_file_that_is_no_list_of_sentences_is_refused(tmp_path: Path) -> None:
    bad = {
        "a.csv": ("text\nhello\n", "sentence 1 needs a text and a language"),
        "b.csv": ("language,text_id,text\nen,1,Hello.\nen,1,Bye.\n", "'file.1' occurs twice in language 'en'"),
        "c.csv": ("language,text\nfi,Hei.\n", "no sentence in en; there are: fi"),
        "plain.txt": ("hello\n", "name plain text by its language"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(ManifestError, match=message):
            texts.gather({"en"}, tmp_path / name)
    with pytest.raises(ManifestError, match="cannot be read"):
        texts.gather(file=tmp_path / "nothing.csv")
