"""SAM, the Software Automatic Mouth of 1982, reverse engineered in JavaScript (npm package `sam-js`).

https://github.com/discordier/sam. Formant synthesis, English. It has **no licence** (its makers cannot be
found): use what it says for yourself, and pass neither its code nor its audio on.
"""

from __future__ import annotations

from collections.abc import Sequence

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import processes

__all__ = ["Sam"]

SAMPLE_RATE = 22_050  # Hz
PRESETS = {
    "sam": {"speed": 72, "pitch": 64, "throat": 128, "mouth": 128},
    "stuffy": {"speed": 82, "pitch": 72, "throat": 110, "mouth": 105},
}
SCRIPT = """
const Sam = require('./dist/samjs.js');
for (const [i, text] of job.texts.entries()) {
  const samples = new Sam(job.preset).buf32(text);
  if (!samples) continue;
  const wav = Buffer.alloc(44 + 2 * samples.length);
  wav.write('RIFF', 0); wav.writeUInt32LE(36 + 2 * samples.length, 4); wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16); wav.writeUInt16LE(1, 20); wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(job.rate, 24); wav.writeUInt32LE(2 * job.rate, 28);
  wav.writeUInt16LE(2, 32); wav.writeUInt16LE(16, 34);
  wav.write('data', 36); wav.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((x, n) => wav.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(32768 * x))), 44 + 2 * n));
  write(i, wav);
}
"""


class Sam:
    """The npm package `sam-js`, in Node.js."""

    systems = tuple(
        System(
            f"sam/{preset}",
            "sam",
            "tts",
            "none: abandonware of SoftVoice, Inc.",
            (*processes.NODE, "npm:sam-js"),
            ("en",),
            "sam",
            redistributable=False,
        )
        for preset in PRESETS
    )

    def installed(self) -> tuple[System, ...]:
        return self.systems if processes.node_package("sam-js") else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        job = {"preset": PRESETS[system.name.split("/")[1]], "rate": SAMPLE_RATE, "texts": list(texts)}
        return processes.speak_with_node(system.name, "sam-js", SCRIPT, job)
