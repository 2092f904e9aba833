"""Every door, every damage: one line of the door's own error, with the file, the field and what to do."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from msgspec import Meta

from synthprint.casework.record import group_clips
from synthprint.errors import (
    CheckpointError,
    EmbeddingsError,
    GalleryError,
    ManifestError,
    RecipeError,
    SynthprintError,
)
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import Recipe
from synthprint.gallery.index import Index
from synthprint.model.calibrations import ComparisonCalibrations
from synthprint.model.detector import DetectorCalibration
from synthprint.model.limits import Limits
from synthprint.model.shipped import model_folder
from synthprint.model.tunings import ClusterTuning, TimelineTuning
from synthprint.protocols import table
from synthprint.reading import doors, rows
from synthprint.reading.schemas import Refused, checked, named

MODEL = model_folder()
DIGEST = json.loads((MODEL / "config.json").read_text())["digest"]
RECORD = {
    "format": "synthprint-groups-1",
    "extractor": DIGEST,
    "paths": {"a.wav": "/clips/a.wav"},
    "clips": [{"path": "a.wav", "sha256": "0" * 64, "warnings": []}],
    "groups": [{"number": 1, "clips": ["a.wav"]}],
}
HUMAN = {
    "format": "synthprint-human-1",
    "extractor": DIGEST,
    "calibration": {
        key: value
        for key, value in json.loads((MODEL / "calibrations.json").read_text())["calibrations"][0].items()
        if key != "clips"
    },
    "human_publishers": 4,
    "kinds": {"tts": 1.0},
    "least_log10_lr": 0.3,
    "figures": {},
}

LIMITS = {
    "extractor": DIGEST,
    "limits": Limits(1.0, 5000.0, 20.0, -40.0, 0.01, 0.5, 0.05, basis="what the test says").to_dict(),
}


@dataclass(frozen=True)
class Door:
    """A kind of file with JSON in it.

    Attributes:
        file: its name.
        good: the text of a good one.
        load: opens the one in a folder.
        error: what it refuses with.
        number, text: the way to a field of that kind.
    """

    file: str
    good: str
    load: Callable[[Path], object]
    error: type[SynthprintError]
    number: tuple[str | int, ...]
    text: tuple[str | int, ...]


def shipped(name: str) -> str:
    return (MODEL / name).read_text()


def checkpoint(folder: Path) -> object:
    for name in ("model.onnx", "model.safetensors"):
        if not (folder / name).exists():
            (folder / name).symlink_to(MODEL / name)
    return Checkpoint.load(folder)


DOORS = {
    "checkpoint": Door("config.json", shipped("config.json"), checkpoint, CheckpointError, ("parity",), ("version",)),
    "recipe of a checkpoint": Door(
        "config.json", shipped("config.json"), checkpoint, CheckpointError,
        ("recipe", "schedule", "peak_lr"), ("recipe", "loss", "name"),
    ),
    "gallery": Door(
        "gallery.json", shipped("gallery/gallery.json"), Index.read, GalleryError,
        ("backends", "centroid", "rule", "threshold"), ("backends", "centroid", "rule", "known", "data"),
    ),
    "calibration in a gallery": Door(
        "gallery.json", shipped("gallery/gallery.json"), Index.read, GalleryError,
        ("backends", "centroid", "calibrations", "by_clips", "2", "map", "slope"),
        ("backends", "centroid", "calibrations", "by_clips", "2", "population", "compared"),
    ),
    "limits": Door(
        "limits.json", json.dumps(LIMITS), lambda folder: Limits.load(folder, DIGEST), CheckpointError,
        ("limits", "min_snr_db"), ("limits", "basis"),
    ),
    "calibrations": Door(
        "calibrations.json", shipped("calibrations.json"), lambda f: ComparisonCalibrations.load(f, DIGEST),
        CheckpointError, ("calibrations", 3, "quality", "cllr"), ("calibrations", 3, "population", "data"),
    ),
    "human": Door(
        "human.json", json.dumps(HUMAN), lambda folder: DetectorCalibration.load(folder, DIGEST), CheckpointError,
        ("least_log10_lr",), ("calibration", "population", "data"),
    ),
    "clusters": Door(
        "clusters.json", shipped("clusters.json"), lambda folder: ClusterTuning.load(folder, DIGEST), CheckpointError,
        ("threshold",), ("data",),
    ),
    "groups": Door(
        "groups.json", json.dumps(RECORD), lambda folder: group_clips(folder / "groups.json", 7, DIGEST),
        EmbeddingsError,
        ("groups", 0, "number"), ("clips", 0, "path"),
    ),
    "splices": Door(
        "splices.json", shipped("splices.json"), lambda folder: TimelineTuning.load(folder, DIGEST), CheckpointError,
        ("tuning", "lasting"), ("tuning", "extractor"),
    ),
    "shipped splices": Door(
        "splices.json", shipped("splices.json"), lambda _: TimelineTuning.shipped(), CheckpointError,
        ("tuning", "lasting"), ("tuning", "extractor"),
    ),
    "manifest": Door(
        "m.jsonl", '{"path": "a.wav", "source": "s", "duration_s": 2.5}\n', lambda f: table.read(f / "m.jsonl"),
        ManifestError, ("duration_s",), ("source",),
    ),
}  # fmt: skip
HUGE = "9" * 5000
# What stands in place of a number, as JSON.
NO_NUMBERS = {
    "NaN": "NaN", "Infinity": "-Infinity", "1e400": "1e400", "10**400": "1" + "0" * 400, "5000 digits": HUGE,
    "text": '"x"', "number as text": '"1_0"', "list": "[1]", "object": '{"a": 1}', "bool": "true",
    "deep": "[" * 50 + "]" * 50, "surrogate": '"\\ud800"',
}  # fmt: skip
NO_TEXTS = {"number beyond reason": HUGE, "NaN": "NaN", "list": '["x"]', "object": "{}", "bool": "false"}
# What is done to a whole file.
NO_FILES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "deep lists": lambda path: path.write_bytes(b"[" * 100_000),
    "deep objects": lambda path: path.write_bytes(b'{"a":' * 100_000),
    "not UTF-8": lambda path: path.write_bytes(b'{"\xff": 1}'),
    "UTF-16": lambda path: path.write_bytes('{"a": 1}'.encode("utf-16")),
    "zero byte": lambda path: path.write_bytes(path.read_bytes().replace(b"{", b"{\0", 1)),
    "cut off": lambda path: path.write_bytes(path.read_bytes().rstrip()[:-1]),
    "null": lambda path: path.write_bytes(b"null"),
    "a list": lambda path: path.write_bytes(b"[1]"),
    "text": lambda path: path.write_bytes(b'"x"'),
    "FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}
WORDS = {"FIFO": "named pipe", "device": "a device", "folder": "a folder", "dangling link": "a link to 'nowhere'"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("synthprint.model.tunings.shipped_folder", lambda: tmp_path)
    return tmp_path


def refused(door: Door, folder: Path) -> str:
    with pytest.raises(door.error) as caught:
        door.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert door.file in message
    assert len(message) < 900
    return message


def put(door: Door, folder: Path, way: tuple[str | int, ...], text: str) -> None:
    """Write the good file with the JSON `text` in place of what stands at the end of `way`."""
    data = json.loads(door.good)
    inner = data
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = "HERE"
    (folder / door.file).write_text(json.dumps(data).replace('"HERE"', text))


@pytest.mark.parametrize("name", DOORS)
def test_a_good_file_is_taken_with_a_mark_at_its_start_or_without(name: str, folder: Path) -> None:
    door = DOORS[name]
    path = folder / door.file
    opened = []
    for start in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(start + door.good.encode())
        if name == "groups":
            assert "has no group 7; there are 1 to 1" in refused(door, folder)
        else:
            opened.append(door.load(folder))
    assert not opened or opened[0] == opened[1]
    assert None not in opened


@pytest.mark.parametrize("name", DOORS)
def test_what_is_no_number_is_named(name: str, folder: Path) -> None:
    door = DOORS[name]
    for damage, text in NO_NUMBERS.items():
        put(door, folder, door.number, text)
        message = refused(door, folder)
        assert str(door.number[-1]) in message, (damage, message)


@pytest.mark.parametrize("name", DOORS)
def test_what_is_no_text_is_named(name: str, folder: Path) -> None:
    door = DOORS[name]
    for damage, text in NO_TEXTS.items():
        put(door, folder, door.text, text)
        message = refused(door, folder)
        assert str(door.text[-1]) in message, (damage, message)


@pytest.mark.parametrize("damage", NO_FILES)
@pytest.mark.parametrize("name", DOORS)
def test_what_is_no_such_file_is_refused(name: str, damage: str, folder: Path) -> None:
    door = DOORS[name]
    (folder / door.file).write_text(door.good)
    NO_FILES[damage](folder / door.file)
    assert WORDS.get(damage, "") in refused(door, folder)


@pytest.mark.parametrize("name", [name for name in DOORS if name != "manifest"])
def test_a_key_that_is_missing_or_strange_or_twice_is_named(name: str, folder: Path) -> None:
    door = DOORS[name]
    key = str(door.number[-1])
    if name not in ("groups", "limits", "recipe of a checkpoint"):
        way = door.number[:-1]
        inner = data = json.loads(door.good)
        for step in way:
            inner = inner[step]
        del inner[key]
        (folder / door.file).write_text(json.dumps(data))
        assert key in refused(door, folder)
    if name != "groups":
        put(door, folder, (*door.number[:-1], "evil"), "1")
        assert "unknown key 'evil'; there are: " in refused(door, folder)
    (folder / door.file).write_text(door.good.replace(f'"{key}":', f'"{key}": 0, "{key}":', 1))
    assert f"key '{key}' twice" in refused(door, folder)


def test_keys_that_msgspec_does_not_name_are_named(folder: Path) -> None:
    put(DOORS["gallery"], folder, ("removed",), '{"a": 1, "b": 2, "c d": "x", "e": 4}')
    assert "(removed.c d must be a whole number, not 'x')" in refused(DOORS["gallery"], folder)
    put(DOORS["gallery"], folder, ("aliases",), '{"a": "b", "c": [1]}')
    assert "(aliases.c must be text, not [1])" in refused(DOORS["gallery"], folder)
    put(DOORS["gallery"], folder, ("segments", 0, "vectors_sha256"), '"../../../etc/passwd"')
    assert "segments[0].vectors_sha256 must be text, 64 hex digits" in refused(DOORS["gallery"], folder)
    put(DOORS["gallery"], folder, ("backends", "centroid", "calibrations", "by_clips"), '{"0": {}}')
    assert "by_clips has a key '0', which does not do" in refused(DOORS["gallery"], folder)


def test_half_a_character_is_read_where_a_name_has_it(tmp_path: Path) -> None:
    clip = tmp_path / os.fsdecode(b"\xff.wav")
    clip.write_bytes(b"x")
    sha256 = doors.sha256(clip)
    record = {**RECORD, "paths": {str(clip): str(clip)}, "groups": [{"number": 1, "clips": [str(clip)]}]}
    record["clips"] = [{"path": str(clip), "sha256": sha256}]
    (tmp_path / "groups.json").write_text(json.dumps(record))
    assert group_clips(tmp_path / "groups.json", 1, DIGEST) == [clip]
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": str(clip), "source": "s"}))
    assert [u.path for u in table.read(tmp_path / "m.jsonl")] == [str(clip)]


def test_a_record_whose_clips_are_not_there_is_told(tmp_path: Path) -> None:
    record = {**RECORD, "groups": [{"number": 1, "clips": ["b.wav"]}]}
    (tmp_path / "groups.json").write_text(json.dumps(record))
    with pytest.raises(EmbeddingsError, match=r"groups\.json: is no record .*clip 'b\.wav' is not among"):
        group_clips(tmp_path / "groups.json", 1, DIGEST)


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed = 1" + "0" * 400, "seed must be int"),
        ("seed = 0x" + "f" * 5000, "seed must be int, not a number of 20000 bits"),
        (f"seed = {HUGE}", "seed is a number of too many digits"),
        ("[schedule]\nepochs = inf", r"\[schedule\]: epochs must be int, not inf"),
        ("[schedule]\npeak_lr = 1" + "0" * 400, r"\[schedule\]: peak_lr must be float"),
        ("[loss]\nmargin = 1" + "0" * 400, r"\[loss\]: margin must be a finite number"),
        ("[loss]\nname = []", r"\[loss\]: name must be str, not \[\]"),
        ("[crop]\nsamples = 1000000000000", "samples = 1000000000000 must be at most"),
        ("[backbone]\ndim = 100000000", "dim = 100000000 must be at most"),
        ("a = " + "[" * 100_000, "nested too deep"),
        ("a = " + "{b = " * 500, "cannot be read as a recipe"),
        ("seed = 1\nseed = 2", "is not TOML"),
        ("seed = 1\0", "is not TOML"),
    ],
)
def test_a_recipe_is_refused_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=told) as caught:
        Recipe.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("damage", ["FIFO", "device", "folder", "dangling link"])
def test_a_recipe_is_a_regular_file(damage: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("seed = 1")
    NO_FILES[damage](tmp_path / "r.toml")
    with pytest.raises(RecipeError, match=rf"r\.toml: cannot be read as a recipe: .*{WORDS[damage]}"):
        Recipe.load(tmp_path / "r.toml")


def test_a_recipe_may_start_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbfseed = 4")
    assert Recipe.load(tmp_path / "r.toml").seed == 4


def test_a_setting_is_refused_in_one_line() -> None:
    for setting in (f"seed={HUGE}", "schedule.epochs=inf", "seed=" + "[" * 100_000, "loss.margin=1" + "0" * 500):
        with pytest.raises(RecipeError) as caught:
            Recipe().changed([setting])
        assert len(str(caught.value)) < 400


# --- what is opened ---------------------------------------------------------------------------------------------------


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert doors.read_bytes(tmp_path / "link", 3) == b"abc"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, what in (("fifo", "a named pipe"), ("socket", "a socket"), (".", "a folder"), ("a\0b", "zero byte")):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - what it says is looked at
                doors.read_bytes(tmp_path / name, 9)
            assert what in str(caught.value.strerror)
    for name in ("gone", "gone/below"):
        with pytest.raises(FileNotFoundError, match="a link to 'nowhere', which is not there"):
            doors.read_bytes(tmp_path / name, 9)
    with pytest.raises(FileNotFoundError, match="No such file"):
        doors.read_bytes(tmp_path / "missing", 9)


def test_what_is_read_counts_and_not_what_the_folder_says(tmp_path: Path) -> None:
    assert b"Linux" in doors.read_bytes("/proc/version", 1000)  # it is 0 bytes long, says the folder
    with pytest.raises(Refused, match="larger than any such file: more than 10 bytes"):
        doors.read_bytes("/proc/version", 10)
    (tmp_path / "file").write_bytes(b"a" * 11)
    with pytest.raises(Refused, match="larger than any index: more than 10 bytes"):
        doors.read_bytes(tmp_path / "file", 10, "index")
    assert len(doors.read_bytes(tmp_path / "file", 11)) == 11


def test_a_folder_that_is_a_dangling_link_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "d").symlink_to("nowhere")
    from synthprint.gallery.gallery import Gallery
    from synthprint.manifests.opening import open_manifest
    from synthprint.protocols import folder as folder_protocol

    for load, error in (
        (Checkpoint.load, CheckpointError),
        (Gallery.load, GalleryError),
        (open_manifest, ManifestError),
        (folder_protocol.read, ManifestError),
    ):
        with pytest.raises(error, match="is a link to 'nowhere', which is not there"):
            load(tmp_path / "d")


def test_numbers_as_text() -> None:
    for text, value in (("1", 1.0), ("-0.5", -0.5), ("+.5e-3", 0.0005), ("1.", 1.0), ("1E5", 1e5)):
        assert rows.number(text) == value
    for text in ("1_0", " 1", "1 ", "١", "inf", "-Infinity", "nan", "1e400", "0x1", "", "-", "1\n", "½", "1,5"):
        with pytest.raises(ValueError, match="is not a number"):
            rows.number(text)


# --- schemas ----------------------------------------------------------------------------------------------------------


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    share: Annotated[float, Meta(ge=0, le=1)]
    name: Annotated[str, Meta(max_length=5)] = ""


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: dict[str, Inner | None]
    rows: list[Inner] = []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            {"inner": {"a": {"share": 0.5}, "b": {"share": 2}}},
            "inner.b.share must be a finite number, at most 1.0, not 2",
        ),
        ({"inner": {"a": {"share": 10**400}}}, "inner.a.share must not be a number of 1329 bits (number out of range)"),
        ({"inner": {}, "rows": [{"share": 1}, {}]}, "rows[1].share is missing"),
        ({"inner": {}, "rows": [{"share": 1, "x": 1}]}, "rows[0]: unknown key 'x'; there are: share, name"),
        ({"inner": {}, "rows": [3]}, "rows[0] is missing, or not an object"),
        (
            {"inner": {}, "rows": [{"share": 1, "name": "abcdef"}]},
            "rows[0].name must be text, of length at most 5, not 'abcdef'",
        ),
        ({"inner": {"a\x1b[2J": 3}}, "inner.'a\\x1b[2J' must be an object or null, not 3"),
        ({"inner": {1: None}}, "inner has a key '1', which does not do"),
        ({"\udcff": 1}, "unknown key '?'; there are: inner, rows"),
        ({"inner": {"a": {"share": "\udcff"}}}, "inner.a.share must be a finite number, not '?'"),
        ([], "must be an object, not []"),
    ],
)
def test_what_does_not_fit_is_told_with_its_field(value: object, told: str) -> None:
    with pytest.raises(Refused) as caught:
        checked(value, Outer)
    assert str(caught.value) == told


def test_a_field_among_very_many_is_found_by_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    convert = msgspec.convert

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return convert(*args)

    monkeypatch.setattr(msgspec, "convert", counted)
    value: dict[str, Any] = {"inner": {f"k{i}": {"share": 1} for i in range(5000)}}
    value["inner"]["k1234"] = {"share": "x"}
    with pytest.raises(Refused, match=r"inner\.k1234\.share must be a finite number"):
        checked(value, Outer)
    assert calls < 20


def test_ways_are_written_readably() -> None:
    assert named(("backends", "knn", "rule")) == "backends.knn.rule"
    assert named(("clips", 3, "sha256")) == "clips[3].sha256"


# --- tables -----------------------------------------------------------------------------------------------------------


def write_parquet(path: Path, names: list[str], rows: list[list[Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = [pyarrow.array([row[i] for row in rows]) for i in range(len(names))]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, names), path)


def test_a_column_that_stands_twice_is_refused_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,source,path\na,s,b\n")
    (tmp_path / "t.jsonl").write_text('{"path": "a", "source": "s", "path": "b"}\n')
    write_parquet(tmp_path / "t.parquet", ["path", "source", "path"], [["a", "s", "b"]])
    for name in ("t.csv", "t.jsonl", "t.parquet"):
        with pytest.raises(ManifestError, match=rf"{name}: .*'path' .*twice"):
            table.read(tmp_path / name)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"path": ["a"], "source": "s"}', "path must be text"),
        ('{"path": true, "source": "s"}', "path must be text"),
        ('{"path": "a", "source": {"b": 1}}', "source must be text"),
        ('{"path": "a\\u0000b", "source": "s"}', "path 'a.x00b' has a character that is none"),
        ('{"path": "\\ud800", "source": "s"}', "path '.ud800' has a character that is none"),
        ('{"path": "a", "source": "s", "duration_s": "1_0"}', "duration_s '1_0' is not a number"),
        ('{"path": "a", "source": "s", "duration_s": " 1"}', "duration_s ' 1' is not a number"),
        ('{"path": "a", "source": "s", "duration_s": "\\u0661"}', "duration_s '١' is not a number"),
        ('{"path": "a", "source": "s", "duration_s": -0.5}', "duration_s -0.5 is negative; leave it empty"),
        ('{"path": "a", "source": "s", "duration_s": "inf"}', "duration_s 'inf' is not a number"),
        ('{"path": "a", "source": "s", "note": [1e400]}', r"note\[0\] must be a finite number, not 1e400"),
    ],
)
def test_a_row_of_a_manifest_is_named(row: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "good.wav", "source": "s"}\n' + row + "\n")
    with pytest.raises(ManifestError, match=rf"m\.jsonl: line 2: {told}") as caught:
        table.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["FIFO", "device", "folder", "dangling link", "not UTF-8", "zero byte"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_manifest_is_a_regular_file_of_text(name: str, damage: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("path,source\n{a,s\n")
    NO_FILES[damage](tmp_path / name)
    with pytest.raises(ManifestError) as caught:
        table.read(tmp_path / name) if (tmp_path / name).is_file() or damage != "folder" else table.read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_damaged_parquet_file_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path, ["path", "source"], [[f"a{i}", "s"] for i in range(20)])
    good, rng, refused = path.read_bytes(), random.Random(1), 0
    for _ in range(200):
        data = bytearray(good)
        data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            table.read(path)
        except ManifestError as error:
            refused += "\n" not in str(error) and str(path) in str(error)
        else:
            refused += 1
    assert refused == 200


def repeated(value: str, times: int) -> Any:
    """A column of one value, which takes a few kB in a file."""
    import pyarrow

    return pyarrow.DictionaryArray.from_arrays(np.zeros(times, np.int32), [value])


@pytest.mark.parametrize(
    ("rows", "path", "source", "told"),
    [
        (3_000_001, "a", "s", "says that it has 3,000,001 rows; at most 3,000,000 are read"),
        (2_000_000, "a", "s", "row 2 lists the same path as row 1, 'a'"),
        (8192, None, "s" * 131_073, "column 'source' has a cell of more than 131,072 bytes"),
        (8192, None, "s" * 131_000, "is too large: .*536,870,912 bytes of cells"),
    ],
)
def test_a_small_parquet_file_cannot_become_a_large_one(
    rows: int, path: str | None, source: str, told: str, tmp_path: Path
) -> None:
    import pyarrow
    import pyarrow.parquet

    paths = [f"{i}" for i in range(rows)] if path is None else repeated(path, rows)
    columns = pyarrow.Table.from_arrays([pyarrow.array(paths), repeated(source, rows)], ["path", "source"])
    pyarrow.parquet.write_table(columns, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ManifestError, match=rf"t\.parquet: {told}"):
        table.read(tmp_path / "t.parquet")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_what_a_parquet_file_has_beside_does_not_matter(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    ns = [1_700_000_000_123_456_789]
    columns = {
        "path": pyarrow.array(["a.wav"]),
        "source": pyarrow.array(["s"]).dictionary_encode(),
        "duration_s": pyarrow.array([2.5]),
        "made": pyarrow.array(ns, pyarrow.timestamp("ns")),
        "there": pyarrow.array(ns, pyarrow.timestamp("ns", "UTC")),
        "nowhere": pyarrow.array(ns, pyarrow.timestamp("ns", "No/Where")),
        "day": pyarrow.array([19_000], pyarrow.date32()),
        "lasting": pyarrow.array([5], pyarrow.duration("s")),
        "of_day": pyarrow.array([12_345_678_901], pyarrow.time64("ns")),
        "inner": pyarrow.array([{"x": 1}]),
        "list": pyarrow.array([[1, 2]]),
        "bytes": pyarrow.array([b"x"]),
        "a.b": pyarrow.array(["dotted"]),
        "whole": pyarrow.array([7]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    (utterance,) = table.read(tmp_path / "t.parquet")
    assert (utterance.path, utterance.source, utterance.duration_s) == ("a.wav", "s", 2.5)
    assert utterance.extra == {
        "made": "2023-11-14 22:13:20.123456789", "there": "2023-11-14 22:13:20.123456789Z",
        "nowhere": str(ns[0]), "day": "2022-01-08", "lasting": "5", "of_day": "00:00:12.345678901",
        "a.b": "dotted", "whole": "7",
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(columns | {"source": columns["inner"]}), tmp_path / "t.parquet")
    with pytest.raises(ManifestError, match=r"column 'source' must hold texts or numbers, not 'struct<x: int64>'"):
        table.read(tmp_path / "t.parquet")


class Counted(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


def test_very_many_columns_take_time_in_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = 200_000
    names = ["path", "source", *(f"c{i}" for i in range(many)), "c7"]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join(names) + "\n")
    reader = rows.csv.reader

    def counting(*args: Any, **kwargs: Any) -> Any:
        cells = reader(*args, **kwargs)

        class Rows:
            line_num = 1

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> list[Counted]:
                return [Counted(cell) for cell in next(cells)]

        return Rows()

    monkeypatch.setattr(rows.csv, "reader", counting)
    with pytest.raises(ManifestError, match="column 'c7' occurs twice"):
        table.read(tmp_path / "wide.csv")
    assert Counted.compared < 4 * many  # comparing each with each would be 20,000,000,000


def test_a_wide_table_is_read(tmp_path: Path) -> None:
    names = ["path", "source", *(f"c{i}" for i in range(50_000))]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join(names) + "\n")
    (utterance,) = table.read(tmp_path / "wide.csv")
    assert len(utterance.extra) == 50_000
    (tmp_path / "wide.csv").write_text(",".join(names[1:]) + "\n" + ",".join(names[1:]) + "\n")
    with pytest.raises(ManifestError, match="no column 'path'") as caught:
        table.read(tmp_path / "wide.csv")
    assert len(str(caught.value)) < 1000


def test_the_command_says_it_in_one_line(tmp_path: Path) -> None:
    import subprocess

    shutil.copytree(MODEL / "gallery", tmp_path / "g")
    (tmp_path / "g" / "gallery.json").write_bytes(b"[" * 100_000)
    words = [sys.executable, "-m", "synthprint", "gallery", "show", "g"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: g/gallery.json: is damaged")


def test_a_gallery_s_options_are_those_that_the_backend_takes(tmp_path: Path) -> None:
    from synthprint.gallery.backend import fitted_backend
    from synthprint.gallery.gallery import Gallery

    shutil.copytree(MODEL / "gallery", tmp_path / "g")
    path = tmp_path / "g" / "gallery.json"
    index = json.loads(path.read_text())
    for backend, options, told in (
        ("centroid", {"evil": 1}, "unknown key 'evil'; the options of 'centroid' are: none"),
        ("knn", {"k": "x"}, "'knn' refuses its options: k must be a whole number, not 'x'"),
        ("knn", {"k": 1.5}, "k must be a whole number"),
        ("knn", {"k": -1}, "knn: k = -1 must be"),
        ("energy", {"temperature": [1]}, "temperature must be a finite number"),
        ("energy", {"temperature": True}, "temperature must be a finite number, not True"),
    ):
        index["backends"] = {backend: {"options": options, "rule": None}}
        path.write_text(json.dumps(index))
        with pytest.raises(GalleryError) as caught:
            fitted_backend(Gallery.load(tmp_path / "g"), backend)
        assert f"gallery.json: backends.{backend}.options: " in str(caught.value)
        assert told in str(caught.value)


def test_damaged_caches_are_made_again(tmp_path: Path) -> None:
    from synthprint.extractor.cache import EmbeddingCache
    from synthprint.manifests.packing import INDEX, SAMPLES, _read_index

    lines = [b"[" * 100_000, b'{"path": 1}', b"\xff", b"null", b'{"path": "a", "size": 1e400}', HUGE.encode()]
    good = {"path": "a", "size": 1, "mtime_ns": 1, "sha256": "0" * 64, "offset": -5, "length": 3}
    (tmp_path / INDEX).write_bytes(b"\n".join([*lines, json.dumps(good).encode(), b""]))
    (tmp_path / SAMPLES).write_bytes(b"\0" * 20)
    assert _read_index(tmp_path, {"a"}) == {}
    cache = EmbeddingCache(tmp_path, "x", 10, 2)
    cache.path.unlink(missing_ok=True)
    os.mkfifo(cache.path)
    again = EmbeddingCache(tmp_path, "x", 10, 2)  # does not wait for a writer
    again.add([b"0" * 32], np.zeros((1, 2), np.float32))
    assert len(again) == 0
