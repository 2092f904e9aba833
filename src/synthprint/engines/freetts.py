"""FreeTTS: Flite's diphone synthesizer rewritten in Java.

https://freetts.sourceforge.io. The voice `alan` is left out: it is a talking clock. The order of the options
matters: the file to dump to comes first, or the program opens the sound card and waits for ever.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from synthprint import processes
from synthprint.errors import EngineError
from synthprint.shelves import Recording, System

__all__ = ["FreeTts"]

JAR = Path("/usr/share/java/freetts.jar")
MAIN = "com.sun.speech.freetts.FreeTTS"


class FreeTts:
    """Debian's `freetts.jar`, in Java."""

    systems = tuple(
        System(f"freetts/{voice}", "freetts-diphone", "tts", "BSD-like (Sun, CMU)", ("apt:freetts",), ("en",), "cmu_kal")
        for voice in ("kevin", "kevin16")
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if shutil.which("java") and JAR.exists() else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        voice = system.name.split("/")[1]
        with processes.scratch() as folder:
            lines = folder / "lines.txt"
            lines.write_text("".join(" ".join(text.split()) + "\n" for text in texts), encoding="utf-8")
            java = ["java", "-cp", JAR, MAIN, "-voice", voice, "-dumpMultiAudio", folder / "speech.wav", "-lines", lines]
            processes.run(system.name, java, timeout_s=processes.TIMEOUT_S + 2.0 * len(texts))
            wavs = [folder / f"speech{i}.wav" for i in range(len(texts))]
            return processes.each(wavs, functools.partial(processes.read_wave, system.name))
