"""FreeTTS: Flite's diphone synthesizer rewritten in Java.

https://freetts.sourceforge.io. The voice `alan` is left out: it is a talking clock. The order of the options
matters: the file to dump to comes first, or the program opens the sound card and waits for ever. It writes a
file per phrase that it takes for a sentence, not per line.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["FreeTts"]

JAR = Path("/usr/share/java/freetts.jar")
MAIN = "com.sun.speech.freetts.FreeTTS"


class FreeTts:
    """Debian's `freetts.jar`, in Java."""

    systems = tuple(
        System(
            f"freetts/{voice}", "freetts-diphone", "tts", "BSD-like (Sun, CMU)", ("apt:freetts",), ("en",), "cmu_kal"
        )
        for voice in ("kevin", "kevin16")
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("java") and JAR.exists() else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        parts = _dump(system.name, texts)
        if len(parts) == len(texts):
            return list(parts)
        # It made several files of some line ("Drag: slide a finger." is two): which are whose is known one by one.
        return processes.each(texts, lambda text: _joined(system.name, _dump(system.name, [text])))


def _dump(name: str, texts: Sequence[str]) -> list[Recording]:
    """All that it says to `texts`, a line each: at least one file for a line, numbered through."""
    with processes.scratch() as folder:
        lines, wav = folder / "lines.txt", folder / "speech.wav"
        lines.write_text("".join(" ".join(text.split()) + "\n" for text in texts), encoding="utf-8")
        java: list[str | Path] = [
            "java",
            "-cp",
            JAR,
            MAIN,
            "-voice",
            name.split("/")[1],
            "-dumpMultiAudio",
            wav,
            "-lines",
            lines,
        ]
        processes.run(name, java, timeout_s=processes.TIMEOUT_S + 2.0 * len(texts))
        numbered = itertools.takewhile(Path.exists, (folder / f"speech{i}.wav" for i in itertools.count()))
        return [processes.read_wave(name, part) for part in numbered]


def _joined(name: str, parts: Sequence[Recording]) -> Recording:
    if not parts:
        raise EngineError(f"{name}: made no audio of the text")
    return Recording(np.concatenate([part.samples for part in parts]), parts[0].sample_rate)
