"""Nothing is lost: a file is the old one or the new one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from synthprint import files


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
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


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
