"""espeak-ng: formant synthesis, with its own harmonic back end ("wavegen") and with Klatt's synthesizer.

https://github.com/espeak-ng/espeak-ng. Of its Klatt variants, `klatt6` equals `klatt` sample by sample and
`klatt5` is close to `klatt4`: they are left out.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["EspeakNg"]

LANGUAGES = ("en", "de", "fr", "es", "it", "cs", "fi", "sv", "pl", "hu", "nl", "ru", "ca", "pt", "hi", "mr", "te")
VARIANTS = {
    "default": "",
    "f3": "+f3",
    "whisper": "+whisper",
    "klatt": "+klatt",
    "klatt2": "+klatt2",
    "klatt3": "+klatt3",
    "klatt4": "+klatt4",
}


class EspeakNg:
    """The command `espeak-ng`."""

    systems = tuple(
        System(
            f"espeak-ng/{variant}",
            "espeak-klatt" if "klatt" in variant else "espeak-wavegen",
            "tts",
            "GPL-3.0-or-later",
            ("apt:espeak-ng",),
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
            system.name, texts, lambda text, wav: ["espeak-ng", "-b", "1", "-v", voice, "-w", str(wav), "-f", str(text)]
        )


@functools.cache
def _variants() -> frozenset[str]:
    """The variants that the program lists, and "default" where it is here at all."""
    if not shutil.which("espeak-ng"):
        return frozenset()
    lines = processes.run("espeak-ng", ["espeak-ng", "--voices=variant"]).decode().splitlines()
    return frozenset(line.split("!v/")[1].split()[0] for line in lines if "!v/" in line) | {"default"}
