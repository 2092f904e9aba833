"""Data sets put into one manifest: who trains, who is held out, and that a sentence goes one way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from conftest import run_cli
from synthprint.errors import ManifestError
from synthprint.manifests.corpora import corpus_name, list_corpora
from synthprint.manifests.splits import HeldOut, joined, position, read_held_out, split_by_hash
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
        "splits": splits,
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
