"""A kill leaves no litter: the next writer removes what the dead left, and nothing that anybody holds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthprint import files, temporaries
from synthprint.sound import processes

AT_A_KNOWN_POINT = """
import sys, time
from pathlib import Path
from synthprint import files
place = Path(sys.argv[1])
def stop():
    print("here", flush=True)
    time.sleep(60)
"""
WRITERS = {
    "a file": "with files.atomic(place / 'a.json') as t: t.write_text('half'); stop()",
    "a new folder": "with files.together(place / 'a') as t: files.write_text(t / 'b', 'x'); stop()",
    "a folder that is there": "with files.together(place) as t: files.write_text(t / 'b', 'x'); stop()",
    "a turn": "with files.turn(place / 'a'): stop()",
    "a cache": (
        "from synthprint.extractor.cache import EmbeddingCache; import numpy as np\n"
        "cache = EmbeddingCache(place, 'x', 10, 4)\n"
        "files.os.replace = lambda *_: stop()\n"
        "cache.add([b'0' * 32], np.zeros((1, 4)))"
    ),
}


@contextmanager
def stopped(code: str, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to its known point; it is killed at the end of the block, if it has not been."""
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_KNOWN_POINT + code, *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.mark.parametrize("writer", WRITERS)
def test_the_next_writer_removes_what_a_kill_left_and_nothing_that_is_held(tmp_path: Path, writer: str) -> None:
    with stopped(WRITERS[writer], tmp_path):
        (litter,) = names(tmp_path)
        assert temporaries.OWN.fullmatch(litter)
        files.write_text(tmp_path / "meanwhile", "")
        assert names(tmp_path) == {litter, "meanwhile"}  # its writer lives
    assert names(tmp_path) == {litter, "meanwhile"}
    files.write_text(tmp_path / "next", "")
    assert names(tmp_path) == {"meanwhile", "next"}


def test_a_turn_of_the_dead_is_free(tmp_path: Path) -> None:
    with stopped(WRITERS["a turn"], tmp_path):
        pass
    with files.turn(tmp_path / "a"):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == set()


def test_a_name_like_ours_that_is_a_pipe_or_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / ".a.synthprint-000000000000.tmp").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / ".b.synthprint-000000000000.tmp")
    (tmp_path / ".c.tmp").touch()
    (tmp_path / ".d.abcdefgh").mkdir()
    before = names(tmp_path)
    files.write_text(tmp_path / "next", "")
    assert names(tmp_path) == before | {"next"}


def aged(path: Path, seconds: float) -> None:
    for one in (path, *path.rglob("*")):
        os.utime(one, times=(time.time() - seconds,) * 2)


@pytest.mark.parametrize(("age_s", "removed"), [(2 * 24 * 3600, True), (3600, False)])
def test_what_versions_before_left_is_removed_when_it_is_old(tmp_path: Path, age_s: float, removed: bool) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old = tmp_path / f".index.{dead.pid}-140007465338560.tmp.json"
    old.write_text("{")
    aged(old, age_s)
    gallery = tmp_path / ".my gallery.k3_x9ab2" / "my gallery"
    (gallery / "segments").mkdir(parents=True)
    (gallery / ".lock").touch()
    aged(gallery.parent, age_s)
    temporaries.sweep(tmp_path)
    assert names(tmp_path) == (set() if removed else {old.name, gallery.parent.name})


def test_what_only_looks_like_that_of_versions_before_stays(tmp_path: Path) -> None:
    running = tmp_path / f".index.{os.getpid()}-140007465338560.tmp.json"
    running.touch()
    strangers = tmp_path / ".notes.k3_x9ab2" / "notes"  # holds something else than a gallery
    strangers.mkdir(parents=True)
    (strangers / "diary").touch()
    other = tmp_path / ".cache.01234567" / "content"  # of another name
    other.mkdir(parents=True)
    for path in (running, strangers.parent, other.parent):
        aged(path, 1e7)
    before = names(tmp_path)
    temporaries.sweep(tmp_path)
    assert names(tmp_path) == before


def test_many_writers_and_cleaners_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from synthprint import files, temporaries\n"
        "for i in range(150):\n"
        "    temporaries._look_after.clear()\n"
        "    files.write_text(Path(sys.argv[1]) / f'{sys.argv[2]}-{i % 5}', 'x' * i)\n"
        "    with files.together(Path(sys.argv[1]) / f'{sys.argv[2]}-folder') as place:\n"
        "        files.write_text(place / 'a', str(i))\n"
        "        files.write_text(place / 'b', str(i))"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(2)]

    def write(name: str) -> None:
        for i in range(150):
            temporaries._look_after.clear()
            files.write_text(tmp_path / f"{name}-{i % 5}", "x" * i)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert names(tmp_path) == {f"{n}-{i}" for n in "ab01" for i in range(5)} | {"0-folder", "1-folder"}
    for n in "ab01":
        assert [len((tmp_path / f"{n}-{i}").read_text()) for i in range(5)] == [145, 146, 147, 148, 149]
    assert [(tmp_path / "0-folder" / name).read_text() for name in "ab"] == ["149", "149"]


def test_turns_are_taken_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []

    def count() -> None:
        for _ in range(40):
            with files.turn(tmp_path / "deep" / "a"):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path / "deep") == set()


def test_a_large_folder_is_not_looked_through_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def slow(folder: Path) -> list[str]:
        looked.append(folder)
        time.sleep(0.02)
        return ["x"] * temporaries.SMALL * len(looked)

    monkeypatch.setattr(os, "listdir", slow)
    for number in range(50):
        files.write_text(tmp_path / str(number), "")
    assert len(looked) == 2  # the first time it was a small one


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "b" * 250 + ".json", ".hidden", "a.tar.gz"])
def test_any_name_that_a_file_can_have_has_a_temporary(tmp_path: Path, name: str) -> None:
    with files.atomic(tmp_path / name) as temporary:
        assert temporary.suffix == (Path(name).suffix or ".tmp")
        assert temporaries.OWN.fullmatch(temporary.name)
    assert names(tmp_path) == {name}


def test_scratch_of_the_dead_is_removed_by_the_next_and_is_nobody_else_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import tempfile; tempfile.tempdir = str(place)\n"
        "from synthprint.sound import processes\n"
        "with processes.scratch() as folder: files.write_text(folder / 'x', 'x'); stop()"
    )
    with stopped(code, tmp_path):
        assert len(names(tmp_path)) == 1
    with processes.scratch() as folder:
        assert names(tmp_path) == {folder.name}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path) == set()
