"""Gnuspeech: articulatory synthesis by a model of the vocal tract as a tube, in WebAssembly.

https://github.com/echogarden-project/gnuspeech-wasm (npm package `@echogarden/gnuspeech-wasm`). Its
intonation has a random part: it is the one engine here that does not say the same thing twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Gnuspeech"]

PACKAGE = "@echogarden/gnuspeech-wasm"
VOICES = {"male": "male", "female": "female", "child": "large_child"}
SCRIPT = """
const { synthesize } = await load('dist/exports/GnuSpeech.js');
for (const [i, text] of job.texts.entries()) {
  try {
    write(i, Buffer.from((await synthesize(text, { voice: job.voice })).audioData));
  } catch (error) {
    console.error(String(error));
  }
}
"""


class Gnuspeech:
    """The npm package `@echogarden/gnuspeech-wasm`, in Node.js."""

    systems = tuple(
        System(
            f"gnuspeech/{voice}",
            "gnuspeech-trm",
            "tts",
            "GPL-3.0-or-later",
            (*processes.NODE, f"npm:{PACKAGE}"),
            ("en",),
            f"gnuspeech_{voice}",
            deterministic=False,
        )
        for voice in VOICES
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if processes.node_package(PACKAGE) else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        job = {"voice": VOICES[system.name.split("/")[1]], "texts": list(texts)}
        return processes.speak_with_node(system.name, PACKAGE, SCRIPT, job)
