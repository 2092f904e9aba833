"""Doors with a fault each, which the fuzzer must find; and sound ones, in which it must find none."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuzz.door import Door
from fuzz.mutators.raw import raw
from fuzz.mutators.text import JSON, structured

from synthprint.errors import ManifestError

SEED = b'{"name": "a clip", "size": 3, "parts": [1, 2]}'
FIELDS = {"name": str, "size": int, "parts": list}
MEMORY_MB = 64
Act = Callable[[Path, Any], object]


def _opened(act: Act) -> Callable[[Path, Path], object]:
    """Reads the case as a careful door does; a sound object with a field of the wrong type is left to `act`."""

    def enter(_: Path, case: Path) -> object:
        try:
            tables = json.loads(case.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{case}: is not JSON ({type(error).__name__})") from error
        if not isinstance(tables, dict):
            raise ManifestError(f"{case}: is no object")
        if all(isinstance(tables.get(name), kind) for name, kind in FIELDS.items()):
            return tables
        return act(case, tables.get("size"))

    return enter


def _key(case: Path, size: Any) -> object:
    return {}["size"]


def _hang(case: Path, size: Any) -> object:
    while not isinstance(size, int):
        pass
    return size


def _memory(case: Path, size: Any) -> object:
    return len(b"a" * (2 * MEMORY_MB << 20))


def _more_memory(case: Path, size: Any) -> object:
    return len(bytes(20 * MEMORY_MB << 20))


def _signal(case: Path, size: Any) -> object:
    return ctypes.string_at(0)


def _exit(case: Path, size: Any) -> object:
    os._exit(0)


def _open(case: Path, size: Any) -> object:
    return Path("/etc/passwd").read_bytes()[:1]


def _open_by_program(case: Path, size: Any) -> object:
    return subprocess.run(["cat", "canary.wav"], capture_output=True, check=True).returncode


def _write(case: Path, size: Any) -> object:
    return Path("../outside.txt").write_text("a")


def _lines(case: Path, size: Any) -> object:
    raise ManifestError(f"{case}: size is\n{size!r:.9}")


def _nameless(case: Path, size: Any) -> object:
    raise ManifestError("size is no number")


def _nan(case: Path, size: Any) -> object:
    return {"size": [1.0, float("nan")]}


def _noise(case: Path, size: Any) -> object:
    os.write(2, b"warning: a strange size\n")
    return None


def _refuse(case: Path, size: Any) -> object:
    raise ManifestError(f"{case}: size is no number")


def _without_library(room: Path) -> Path:
    raise ModuleNotFoundError("No module named 'rare'")


def _door(name: str, act: Act, seed: bytes = SEED, limit_s: float = 5.0) -> Door:
    mutators = (structured(JSON), structured(JSON), structured(JSON), raw)
    return Door(name, "case.json", _opened(act), lambda _: [seed], mutators, limit_s=limit_s, memory_mb=MEMORY_MB)


DOORS = (
    _door("planted.key", _key),
    _door("planted.hang", _hang, limit_s=0.2),
    _door("planted.memory", _memory),
    _door("planted.more_memory", _more_memory),
    _door("planted.signal", _signal),
    _door("planted.exit", _exit),
    _door("planted.open", _open),
    _door("planted.open_by_program", _open_by_program),
    _door("planted.write", _write),
    _door("planted.lines", _lines),
    _door("planted.nameless", _nameless),
    _door("planted.nan", _nan),
    _door("planted.noise", _noise),
    _door("planted.refuse", _refuse, b'{"size": "3"}'),
    _door("sound.door", _refuse),
    replace(_door("sound.left_out", _refuse), prepare=_without_library),
)
