"""The fuzzer finds what is planted, makes it smaller and repeats it; and finds nothing where nothing is."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz.door import LARGE, MOST_BYTES, all_doors
from fuzz.faults import Fault
from fuzz.inside import Answer
from fuzz.minimising import minimised
from fuzz.mutators.containers import container, with_checksums
from fuzz.mutators.protobuf import Field, parsed, protobuf, written
from fuzz.mutators.raw import raw
from fuzz.mutators.spans import csv_spans, json_spans, toml_spans
from fuzz.mutators.tensors import safetensors
from fuzz.mutators.text import CSV, JSON, LINES, META, TOML, structured
from fuzz.worker import Worker

import fuzz_planted

ROOT = Path(__file__).parents[1]
PLANTED = ROOT / "tests" / "fuzz_planted.py"
SEEDS = ROOT / "tests" / "fuzz_seeds"
FAULTS = {  # door -> what its fault is called
    "planted.key": "KeyError",
    "planted.hang": "takes too long",
    "planted.memory": "takes too much memory",
    "planted.more_memory": "MemoryError",
    "planted.signal": "killed by SIGSEGV",
    "planted.exit": "ends the process",
    "planted.open": "opens another file",
    "planted.open_by_program": "opens another file",
    "planted.write": "writes outside its folder",
    "planted.lines": "error message of several lines",
    "planted.nameless": "error message without the file's name",
    "planted.nan": "NaN in the result",
    "planted.noise": "writes to the terminal",
    "planted.refuse": "refuses a sound file",
}


def fuzz(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "fuzz", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def hunt(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A short run over the planted doors, and where it kept what it found."""
    folder = tmp_path_factory.mktemp("hunt")
    return fuzz("--doors-from", PLANTED, "--seed", 1, "--cases", 30, "--minimise", 0.3, cwd=folder), folder


def cases_of(folder: Path, door: str) -> list[Path]:
    return sorted(path for path in (folder / "fuzz-out" / door).glob("*") if path.suffix != ".txt")


@pytest.mark.parametrize("door", FAULTS)
def test_a_planted_fault_is_found(door: str, hunt: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, folder = hunt
    assert result.returncode == 1, result.stdout + result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith(f"{door}: ")]
    assert lines
    assert all(line.startswith(f"{door}: {FAULTS[door]}") for line in lines), lines
    assert cases_of(folder, door)


def test_a_sound_door_has_none(hunt: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, folder = hunt
    assert not (folder / "fuzz-out" / "sound.door").exists()
    name, cases, _, refused, faults = next(
        line.split() for line in result.stdout.splitlines() if line.startswith("sound.door")
    )
    assert (name, cases, faults) == ("sound.door", "30", "0")
    assert 10 < int(refused) < 30


def test_a_door_whose_library_is_not_there_is_left_out(hunt: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    assert "sound.left_out: left out: No module named 'rare'" in hunt[0].stdout.splitlines()


def test_a_faulty_case_is_small_and_says_how_to_see_it_again(
    hunt: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    result, folder = hunt
    smallest = min(cases_of(folder, "planted.key"), key=lambda path: path.stat().st_size)
    assert len(smallest.read_bytes()) < len(fuzz_planted.SEED)
    assert f"python -m fuzz --replay fuzz-out/planted.key/{smallest.name}" in result.stdout
    text = smallest.with_name(smallest.name + ".txt").read_text(encoding="utf-8")
    assert text.startswith("planted.key: KeyError at fuzz_planted.py:")
    assert "KeyError: 'size'" in text


def test_what_the_fault_does_not_need_is_left_out() -> None:
    class Needy(Worker):
        """Is at fault with "<" before ">"."""

        def __init__(self) -> None:
            pass

        def open_alone(self, case: int | bytes) -> Answer:
            assert isinstance(case, bytes)
            return Answer(Fault("ValueError", "a.py:1") if b">" in case.partition(b"<")[2] else None)

    fault, until = Fault("ValueError", "a.py:1"), time.monotonic() + 60
    assert minimised(Needy(), b"some words < and > others", fault, until) == (b"<>", True)
    assert minimised(Needy(), b"some words", fault, until) == (b"some words", False)
    assert minimised(Needy(), b"<>", Fault("ValueError", "a.py:2"), until) == (b"<>", False)


@pytest.mark.parametrize("door", ["planted.key", "planted.hang", "planted.signal"])
def test_a_kept_case_is_opened_again(door: str, hunt: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    folder = hunt[1]
    again = fuzz("--doors-from", PLANTED, "--replay", cases_of(folder, door)[0], cwd=folder)
    assert again.returncode == 1, again.stderr
    assert again.stdout.startswith(f"{door}: {FAULTS[door]}")
    assert "fuzz_planted.py" in again.stdout  # where it was
    sound = fuzz("--doors-from", PLANTED, "--door", "sound.door", "--replay", cases_of(folder, door)[0], cwd=folder)
    assert (sound.returncode, sound.stdout) == (0, "sound.door: no fault\n")


def test_nothing_is_left_behind(hunt: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    folder = hunt[1]
    assert {path.name for path in folder.iterdir()} == {"fuzz-out"}
    assert {path.name for path in (folder / "fuzz-out").iterdir()} == set(FAULTS)


def test_an_unknown_door_is_told(tmp_path: Path) -> None:
    result = fuzz("--door", "cellar", cwd=tmp_path)
    assert result.returncode == 2
    assert "no door 'cellar'; there are: aliases, audio.aac, " in result.stderr


def test_doors_of_ours_open_their_sound_seed(tmp_path: Path) -> None:
    doors = ("audio.wav", "checkpoint.config", "embeddings", "gallery.index", "manifest.csv", "recipe", "scores.lines")
    words = [word for door in doors for word in ("--door", door)]
    result = fuzz(*words, "--cases", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].split()[:2] == ["all", str(len(doors))]


def test_a_case_is_the_same_each_time_and_bounded() -> None:
    door = next(door for door in all_doors() if door.name == "recipe")
    seeds = door.seeds(ROOT)
    cases = [door.case(seeds, 1, index) for index in range(60)]
    assert cases == [door.case(seeds, 1, index) for index in range(60)]
    assert cases[: len(seeds)] == list(seeds)
    assert cases[len(seeds) :] != [door.case(seeds, 2, index) for index in range(len(seeds), 60)]
    assert len(set(cases)) > 50
    assert max(map(len, cases)) <= MOST_BYTES


@pytest.mark.parametrize(
    ("mutator", "name"),
    [
        (raw, "pcm16.wav"), (container, "aac.m4a"), (container, "vorbis.ogg"), (safetensors, "pcm16.wav"),
        (structured(JSON), None), (structured(TOML), None), (structured(CSV), None), (structured(META), None),
        (structured(LINES), "ffconcat.wav"),
        (protobuf, "sound.onnx"),
    ],
)  # fmt: skip
def test_a_mutator_takes_whatever_it_is_given(mutator: object, name: str | None) -> None:
    seed = (SEEDS / name).read_bytes() if name else b'{"a": [1, {"b": null}], "c": "d"}\n[e]\nf = 1\ng,h|i\n'
    for start in (seed, b"", b"\0", b"{", b"OggS", bytes(8)):
        data, rng = start, random.Random(1)
        for _ in range(30):
            data = mutator(rng, data, [seed])[:MOST_BYTES]  # type: ignore[operator]
            assert isinstance(data, bytes)
            if len(data) > LARGE:
                break


def test_safetensors_are_changed_within() -> None:
    import numpy as np
    from safetensors.numpy import load, save

    seed = save({"vectors": np.ones((3, 4), np.float32), "owners": np.arange(3)}, {"format": "a"})
    loaded = 0
    for index in range(200):
        try:
            load(safetensors(random.Random(index), seed, [seed]))
        except Exception:
            continue
        loaded += 1
    assert 40 < loaded < 190  # many are sound files, so that what comes behind the header is reached


def test_checksums_of_ogg_are_those_that_an_encoder_writes() -> None:
    for name in ("vorbis.ogg", "opus.opus"):
        data = (SEEDS / name).read_bytes()
        assert with_checksums(data) == data
        assert with_checksums(data[:22] + bytes(4) + data[26:]) == data


def test_a_message_falls_into_its_fields() -> None:
    message = bytes((8, 150, 1, 18, 5, 10, 3)) + b"\1\0\2" + b"\x1d" + bytes(4)  # 1: 150, 2: {1: bytes}, 3: four bytes
    fields = [Field(1, 0, 150), Field(2, 2, [Field(1, 2, b"\1\0\2")]), Field(3, 5, bytes(4))]
    assert parsed(message) == fields
    assert written(fields) == message
    assert parsed(message[:-1]) is None
    for path in SEEDS.glob("*.onnx"):
        assert written(parsed(path.read_bytes()) or []) == path.read_bytes()


def test_spans_of_json() -> None:
    text = '{"a": [1, "x:,y"], "b": {"c": null}}'
    parts = {(kind, text[start:stop]) for start, stop, kind in json_spans(text)}
    assert {part for kind, part in parts if kind == "key"} == {'"a"', '"b"', '"c"'}
    assert {part for kind, part in parts if kind == "value"} == {
        "1", '"x:,y"', '[1, "x:,y"]', "null", '{"c": null}', text,
    }  # fmt: skip
    assert {part for kind, part in parts if kind == "entry"} == {'"a": [1, "x:,y"]', '"c": null', '"b": {"c": null}'}
    assert json.loads(text)["a"] == [1, "x:,y"]


def test_spans_of_toml_and_tables() -> None:
    toml = "[t]\na = 1\n b=[2]\n"
    assert [toml[s:e] for s, e, kind in toml_spans(toml) if kind == "value"] == ["1", "[2]"]
    table = "x,y\n1,\n"
    assert [(kind, table[s:e]) for s, e, kind in csv_spans(table)] == [
        ("key", "x"), ("key", "y"), ("entry", "x,y"), ("value", "1"), ("entry", "1,"),
    ]  # fmt: skip


def test_the_seeds_are_few_and_small() -> None:
    assert sum(path.stat().st_size for path in SEEDS.iterdir()) < 300_000
