"""The protocols shelf: its contract, and each way to read a data set."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlaad_tree
from synthprint import shelves
from synthprint.errors import ManifestError, MissingDependency
from synthprint.protocols import folder, pages, table
from synthprint.types import SPLITS


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


def write_pages(root: Path) -> None:
    header = ",".join((*pages.NEEDED, "family"))
    rows = "1.wav,a,a,p,g,s1,train,0,1,x", "2.wav,a,a,q,g,s1,test,0,0,x"
    write(root / "manifest.csv", "\n".join((header, *rows)) + "\n")


# What each protocol reads, in small; a new protocol brings its own.
SAMPLES = {
    "folder": write_sources,
    "mlaad": mlaad_tree.write_lists,
    "pages": write_pages,
    "table": write_manifest,
}


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
        ("t.jsonl", '\n["a", "s"]\n', r"t\.jsonl: line 2 must be an object, not \['a', 's'\]"),
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
