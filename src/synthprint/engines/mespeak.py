"""meSpeak.js: espeak 1.4 compiled to JavaScript (npm package `mespeak`).

https://www.masswerk.at/mespeak. It dies of an invalid memory size after some eighty utterances, and mixes
languages in one process: each call here is one process, in one language, of at most `BATCH` texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Mespeak"]

BATCH = 30
LANGUAGES = {"en": "en/en", "de": "de", "fr": "fr", "es": "es", "it": "it", "ca": "ca", "pt": "pt-pt"}  # -> voice file
SCRIPT = """
const mespeak = require('./src/index.js');
mespeak.loadConfig(require('./src/mespeak_config.json'));
mespeak.loadVoice(require('./voices/' + job.voice + '.json'));
for (const [i, text] of job.texts.entries()) {
  const wav = mespeak.speak(text, { rawdata: true });
  if (wav) write(i, Buffer.from(wav));
}
"""


class Mespeak:
    """The npm package `mespeak`, in Node.js."""

    systems = (
        System(
            "mespeak/default",
            "espeak-wavegen",
            "tts",
            "GPL-3.0-or-later",
            (*processes.NODE, "npm:mespeak"),
            tuple(LANGUAGES),
            "espeak",
        ),
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if processes.node_package("mespeak") else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        recordings: list[Recording | EngineError] = []
        for start in range(0, len(texts), BATCH):
            job = {"voice": LANGUAGES[language], "texts": list(texts[start : start + BATCH])}
            recordings += processes.speak_with_node(system.name, "mespeak", SCRIPT, job)
        return recordings
