"""espeak 1.48, espeak-ng's ancestor: another version of the same back ends.

http://espeak.sourceforge.net. In cs, pl, hu and sv, and in part in fi, nl, en, fr and pt, its speech is
espeak-ng's sample by sample: the same audio under two labels teaches nothing, so it speaks other languages
here. It carries state from one utterance to the next, hence one process for each.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Espeak"]

LANGUAGES = ("de", "es", "it", "ru", "ca")
VARIANTS = {"default": "", "klatt": "+klatt"}


class Espeak:
    """The command `espeak`."""

    systems = tuple(
        System(
            f"espeak/{variant}",
            "espeak-klatt" if "klatt" in variant else "espeak-wavegen",
            "tts",
            "GPL-3.0-or-later",
            ("apt:espeak",),
            LANGUAGES,
            "espeak",
        )
        for variant in VARIANTS
    )

    def installed(self) -> tuple[System, ...]:
        return tuple(system for system in self.systems if system.name.split("/")[1] in _variants())

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        voice = language + VARIANTS[system.name.split("/")[1]]
        return processes.speak_each(
            system.name, texts, lambda text, wav: ["espeak", "-b", "1", "-v", voice, "-w", str(wav), "-f", str(text)]
        )


@functools.cache
def _variants() -> frozenset[str]:
    """The variants that the program lists, and "default" where it is here at all."""
    if not shutil.which("espeak"):
        return frozenset()
    lines = processes.run("espeak", ["espeak", "--voices=variant"]).decode().splitlines()
    return frozenset(line.split("!v/")[1].split()[0] for line in lines if "!v/" in line) | {"default"}
