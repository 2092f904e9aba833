"""Nothing is lost: a file is the old one or the new one."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from synthprint import files
from synthprint.errors import OutputError
from synthprint.reading import doors
from synthprint.types import Trials


def test_what_is_written_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.txt"
    files.write_text(path, "old")
    files.write_text(path, "né")
    assert path.read_text(encoding="utf-8") == "né"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_error_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"kept": 1})
    old = path.read_bytes()

    def fail() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"x": float("nan")})
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_temporary_name_keeps_the_ending(tmp_path: Path) -> None:
    with files.atomic(tmp_path / "a.tar.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        temporary.touch()


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with files.atomic(tmp_path / "a") as temporary:
            temporary.touch(0o600)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_threads_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    texts = [str(i) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=files.write_text, args=(tmp_path / "a", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_text() in texts


def test_json_holds_paths_in_any_encoding(tmp_path: Path) -> None:
    value = {os.fsdecode(b"caf\xe9.wav"): "é"}
    files.write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert doors.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_lock_is_one_process_s_and_a_kill_frees_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from synthprint.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with files.locked(tmp_path, wait=False) as held:
        assert not held
    other.kill()
    other.communicate()
    with files.locked(tmp_path) as held:
        assert held


def refuse_to_move(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No file can take the place of one called `name`."""
    move = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == name and "synthprint-" not in str(target):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source), None, str(target))
        move(source, target)

    monkeypatch.setattr(os, "replace", replace)


def test_what_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place, reason in (
        (tmp_path / "file" / "x" / "a.json", f"{tmp_path}/file is a file); name another place"),
        (tmp_path / "folder", "it is a folder); name a file"),
        (Path("/dev/full"), "it is a device or a pipe); name a file"),
        (Path("/proc/x/a.json"), "No such file or directory); name another place"),
        (tmp_path / ("x" * 256), "File name too long); name another place"),
    ):
        with pytest.raises(OutputError) as raised:
            files.write_json(place, {})
        assert str(raised.value) == f"{place}: cannot be written ({reason}"
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert Path("/dev/full").is_char_device()
    with pytest.raises(OutputError, match="/file: cannot be written"), files.locked(tmp_path / "file"):
        pass
    with pytest.raises(OutputError, match="/file/a: cannot be written"), files.turn(tmp_path / "file" / "a"):
        pass
    with (
        pytest.raises(OutputError, match=r"/file: cannot be written \(it is a file\)"),
        files.together(tmp_path / "file"),
    ):
        pass


def test_a_place_is_looked_at_before_there_is_anything_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for place in (tmp_path / "new", tmp_path / "deep" / "new", tmp_path / "file"):
        files.check_place(place)
    for place in (tmp_path / "new", tmp_path / "deep" / "new", tmp_path):
        files.check_place(place, folder=True)
    for place, folder, reason in (
        (tmp_path, False, "it is a folder"),
        (tmp_path / "file", True, "it is a file"),
        (tmp_path / "file" / "deep" / "new", False, "/file is a file"),
        (tmp_path / "file" / "deep" / "new", True, "/file is a file"),
        (Path("/dev/null"), False, "it is a device or a pipe"),
    ):
        with pytest.raises(OutputError, match=f"^{place}: cannot be written .*{reason}"):
            files.check_place(place, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_an_error_that_names_a_file_elsewhere_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for context in (files.atomic(tmp_path / "out" / "a"), files.together(tmp_path / "out" / "b")):
        with pytest.raises(FileNotFoundError, match="missing"), context:
            (tmp_path / "in" / "missing").read_bytes()
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_text_is_refused_where_it_must_be_found_again(tmp_path: Path) -> None:
    trials = Trials(("a",), (os.fsdecode(b"b\xff"),), np.array([True]))
    with pytest.raises(OutputError, match=r"t\.txt: cannot be written \(.*b.udcff' is not UTF-8.*\); rename it"):
        trials.save(tmp_path / "t.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_block_is_not_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.locked(tmp_path):
        (tmp_path / "missing").read_bytes()


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from synthprint import files
from synthprint.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
place, large = Path(sys.argv[1]), "x" * 50_000
def together():
    with files.together(place / "folder") as folder:
        files.write_text(folder / "first", "x")
        files.write_text(folder / "second", large)
for write in (
    lambda: files.write_text(place / "old", large),
    lambda: files.write_json(place / "new.json", large),
    lambda: files.write_bytes(place / "new.flac", large.encode()),
    lambda: files.write_tensors(place / "new.safetensors", {"a": np.zeros(50_000)}, {"b": "c"}),
    together,
):
    try:
        write()
    except OutputError as error:
        print(error)
"""


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    told = subprocess.run([sys.executable, "-c", FULL, tmp_path], check=True, capture_output=True, text=True).stdout
    names = ("old", "new.json", "new.flac", "new.safetensors", "folder/second")
    said = "cannot be written (File too large); make room or name another place"
    assert told.splitlines() == [f"{tmp_path / name}: {said}" for name in names]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def write_together(folder: Path, *names: str) -> None:
    with files.together(folder) as place:
        for number, name in enumerate(names):
            (place / name).write_text("new")
            os.utime(place / name, ns=(number, number))


def content_of(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", [None, {}, {"a": "old", "own": "x"}])
def test_files_that_belong_together_stand_together(tmp_path: Path, before: dict[str, str] | None) -> None:
    folder = tmp_path / "deep" / "out"
    if before is not None:
        folder.mkdir(parents=True)
    for name, text in (before or {}).items():
        (folder / name).write_text(text)

    def write(broken: bool) -> None:
        with files.together(folder) as place:
            files.write_text(place / "a", "new")
            files.write_text(place / "b" / "c", "new")
            if broken:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(broken=True)
    assert content_of(folder) == (before or {})
    assert folder.exists() == (before is not None)
    write(broken=False)
    assert content_of(folder) == {**(before or {}), "a": "new", "b/c": "new"}
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_a_file_that_cannot_be_moved_moves_those_before_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"a": "old", "z": "old"}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    refuse_to_move(monkeypatch, "z")
    with pytest.raises(OutputError, match=r"/z: cannot be written \(Operation not permitted\)"):
        write_together(tmp_path, "a", "new", "z")
    assert content_of(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"a", "z"}


def test_a_folder_in_the_way_of_a_file_is_met_before_anything_is_moved(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match=r"/b: cannot be written \(it is a folder\)"):
        write_together(tmp_path, "a", "b")
    assert content_of(tmp_path) == {"a": "old"}


def test_the_last_that_is_written_is_the_last_that_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, move = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b).name), move(a, b)))
    write_together(tmp_path, "weights", "graph", "config")
    assert moved == ["weights", "graph", "config"]


TENSORS = """
import sys
from pathlib import Path
import numpy as np
from synthprint.files import write_tensors
tensors = {name: np.arange(6, dtype=kind) for name, kind in (("b", "float32"), ("a", "uint8"), ("c", "int64"))}
metadata = {name: name.upper() for name in ("format", "extractor", "é\\n\\x1b", "position", "identity")}
for number in range(4):
    write_tensors(Path(sys.argv[1]) / f"{sys.argv[2]}-{number}", tensors, metadata)
"""


def metadata_of(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + size])["__metadata__"]
    return metadata


def test_the_same_tensors_are_the_same_bytes(tmp_path: Path) -> None:
    import torch

    for process in range(3):
        subprocess.run([sys.executable, "-c", TENSORS, tmp_path, str(process)], check=True)
    for number in range(2):
        tensors = {name: torch.from_numpy(array) for name, array in load_file(tmp_path / "0-0").items()}
        files.write_tensors(tmp_path / f"torch-{number}", tensors, metadata_of(tmp_path / "0-0"))
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == 14
    assert len(contents) == 1
    (content,) = contents
    metadata = metadata_of(tmp_path / "torch-0")
    assert list(metadata) == sorted(metadata) == ["extractor", "format", "identity", "position", "é\n\x1b"]
    assert content[8:].startswith(b'{"__metadata__":{"extractor":"EXTRACTOR",')
    assert load_file(tmp_path / "torch-0")["c"].tolist() == list(range(6))


def test_tensors_without_metadata_are_what_safetensors_writes(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {"b": np.ones(3, np.float32), "a": np.zeros((2, 2), np.int64)}
    files.write_tensors(tmp_path / "ours", tensors)
    save_file(tensors, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
