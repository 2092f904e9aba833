"""Open JTalk: Japanese HMM synthesis with hts_engine.

https://open-jtalk.sp.nitech.ac.jp. Debian packages the program and its dictionary; the free voice "Mei" comes
inside the Python package pyopenjtalk. The voice file is looked for at `SYNTHPRINT_HTSVOICE`, in pyopenjtalk's
folder, and in `~/.cache/synthprint/htsvoice`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["OpenJTalk"]

DICTIONARY = Path("/var/lib/mecab/dic/open-jtalk/naist-jdic")
VOICE = "mei_normal.htsvoice"
VARIABLE = "SYNTHPRINT_HTSVOICE"  # environment variable: path of the voice file


class OpenJTalk:
    """The command `open_jtalk`."""

    systems = (
        System(
            "openjtalk/mei",
            "hts-mlsa",
            "tts",
            "BSD-3-Clause; voice CC-BY-3.0 (MMDAgent)",
            ("apt:open-jtalk", "apt:open-jtalk-mecab-naist-jdic", "pip:pyopenjtalk"),
            ("ja",),
            "mei",
        ),
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("open_jtalk") and DICTIONARY.is_dir() and _voice() else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        voice = str(_voice())
        return processes.speak_each(
            system.name,
            texts,
            lambda text, wav: ["open_jtalk", "-x", str(DICTIONARY), "-m", voice, "-ow", str(wav), str(text)],
        )


def _voice() -> Path | None:
    places = [Path(os.environ[VARIABLE])] if VARIABLE in os.environ else []
    package = importlib.util.find_spec("pyopenjtalk")
    if package and package.origin:
        places.append(Path(package.origin).parent / "htsvoice" / VOICE)
    places.append(processes.CACHE.expanduser() / "htsvoice" / VOICE)
    return next((place for place in places if place.is_file()), None)
