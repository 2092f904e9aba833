"""The protocols shelf: its contract, and each way to read a data set."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlaad_tree
from synthprint import shelves
from synthprint.errors import ManifestError, MissingDependency
from synthprint.manifests import distinct
from synthprint.protocols import folder, mlaad, table
from synthprint.types import SPLITS

REAL_LISTS = os.environ.get("SYNTHPRINT_MLAAD_LISTS")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


# --- the shelf ------------------------------------------------------------------------------------------------


@pytest.fixture(params=shelves.names("protocols"))
def protocol(request: pytest.FixtureRequest) -> ModuleType:
    found = shelves.find("protocols", request.param)
    assert isinstance(found, ModuleType)
    return found


def test_a_protocol_says_whose_data_it_reads_and_what_it_looks_for(protocol: ModuleType) -> None:
    for constant in ("LICENCE", "CITATION", "ADDRESS"):
        assert len(getattr(protocol, constant)) > 10
    assert (protocol.__doc__ or "").splitlines()[0].endswith((".", "there.", "it."))


def test_a_protocol_neither_recognises_nor_reads_what_is_not_there(protocol: ModuleType, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        assert protocol.recognises(root) is False
        with pytest.raises(ManifestError, match=str(root)):
            protocol.read(root)


def write_sources(root: Path) -> None:
    touch(root, "train/a/1.wav", "test/a/2.wav")


def write_manifest(root: Path) -> None:
    write(root / "manifest.csv", "path,source,split\n1.wav,a,train\n2.wav,a,test\n")


# What each protocol reads, in small; a new protocol brings its own.
SAMPLES = {"folder": write_sources, "mlaad": mlaad_tree.write_lists, "table": write_manifest}


def test_what_a_protocol_recognises_it_reads_and_always_alike(protocol: ModuleType, tmp_path: Path) -> None:
    name = protocol.__name__.rpartition(".")[2]
    assert name in SAMPLES, f"write a sample of what {name} reads, and add it to SAMPLES"
    SAMPLES[name](tmp_path)
    assert protocol.recognises(tmp_path) is True
    manifest = protocol.read(tmp_path)
    assert manifest == protocol.read(tmp_path)
    assert manifest.audio_path(manifest.utterances[0]).is_relative_to(tmp_path)
    assert {u.split for u in manifest} <= set(SPLITS)
    train = {u.path for u in manifest if u.split == "train"}
    assert train
    assert not train & {u.path for u in manifest if u.split != "train"}


# --- folder ---------------------------------------------------------------------------------------------------


def test_folder_takes_the_source_from_the_first_folder(tmp_path: Path) -> None:
    touch(tmp_path, "vits/b.WAV", "vits/deep/er/a.flac", "bark/c.mp3", "README.md", "vits/notes.txt")
    touch(tmp_path, ".cache/x/1.wav", "vits/.hidden.wav", "vits/.git/2.wav")
    manifest = folder.read(tmp_path)
    assert [(u.id, u.source, u.split) for u in manifest] == [
        ("bark/c.mp3", "bark", None),
        ("vits/b.WAV", "vits", None),
        ("vits/deep/er/a.flac", "vits", None),
    ]
    assert manifest.name == tmp_path.name


def test_folder_takes_splits_where_all_top_folders_are_splits(tmp_path: Path) -> None:
    touch(tmp_path, "train/vits/a.wav", "test/vits/x/b.wav")
    assert [(u.source, u.split) for u in folder.read(tmp_path)] == [("vits", "test"), ("vits", "train")]
    touch(tmp_path, "other/c.wav")  # not a split: now "train" and "test" are sources like any other
    assert {(u.source, u.split) for u in folder.read(tmp_path)} == {("train", None), ("test", None), ("other", None)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt", "a/readme.md"], r"no audio below .* \.wav"),
        (["a/1.wav", "stray.wav"], r"1 audio file\(s\) have no source folder, the first is 'stray.wav'; .*<source>/"),
        (["train/a/1.wav", "train/stray.wav"], r"'train/stray.wav'; move each into <split>/<source>/"),
    ],
)
def test_folder_says_what_it_cannot_read(tmp_path: Path, names: list[str], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(ManifestError, match=message):
        folder.read(tmp_path)


def test_folder_needs_more_than_loose_files(tmp_path: Path) -> None:
    assert not folder.recognises(touch(tmp_path / "loose", "a.wav"))
    assert folder.recognises(touch(tmp_path / "sources", "vits/a.wav"))


def test_folder_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.wav", "corpus/bark/b.wav")
    (tmp_path / "corpus" / "vits").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus" / "bark" / "loop").symlink_to(tmp_path / "corpus")
    assert [u.path for u in folder.read(tmp_path / "corpus")] == ["bark/b.wav", "vits/a.wav"]


# --- table ----------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


def write_parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, st.floats(0.1, 60)), min_size=1, max_size=5, unique_by=lambda r: r[0]))
def test_table_reads_the_same_from_csv_jsonl_and_parquet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str, float]]
) -> None:
    root = tmp_path_factory.mktemp("tables")
    cells = [dict(zip(("path", "source", "note", "duration_s"), row, strict=True)) for row in rows]
    with open(root / "t.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, cells[0])
        writer.writeheader()
        writer.writerows(cells)
    write(root / "t.jsonl", "\n\n".join(json.dumps(c) for c in cells))
    write_parquet(root / "t.parquet", cells)
    manifests = [table.read(root / name) for name in ("t.csv", "t.jsonl", "t.parquet")]
    assert manifests[0].utterances == manifests[1].utterances == manifests[2].utterances
    assert [(u.path, u.source, u.extra["note"], u.duration_s) for u in manifests[0]] == rows


def test_table_knows_its_columns_and_keeps_the_others(tmp_path: Path) -> None:
    columns = "id,path,source,family,language,speaker,text_id,split,source_seen,language_seen,duration_s,mood"
    path = write(tmp_path / "t.csv", f"{columns}\nu1,a.wav,vits,v,de,s,t,dev,false,true,1.5,glad\n")
    (utterance,) = table.read(path)
    assert [getattr(utterance, c) for c in columns.split(",")[:-1]] == [
        "u1", "a.wav", "vits", "v", "de", "s", "t", "dev", False, True, 1.5,
    ]  # fmt: skip
    assert utterance.extra == {"mood": "glad"}


def test_table_takes_an_alias_only_where_the_column_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "path,model_name,architecture,content_id,duration\na.wav,m,f,t,2\n")
    (u,) = table.read(path)
    assert (u.source, u.family, u.text_id, u.duration_s, u.extra) == ("m", "f", "t", 2.0, {})
    path = write(tmp_path / "b.csv", "path,source,model_name\na.wav,s,m\n")
    (u,) = table.read(path)
    assert (u.source, u.extra) == ("s", {"model_name": "m"})


def test_table_documents_every_alias() -> None:
    for column, alias in table.ALIASES.items():
        assert f"| {column:<10} | `{alias}`" in (table.__doc__ or "")


def test_table_in_parquet_takes_nan_and_null_for_not_given(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"path": "a", "source": "s", "duration_s": float("nan"), "family": None},
        {"path": "b", "source": "s", "duration_s": 2.5, "family": "f"},
    ]
    first, second = table.read(write_parquet(tmp_path / "t.parquet", rows))
    assert (first.duration_s, first.family, second.duration_s, second.family) == (None, None, 2.5, "f")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "path;source\na;b\n", r"no column 'path'.* separated by commas. Columns here: path;source"),
        ("t.csv", "path,system\na,b\n", r"no column 'source' \(or 'model_name'\)"),
        ("t.csv", "path,source\n", "no rows"),
        ("t.csv", "", "no rows"),
        ("t.csv", "path,source\na,s\nb,s,x\n", r"t\.csv: line 3 has 3 cells and the header 2"),
        ("t.csv", "path,source,split\na,s,dev\n\nb,s\n", r"t\.csv: line 4 has 2 cells and the header 3"),
        ("t.csv", "path,source,path\na,s,b\n", r"line 1: column 'path' occurs twice"),
        ("t.csv", "path,source\na,s\n,s\n", r"line 3 has no path"),
        ("t.csv", "path,source,split\na,s,eval\n", r"line 2: .*split 'eval' is not one of train, dev, test"),
        ("t.csv", "path,source,duration_s\na,s,long\n", r"line 2: duration_s 'long' is not a number"),
        ("t.csv", "path,source,source_seen\na,s,maybe\n", r"line 2: source_seen 'maybe' is neither true nor false"),
        ("t.csv", "path,source\na,s\nb,s\na,s\n", r"line 4 lists the same path as line 2, 'a', .*add a column 'id'"),
        ("t.csv", "id,path,source\n1,a,s\n1,b,s\n", r"line 3 has the same id as line 2, '1'; ids must be unique"),
        ("t.csv", 'path,source\n"a,s\n', r"cannot be read: unexpected end of data"),
        ("t.jsonl", '{"path": "a", "source": "s"}\n{"path":\n', r"t\.jsonl: line 2 is not JSON .*one object"),
        ("t.jsonl", '\n["a", "s"]\n', r"t\.jsonl: line 2 is not an object"),
        ("t.jsonl", '{"path": "a"}\n', r"line 1: there is no column 'source'"),
        ("t.parquet", "not one", r"t\.parquet: is not a Parquet file"),
    ],
)
def test_table_names_file_line_and_remedy(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as raised:
        table.read(write(tmp_path / name, text))
    assert str(tmp_path / name) in str(raised.value)


def test_table_says_that_a_file_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,source\nmädchen.wav,s\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"t\.csv: is not UTF-8 .*save it again"):
        table.read(tmp_path / "t.csv")


def test_table_reads_what_a_spreadsheet_saves(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,source\r\nmädchen.wav,s\r\n".encode("utf-8-sig"))
    assert [u.path for u in table.read(tmp_path / "t.csv")] == ["mädchen.wav"]


def test_table_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "t.parquet", [{"path": "a", "source": "s"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r"pyarrow.*synthprint\[parquet\]"):
        table.read(tmp_path / "t.parquet")


# --- mlaad ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", *mlaad.LIST_FOLDERS, "MLAADv5_for_sourcetracing/mlaadv5_for_sourcetracing"])
@pytest.mark.parametrize("audio", ["", "MLAADv5"])
def test_mlaad_finds_lists_and_audio_where_people_keep_them(tmp_path: Path, where: str, audio: str) -> None:
    mlaad_tree.write_lists(tmp_path / where)
    (tmp_path / audio / "fake").mkdir(parents=True)
    assert mlaad.recognises(tmp_path)
    assert mlaad.read(tmp_path).root == tmp_path / audio


def test_mlaad_finds_the_audio_around_the_folder_of_the_lists(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path / "mlaad4sourcetracing")
    (tmp_path / "fake").mkdir()
    assert mlaad.read(tmp_path / "mlaad4sourcetracing").root == tmp_path


def test_mlaad_keeps_every_row_of_the_lists_in_order(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    manifest = mlaad.read(tmp_path)
    listed = [row for name in mlaad_tree.ROWS for row in mlaad_tree.rows(name)]
    assert [(f"./{u.path}", u.source) for u in manifest] == listed
    assert Counter(u.split for u in manifest) == {"train": 45, "dev": 50, "test": 108}
    repeated = [u.id for u in manifest if "#" in u.id]
    assert repeated == [f"fake/de/griffin_lim/moor_{i}.wav#2" for i in range(12)]
    assert [u.id for u in distinct(manifest)] == [u.id for u in manifest if "#" not in u.id]


def test_mlaad_takes_quadrants_as_published_even_where_train_says_otherwise(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    manifest = mlaad.read(tmp_path)
    for split, name in (("dev", "dev"), ("test", "eval")):
        assert Counter(u.quadrant for u in manifest.split(split)) == mlaad_tree.QUADRANTS[name]
    assert {u.quadrant for u in manifest.split("train")} == {(True, True)}
    neon = [u for u in manifest.split("test") if u.source == mlaad_tree.NEON]
    assert [u.source_seen for u in neon] == [False] * 4


def test_mlaad_without_fine_lists_falls_back_on_the_train_list(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path, fine=False)
    manifest = mlaad.read(tmp_path)
    assert {u.quadrant for u in manifest.split("test")} == {None}
    neon = [u for u in manifest.with_seen().split("test") if u.source == mlaad_tree.NEON]
    assert [u.source_seen for u in neon] == [True] * 4


def test_mlaad_takes_language_and_sentence_from_the_path(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    first = mlaad.read(tmp_path).utterances[0]
    assert (first.language, first.text_id, first.family, first.extra) == ("en", "emma_0", "bark", {})


def test_mlaad_takes_what_meta_csv_describes(tmp_path: Path) -> None:
    mlaad_tree.write_lists(tmp_path)
    mlaad_tree.write_meta(
        tmp_path,
        "de",
        mlaad_tree.MMS,
        [
            './fake/de/facebook_mms-tts-deu/werther_0.wav|de_DE/x.wav|de|True|1.25|mms|facebook/mms-tts-deu|VITS|"Wie|so?',
            "./fake/de/facebook_mms-tts-deu/werther_1.wav|cut short",
            "./fake/de/facebook_mms-tts-deu/werther_2.wav|a|de|True|unknown|mms|facebook/mms-tts-deu|VITS|Ach\u2028so.",
        ],
    )
    described = {u.text_id: u for u in mlaad.read(tmp_path) if u.source == mlaad_tree.MMS}
    first = described["werther_0"]
    assert (first.duration_s, first.family) == (1.25, "vits")
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
def test_mlaad_family_by_name(name: str, known: str) -> None:
    assert mlaad.family(name) == known


@pytest.mark.parametrize(
    ("broken", "text", "message"),
    [
        ("dev.csv", "file,label\n", r"dev\.csv: line 1: the header is 'file,label', not 'path,model_name'"),
        ("dev.csv", "path,model_name\n./fake/en/m/a.wav\n", r"dev\.csv: line 2 is not '\./fake/"),
        ("dev.csv", "path,model_name\n./a.wav,m\n", r"dev\.csv: line 2 is not '\./fake/"),
        ("dev.csv", "path,model_name\n./fake/en/m/a.wav,m\n", r"dev\.csv: line 2 is in no list of .*fine"),
        ("fine/dev___lang_seen___model_seen.csv", None, r"dev___lang_seen___model_seen\.csv: cannot be read"),
    ],
)
def test_mlaad_says_which_list_is_broken(tmp_path: Path, broken: str, text: str | None, message: str) -> None:
    mlaad_tree.write_lists(tmp_path)
    (tmp_path / broken).unlink()
    if text is not None:
        write(tmp_path / broken, text)
    with pytest.raises(ManifestError, match=message):
        mlaad.read(tmp_path)


@pytest.mark.skipif(REAL_LISTS is None, reason="SYNTHPRINT_MLAAD_LISTS names no copy of MLAAD's lists")
def test_mlaad_reads_the_published_lists_to_their_published_counts() -> None:
    manifest = mlaad.read(Path(str(REAL_LISTS)))
    sources = {u.source for u in manifest.split("train")}
    counts = {}
    for split in SPLITS:
        part = manifest.split(split)
        languages = {u.language for u in part}
        seen = len(sources & set(part.sources))
        counts[split] = (len(part), len(distinct(part)), len(part.sources), seen, len(languages))
    assert counts == {
        "train": (11_100, 11_100, 24, 24, 8),
        "dev": (12_000, 12_000, 25, 8, 21),
        "test": (33_900, 33_791, 64, 21, 37),
    }
    assert Counter(u.quadrant for u in manifest.split("dev")) == {
        (True, True): 3_000, (False, True): 2_700, (True, False): 1_800, (False, False): 4_500,
    }  # fmt: skip
    assert Counter(u.quadrant for u in manifest.split("test")) == {
        (True, True): 8_700, (False, True): 7_500, (True, False): 4_800, (False, False): 12_900,
    }  # fmt: skip
