"""Data sets put into one manifest: who trains, who is held out, and that a sentence goes one way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import run_cli
from synthprint.errors import ManifestError
from synthprint.manifests.aliases import merged, read_aliases
from synthprint.manifests.corpora import corpus_name, list_corpora
from synthprint.manifests.splits import HeldOut, held_out_but_met, joined, position, read_held_out, split_by_hash
from synthprint.manifests.spreading import Caps, capped
from synthprint.types import Manifest, Utterance

TEXTS = [f"text-{i}" for i in range(40)]


def corpus(name: str, sources: int = 3) -> Manifest:
    """Sources that all speak TEXTS."""
    rows = [Utterance(f"{s}/{t}", f"{s}/{t}.wav", f"{name}-{s}", text_id=t) for s in range(sources) for t in TEXTS]
    return Manifest(tuple(rows), Path("/audio") / name, name)


def test_the_position_of_a_key_is_its_hash() -> None:
    assert position("a") == int(hashlib.sha256(b"a").hexdigest()[:8], 16) / 2**32
    assert [split_by_hash(key) for key in ("a", "b", "c", "text-3", "text-7", "text-9", "text-14")] == [
        next(name for name, end in (("train", 0.76), ("dev", 0.88), ("test", 1.0)) if position(key) < end)
        for key in ("a", "b", "c", "text-3", "text-7", "text-9", "text-14")
    ]
    assert 0.7 < sum(split_by_hash(str(i)) == "train" for i in range(1000)) / 1000 < 0.82


def test_held_out_sources_never_train_and_a_sentence_goes_one_way() -> None:
    held = {"a": HeldOut(("a-0",), ("a-1",)), "b": HeldOut((), ("b-0",), new_sentences=True)}
    manifest = joined({"a": corpus("a"), "b": corpus("b")}, held)
    splits = {source: {u.split for u in manifest if u.source == source} for source in manifest.sources}
    assert (splits["a-0"], splits["a-1"], splits["b-0"]) == ({"dev"}, {"test"}, {"test"})
    assert splits["a-2"] == splits["b-1"] == {"train", "dev", "test"}
    of_text = {text: {u.split for u in manifest if u.text_id == text and u.source_seen} for text in TEXTS}
    assert all(len(found) == 1 for found in of_text.values())
    trained = {text for text, found in of_text.items() if found == {"train"}}
    assert {u.text_id for u in manifest if u.source == "a-0"} == set(TEXTS)
    assert {u.text_id for u in manifest if u.source == "b-0"} == set(TEXTS) - trained
    assert {u.source for u in manifest if not u.source_seen} == {"a-0", "a-1", "b-0"}
    first = manifest.utterances[0]
    assert (first.id, first.path, corpus_name(first)) == ("a/0/text-0", "/audio/a/0/text-0.wav", "a")


def test_a_source_with_few_texts_is_split_by_speaker() -> None:
    rows = [Utterance(f"{i}", f"{i}.wav", "few", text_id=f"t{i % 3}", speaker=f"s{i // 3}") for i in range(60)]
    manifest = joined({"x": Manifest(tuple(rows), Path("/"))}, {})
    assert all(u.split == split_by_hash(str(u.speaker)) for u in manifest)


def test_what_is_held_out_must_be_there() -> None:
    with pytest.raises(ManifestError, match="has no source 'a-9'"):
        joined({"a": corpus("a")}, {"a": HeldOut(("a-9",))})
    with pytest.raises(ManifestError, match="no corpus is called 'c'"):
        joined({"a": corpus("a")}, {"c": HeldOut()})


def test_the_command_writes_a_manifest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        corpus(name).save(tmp_path / f"{name}.csv")
    held = tmp_path / "held.toml"
    held.write_text('[a]\ndev = ["a-0"]\n[b]\ntest = ["b-0"]\nnew_sentences = true\n')
    assert read_held_out(held) == {"a": HeldOut(("a-0",)), "b": HeldOut((), ("b-0",), True)}
    words = ["corpus", "split", tmp_path / "all.csv", "--held-out", held]
    result = run_cli(*words, "--data", f"a={tmp_path / 'a.csv'}", "--data", f"b={tmp_path / 'b.csv'}")
    manifest = Manifest.load(tmp_path / "all.csv")
    assert f"{sum(u.split == 'dev' for u in manifest)} dev" in result.stdout
    assert list_corpora(manifest).names == ("a", "b")
    printed = run_cli(*words, "--data", f"a={tmp_path / 'a.csv'}", "--data", f"b={tmp_path / 'b.csv'}", "--json").stdout
    splits = {split: sum(u.split == split for u in manifest) for split in ("train", "dev", "test")}
    assert json.loads(printed) == {
        "manifest": str(tmp_path / "all.csv"), "clips": len(manifest), "sources": len(manifest.sources),
        "splits": splits, "held_out_but_met": [],
    }  # fmt: skip
    run_cli(*words, "--data", "nothing", status=2)
    held.write_text("[a]\ntrain = []\n")
    with pytest.raises(ManifestError, match=r"held\.toml: .*train"):
        read_held_out(held)


def test_corpora_and_their_subsets() -> None:
    manifest = joined({"a": corpus("a"), "b": corpus("b")}, {"a": HeldOut(("a-0",))})
    corpora = list_corpora(manifest)
    assert (corpora.names, corpora.main) == (("a", "b"), "a")
    counts = {name: sum(map(belongs, manifest)) for name, belongs in corpora.subsets().items()}
    assert counts == {
        "a, sources never met": 40, "a, sources met in training": 80, "a, all": 120,
        "b, sources never met": 0, "b, sources met in training": 120, "b, all": 120, "everything": 240,
    }  # fmt: skip
    assert list(corpora.parts()) == ["a", "b", "both"]
    assert list_corpora(manifest, "b").main == "b"
    with pytest.raises(ManifestError, match="no corpus is called 'c'; there are: a, b"):
        list_corpora(manifest, "c")
    plain = list_corpora(corpus("a"))
    assert (plain.names, plain.main) == (("",), "")
    assert list(plain.subsets()) == ["sources never met", "sources met in training", "everything"]
    assert list(plain.parts()) == ["all"]


# --- aliases --------------------------------------------------------------------------------------------------


def aliased(text: str, folder: Path) -> dict[str, str]:
    (folder / "aliases.toml").write_text(text)
    return read_aliases(folder / "aliases.toml")


def test_an_alias_stands_for_a_source_also_through_another_one(tmp_path: Path) -> None:
    assert aliased('"a" = "b"\n"b" = "c"\n"d@x" = "c"\n', tmp_path) == {"a": "c", "b": "c", "d@x": "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"a" = "b"\n"b" = "c"\n"c" = "a"', r"in a circle: 'a' = 'b' = 'c' = 'a'; name one of them the source"),
        ('"a" = "a"', "in a circle: 'a' = 'a'"),
        ('"a" = ""', "alias 'a' stands for no name"),
        ('"a" = 3', r"aliases\.toml: a must be text, not 3"),
        ('[a]\nb = "c"', r"aliases\.toml"),
        ("a = ", r"aliases\.toml"),
    ],
)
def test_aliases_that_lead_nowhere_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=message):
        aliased(text, tmp_path)


def test_merging_gives_two_corpora_one_label() -> None:
    a, b = corpus("a"), corpus("b")
    a = Manifest(tuple(replace(u, family="fa", extra={"label": "as the page says"}) for u in a), a.root)
    b = Manifest(tuple(replace(u, family="fb") for u in b), b.root)
    both = merged({"a": a, "b": b}, {"b-1": "a-0", "elsewhere": "nowhere"})
    assert both["a"] == a
    changed = [u for u in both["b"] if u.extra]
    assert {(u.source, u.family, u.extra["label"]) for u in changed} == {("a-0", "fa", "b-1")}
    assert set(both["b"].sources) == {"a-0", "b-0", "b-2"}
    kept = merged({"a": a}, {"a-1": "a-2"})["a"]
    assert {u.extra["label"] for u in kept} == {"as the page says"}
    new = merged({"a": a, "b": b}, {"a-1": "one name", "b-1": "one name"})
    assert set(new["a"].sources) & set(new["b"].sources) == {"one name"}
    with pytest.raises(ManifestError, match="alias 'b-1' stands for 'a-9', and no corpus has a source of that name"):
        merged({"a": a, "b": b}, {"b-1": "a-9"})


def test_what_is_held_out_is_named_as_its_corpus_does() -> None:
    held = {"b": HeldOut(dev=("b-1",))}
    manifest = joined({"a": corpus("a"), "b": corpus("b")}, held, aliases={"b-1": "a-0"})
    assert {u.split for u in manifest if u.id.startswith("b/1/")} == {"dev"}
    assert "train" in {u.split for u in manifest if u.id.startswith("a/0/")}
    assert held_out_but_met(manifest, held) == ["a-0"]
    assert all(u.source_seen for u in manifest if u.source == "a-0")
    assert held_out_but_met(joined({"b": corpus("b")}, held), held) == []
    with pytest.raises(ManifestError, match="has no source 'a-0', which is to be held out"):
        joined({"a": corpus("a"), "b": corpus("b")}, {"b": HeldOut(("a-0",))}, aliases={"b-1": "a-0"})


def test_the_aliases_of_this_repository_can_be_read() -> None:
    aliases = read_aliases(Path(__file__).parents[1] / "models" / "aliases.toml")
    assert aliases["kokoro-v1.0@sherpa"] == "kokoro"
    assert not set(aliases) & set(aliases.values())


# --- publishers -----------------------------------------------------------------------------------------------


def published(publishers: int = 40, split: str | None = None) -> Manifest:
    """Publishers with two sources each, of which the next one has one too."""
    rows = [
        Utterance(f"{p}/{s}/{t}", f"{p}/{s}/{t}.wav", f"s{s}", text_id=t, publisher=f"p{p}", split=split)
        for p in range(publishers) for s in (p, p + 1) for t in TEXTS[:5]
    ]  # fmt: skip
    return Manifest(tuple(rows), Path("/audio"), "pages")


def test_the_clips_of_a_publisher_go_one_way() -> None:
    manifest = joined({"x": published(), "y": corpus("y")}, {}, by="publisher")
    splits = {p: {u.split for u in manifest if u.publisher == p} for p in {u.publisher for u in manifest}}
    bare = splits.pop(None)
    assert bare == {"train", "dev", "test"}  # by their sentence
    assert all(of == {split_by_hash(str(p))} for p, of in splits.items())
    assert set().union(*splits.values()) == {"train", "dev", "test"}
    assert any(u.source_seen and u.split != "train" for u in manifest if u.publisher)  # known, from somebody new


def test_a_corpus_that_keeps_its_splits_decides_for_its_publishers() -> None:
    corpora = {"old": published(3, "test"), "new": published()}
    manifest = joined(corpora, {"new": HeldOut(dev=("s1",))}, by="publisher", keep_splits=["old"])
    assert {u.split for u in manifest if u.extra["corpus"] == "old"} == {"test"}
    new = [u for u in manifest if u.extra["corpus"] == "new"]
    assert {u.split for u in new if u.publisher in ("p0", "p1", "p2") and u.source != "s1"} == {"test"}
    assert {u.split for u in new if u.source == "s1"} == {"dev"}
    with pytest.raises(ManifestError, match="'old' keeps its splits, so none of its sources can be held out"):
        joined(corpora, {"old": HeldOut(("s1",))}, keep_splits=["old"])
    with pytest.raises(ManifestError, match="'new' is to keep its splits, and '0/0/text-0' has none"):
        joined(corpora, {}, keep_splits=["new"])
    with pytest.raises(ManifestError, match="no corpus is called 'other', of which the splits are to stay"):
        joined(corpora, {}, keep_splits=["other"])


# --- caps -----------------------------------------------------------------------------------------------------


def test_fewer_clips_are_spread_over_publishers_and_sentences() -> None:
    rows = [
        Utterance(f"{p}/{t}/{take}", "x", "s", text_id=t, publisher=p, split=split)
        for split in ("train", "dev") for p, texts in (("a", 8), ("b", 2), ("c", 1))
        for t in TEXTS[:texts] for take in range(3)
    ]  # fmt: skip
    rows = [replace(u, id=f"{u.split}/{u.id}") for u in rows]
    for split in ("train", "dev"):
        left = [u for u in capped(rows, Caps(per_source=9)) if u.split == split]
        assert Counter(u.publisher for u in left) == {"a": 3, "b": 3, "c": 3}
        assert len({u.text_id for u in left if u.publisher == "a"}) == 3
        assert len({u.text_id for u in left if u.publisher == "b"}) == 2
    left = capped(rows, Caps(per_publisher=4))
    assert Counter((u.split, u.publisher) for u in left) == {(s, p): min(4, n) for s in ("train", "dev")
                                                            for p, n in (("a", 24), ("b", 6), ("c", 3))}  # fmt: skip
    assert left == [u for u in rows if u in left]  # in their order
    assert capped(rows[::-1], Caps(5, 2)) == capped(rows, Caps(5, 2))[::-1]
    assert capped(rows, Caps()) == rows
    with pytest.raises(ManifestError, match="per_source = 0 must be 1 or more"):
        Caps(per_source=0)


def test_the_command_merges_caps_and_splits_by_publisher(tmp_path: Path) -> None:
    published().save(tmp_path / "pages.csv")
    published(3, "test").save(tmp_path / "old.csv")
    (tmp_path / "aliases.toml").write_text('"s7" = "s8"\n')
    printed = run_cli(
        "corpus", "split", tmp_path / "all.csv", "--data", f"pages={tmp_path / 'pages.csv'}",
        "--data", f"old={tmp_path / 'old.csv'}", "--keep-splits", "old", "--by", "publisher",
        "--aliases", tmp_path / "aliases.toml", "--per-source", 6, "--per-publisher", 3, "--json",
    ).stdout  # fmt: skip
    manifest = Manifest.load(tmp_path / "all.csv")
    assert json.loads(printed)["clips"] == len(manifest)
    assert "s7" not in manifest.sources
    by_hand = joined(
        {"pages": published(), "old": published(3, "test")}, {}, aliases={"s7": "s8"}, by="publisher",
        keep_splits=["old"], caps=Caps(6, 3),
    )  # fmt: skip
    assert [(u.id, u.source, u.split) for u in manifest] == [(u.id, u.source, u.split) for u in by_hand]
    assert max(Counter((u.source, u.split) for u in manifest).values()) <= 6
