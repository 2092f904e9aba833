"""The nouns: what they refuse, and that what is saved comes back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from synthprint.errors import EmbeddingsError, ManifestError
from synthprint.types import Embeddings, Manifest, ScoredTrials, Trials, Utterance, Windows

# What a CSV file, a path and a person can hold; the empty text means "not given".
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
WORDS = CELLS.filter(lambda text: len(text.split()) == 1 and text == text.strip())


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    optional = st.none() | CELLS
    return Utterance(
        id=draw(CELLS), path=draw(CELLS.filter(lambda text: "/" not in text and text not in (".", ".."))),
        source=draw(CELLS), family=draw(optional), language=draw(optional), speaker=draw(optional),
        text_id=draw(optional), split=draw(st.sampled_from([None, "train", "dev", "test"])),
        source_seen=draw(st.none() | st.booleans()), language_seen=draw(st.none() | st.booleans()),
        duration_s=draw(st.none() | st.floats(0, 1e5)), extra=draw(st.dictionaries(st.sampled_from("xyz"), CELLS)),
    )  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.lists(utterances(), min_size=1, max_size=5, unique_by=lambda u: u.id))
def test_a_manifest_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Utterance]) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest = Manifest(tuple(rows), folder, "any")
    manifest.save(folder / "m.csv")
    found = Manifest.load(folder / "m.csv")
    assert found.utterances == manifest.utterances
    assert found.digest() == manifest.digest()


def clip(name: str, **more: object) -> Utterance:
    return Utterance(name, name, "source", **more)  # type: ignore[arg-type]


def test_paths_are_written_from_where_the_manifest_lies(tmp_path: Path) -> None:
    inside, outside = tmp_path / "lists" / "corpus", tmp_path / "elsewhere"
    Manifest((clip("a.wav"),), inside).save(tmp_path / "lists" / "m.csv")
    assert Manifest.load(tmp_path / "lists" / "m.csv").utterances[0].path == "corpus/a.wav"
    Manifest((clip("a.wav"),), outside).save(tmp_path / "lists" / "m.csv")
    loaded = Manifest.load(tmp_path / "lists" / "m.csv")
    assert loaded.audio_path(loaded.utterances[0]) == outside / "a.wav"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("file,source\na,b\n", r"row 1: column 'path' is missing; a manifest needs path, source; it has: file, source"),
        ("path,source\na.wav,\n", "row 1 has no source"),
        ("path,source\na.wav,x\nb.wav,y,z\n", "line 3 has 3 cells and the header 2"),
        ("path,source\na.wav,x\na.wav,y\n", r"1 duplicate id\(s\), the first is 'a.wav'"),
        ("path,source,split\na.wav,x,valid\n", "row 1.*split 'valid' is not one of train, dev, test"),
        ("path,source,duration_s\na.wav,x,long\n", "row 1: duration_s 'long' is not a number"),
        ("path,source,source_seen\na.wav,x,maybe\n", "row 1: source_seen 'maybe' is neither true nor false"),
        ('path,source\n"a\nb.wav",x\n', "an id cannot hold a line break"),
        ("path,source\n", "no utterances"),
        ("", "no utterances"),
    ],
)
def test_manifests_that_do_not_hold_together(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError, match=match) as caught:
        Manifest.load(tmp_path / "m.csv")
    assert str(tmp_path / "m.csv") in str(caught.value)


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read as a CSV manifest"):
        Manifest.load(tmp_path / "missing.csv")
    (tmp_path / "m.csv").write_bytes(b"path,source\n\xff\xfe,x\n")
    with pytest.raises(ManifestError, match="cannot be read as a CSV manifest"):
        Manifest.load(tmp_path / "m.csv")
    strange = os.fsdecode(b"\xff.wav")
    with pytest.raises(ManifestError, match="is not UTF-8"):
        Manifest((clip(strange),), tmp_path).save(tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_a_byte_order_mark_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfpath,source\r\na.wav,x\r\n")
    assert Manifest.load(tmp_path / "m.csv").sources == ["x"]


def test_splits_and_selections(tmp_path: Path) -> None:
    rows = (clip("a", split="train"), clip("b", split="dev"), clip("c"))
    manifest = Manifest(rows, tmp_path, "m")
    assert [u.id for u in manifest.split("dev")] == ["b"]
    assert manifest.split("dev").name == "m/dev"
    with pytest.raises(ManifestError, match=r"no utterance has split 'test'; there are: \(none\), dev, train"):
        manifest.split("test")
    with pytest.raises(ManifestError, match="no utterance is left"):
        manifest.filter(lambda _: False)


def test_seen_is_filled_in_from_train_where_it_is_not_given(tmp_path: Path) -> None:
    rows = (
        Utterance("a", "a", "x", language="en", split="train"),
        Utterance("b", "b", "x", language="de", split="test"),
        Utterance("c", "c", "y", language="en", split="test"),
        Utterance("d", "d", "y", split="test", source_seen=True),
    )
    seen = {u.id: u.quadrant for u in Manifest(rows, tmp_path).with_seen()}
    assert seen == {"a": (True, True), "b": (True, False), "c": (False, True), "d": None}
    assert Manifest(rows, tmp_path).with_seen().utterances[3].source_seen is True
    without = Manifest(rows[1:], tmp_path)
    assert without.with_seen() is without


def test_a_digest_names_what_matters(tmp_path: Path) -> None:
    manifest = Manifest((clip("a"), clip("b")), tmp_path)
    assert Manifest(manifest.utterances, tmp_path / "moved", "renamed").digest() == manifest.digest()
    for changed in (replace(clip("a"), source="t"), replace(clip("a"), split="dev"), clip("c")):
        assert Manifest((changed, clip("b")), tmp_path).digest() != manifest.digest()


@settings(deadline=None, max_examples=30)
@given(st.lists(CELLS, max_size=5, unique=True), st.integers(1, 4), st.booleans())
def test_embeddings_come_back(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], dim: int, with_windows: bool
) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(ids), dim)).astype(np.float32)
    windows = None
    if with_windows and ids:
        owners = np.repeat(np.arange(len(ids)), 2)
        windows = Windows(rng.standard_normal((len(owners), dim)).astype(np.float32), owners, owners * 0.5)
    path = tmp_path_factory.mktemp("embeddings") / "e.safetensors"
    Embeddings(tuple(ids), vectors, "digest", windows).save(path)
    found = Embeddings.load(path)
    assert found.ids == tuple(ids)
    assert found.extractor == "digest"
    np.testing.assert_array_equal(found.vectors, vectors)
    assert (found.windows is None) == (windows is None)
    if windows is not None and found.windows is not None:
        for name in ("vectors", "owners", "starts_s"):
            np.testing.assert_array_equal(getattr(found.windows, name), getattr(windows, name))


def test_ids_may_be_paths_in_any_encoding(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9.wav")
    Embeddings((strange,), np.ones((1, 2))).save(tmp_path / "e.safetensors")
    assert Embeddings.load(tmp_path / "e.safetensors").ids == (strange,)
    with pytest.raises(EmbeddingsError, match="line break"):
        Embeddings(("a\nb",), np.ones((1, 2))).save(tmp_path / "e.safetensors")


def test_embeddings_that_do_not_fit() -> None:
    with pytest.raises(EmbeddingsError, match=r"2 ids need vectors \[2, D\], not \[3, 4\]"):
        Embeddings(("a", "b"), np.ones((3, 4)))
    with pytest.raises(EmbeddingsError, match="the embedding of 'b' is not finite"):
        Embeddings(("a", "b"), np.array([[1.0], [np.nan]]))
    with pytest.raises(EmbeddingsError, match="id 'a' occurs twice"):
        Embeddings(("a", "a"), np.ones((2, 4)))
    with pytest.raises(EmbeddingsError, match="as many vectors"):
        Windows(np.ones((2, 4)), np.zeros(3, int), np.zeros(2))
    with pytest.raises(EmbeddingsError, match="different sizes"):
        Embeddings(("a",), np.ones((1, 4)), windows=Windows(np.ones((1, 3)), np.zeros(1, int), np.zeros(1)))
    with pytest.raises(EmbeddingsError, match="owners outside the 1 utterances"):
        Embeddings(("a",), np.ones((1, 4)), windows=Windows(np.ones((1, 4)), np.ones(1, int), np.zeros(1)))


def test_select_takes_the_order_that_is_asked_for() -> None:
    embeddings = Embeddings(("a", "b", "c"), np.arange(6).reshape(3, 2), "x")
    chosen = embeddings.select(["c", "a"])
    assert chosen.ids == ("c", "a")
    assert chosen.vectors.tolist() == [[4, 5], [0, 1]]
    assert chosen.extractor == "x"
    with pytest.raises(EmbeddingsError, match=r"1 utterance\(s\) have no embedding, the first is 'd'"):
        embeddings.select(["a", "d"])


def test_files_that_are_no_embeddings(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingsError, match="cannot be read as embeddings"):
        Embeddings.load(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(EmbeddingsError, match="cannot be read as embeddings"):
        Embeddings.load(tmp_path / "text")
    save_file({"vectors": np.ones((1, 2))}, tmp_path / "other.safetensors")
    with pytest.raises(EmbeddingsError, match="not an embeddings file of this version"):
        Embeddings.load(tmp_path / "other.safetensors")
    Embeddings(("a",), np.ones((1, 2))).save(tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-4])
    with pytest.raises(EmbeddingsError, match="cannot be read as embeddings"):
        Embeddings.load(tmp_path / "cut.safetensors")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), WORDS, WORDS, st.floats(allow_nan=False)), max_size=5))
def test_trials_and_scores_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    path = tmp_path_factory.mktemp("trials") / "t.txt"
    target, enrolment, test, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    trials = Trials(enrolment, test, np.array(target, dtype=bool))
    trials.save(path)
    found = Trials.load(path)
    assert (found.enrolment, found.test, found.target.tolist()) == (enrolment, test, list(target))
    ScoredTrials.from_list(trials, np.array(values, dtype=float)).save(path)
    scores = ScoredTrials.load(path)
    assert scores.scores.tolist() == list(values)
    assert scores.target_scores.tolist() == [v for v, t in zip(values, target, strict=True) if t]
    assert scores.nontarget_scores.tolist() == [v for v, t in zip(values, target, strict=True) if not t]


def test_trials_and_scores_that_are_refused(tmp_path: Path) -> None:
    trials = Trials(("a b",), ("c",), np.array([True]))
    with pytest.raises(ManifestError, match="'a b' holds white space"):
        trials.save(tmp_path / "t.txt")
    with pytest.raises(ManifestError, match="'a b' holds white space"):
        ScoredTrials.from_list(trials, np.array([1.0])).save(tmp_path / "t.txt")
    with pytest.raises(ManifestError, match="as many enrolments as tests and labels"):
        Trials(("a",), ("b", "c"), np.array([True]))
    with pytest.raises(EmbeddingsError, match=r"1 trials need as many scores, not \[2\]"):
        ScoredTrials.from_list(trials, np.array([1.0, 2.0]))
    with pytest.raises(EmbeddingsError, match="the score of trial 1 is not a number"):
        ScoredTrials.from_list(trials, np.array([np.nan]))
    for text in ("1 a\n", "2 a b\n", "\n1 a b c d\n"):
        (tmp_path / "t.txt").write_text(text)
        with pytest.raises(ManifestError, match=rf"line {text.count(chr(10))} is not '0\|1 enrolment test'"):
            Trials.load(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("1 a b high\n")
    with pytest.raises(ManifestError, match=r"line 1 is not '0\|1 enrolment test score': '1 a b high'"):
        ScoredTrials.load(tmp_path / "t.txt")
    with pytest.raises(ManifestError, match="cannot be read"):
        Trials.load(tmp_path / "missing")
