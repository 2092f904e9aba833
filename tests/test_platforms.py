"""What would be missing on Windows and macOS is missing here for a while: every room opens, a clip is traced.

It is a simulation, on Linux. What it cannot show is in docs/platforms.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from synthprint import Gallery, Tracer
from test_architecture import TORCH_ROOMS, modules, room

# The native locks of `filelock` are those of Linux still: on Windows they are LockFileEx.
WITHOUT_POSIX = """
import os, sys
import filelock, onnxruntime, soundfile, typer
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "pread", "killpg", "sched_getaffinity"):
    delattr(os, name)
from synthprint import temporaries
temporaries.HOLDS = False
"""


def without_posix(code: str, *words: str | Path) -> str:
    command = [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT_POSIX + code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_room_without_torch_opens_on_a_system_that_is_not_posix() -> None:
    free = [f"synthprint.{name}" for name in modules() if name and room(name) not in {*TORCH_ROOMS, "__main__"}]
    code = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(len(sys.argv) - 1)"
    assert int(without_posix(code, *free)) == len(free) > 100


CASE = """
from pathlib import Path
import numpy as np, soundfile
from synthprint import Tracer
folder, example = map(Path, sys.argv[1:])
wave, rate = soundfile.read(example)
clips = [folder / f"clip ü.{ending}" for ending in ("wav", "flac")]
for clip in clips:
    soundfile.write(clip, wave, rate)
tracer = Tracer.load()
print(*(tracer.trace(clip).source for clip in clips), sep="\\n")
"""
ENROL = """
from synthprint.cli import main
folder, *examples = sys.argv[1:]
def synthprint(*words):
    sys.argv = ["synthprint", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
synthprint("enrol", folder + "/gallery", "New", *examples[:2], "--from", "default")
synthprint("enrol", folder + "/gallery", "New", examples[2])
synthprint("trace", examples[0], "--gallery", folder + "/gallery", "--json")
"""


@pytest.fixture(scope="module")
def examples() -> list[Path]:
    folder = next(iter(sorted((Path(__file__).parents[1] / "examples" / "clips").iterdir())))
    return sorted(folder.glob("*.flac"))


def test_a_clip_is_traced_on_a_system_that_is_not_posix(tmp_path: Path, examples: list[Path]) -> None:
    source = Tracer.load().trace(examples[0]).source
    assert without_posix(CASE, tmp_path, examples[0]).splitlines() == [str(source)] * 2


def test_a_gallery_grows_on_a_system_that_is_not_posix(tmp_path: Path, examples: list[Path]) -> None:
    lines = without_posix(ENROL, tmp_path, *examples[:3]).splitlines()
    assert json.loads(lines[-1])["candidates"][0]["source"] == "New"
    assert len(Gallery.load(tmp_path / "gallery").source_clips("New")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gallery"]  # no temporary stays, no turn
