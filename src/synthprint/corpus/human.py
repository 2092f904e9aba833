"""Human speech that a package brings: the voice prompts of the Asterisk telephone exchange.

Debian's `asterisk-core-sounds-en-g722`: one speaker (Allison Smith), English, 16 kHz G.722, CC BY-SA 3.0. The
bona fide side of the open corpus, and what the vocoders copy. It is codec speech of one voice: a reference, not
a sample of human speech at large.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from synthprint.corpus.texts import Sentence
from synthprint.shelves import Recording, System
from synthprint.sound import processes

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
BYTES_PER_S = 8_000  # G.722 at 64 kbit/s
MIN_DURATION_S, MAX_DURATION_S = 2.5, 7.0

HUMAN_SPEECH = System(
    "human",
    "human",
    "human",
    "CC-BY-SA-3.0",
    ("apt:asterisk-core-sounds-en-g722", "apt:ffmpeg"),
    ("en",),
    "asterisk_allison",
)


class AsteriskPrompts:
    """The prompts, as far as they are installed, in the shape of an engine."""

    systems: tuple[System, ...] = (HUMAN_SPEECH,)

    def installed(self) -> tuple[System, ...]:
        return self.systems if PROMPTS.is_dir() and shutil.which("ffmpeg") else ()


def prompts() -> list[Sentence]:
    """The prompts of a sentence's length. The package has no transcripts: their text is empty."""
    sentences = []
    for path in sorted(PROMPTS.glob("*.g722")):
        if MIN_DURATION_S <= path.stat().st_size / BYTES_PER_S <= MAX_DURATION_S:
            sentences.append(Sentence(f"human.{path.stem}", "en", "", f"human.{path.stem}"))
    return sentences


def read(sentence: Sentence) -> Recording:
    """One prompt, decoded by ffmpeg (16 kHz).

    Raises:
        EngineError: it cannot be decoded.
    """
    path = PROMPTS / f"{sentence.text_id.removeprefix('human.')}.g722"
    with processes.scratch() as folder:
        wav = folder / "prompt.wav"
        processes.run("human", ["ffmpeg", "-v", "error", "-nostdin", "-f", "g722", "-i", path, wav])
        return processes.read_wave("human", wav)
