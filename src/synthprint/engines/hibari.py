"""Hibari: a small student of Kokoro-82M, 24 kHz, English.

https://github.com/MMWilliams/hibari. A network of 8 MB predicts a spectrum for each frame, pulses and noise are
filtered by it, and one inverse Fourier transform makes the wave. The voice "heart" comes inside the Python package;
its other voices are downloaded, and so left out.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import networks, processes

__all__ = ["Hibari"]

SEED = 0  # of its noise
WEIGHTS = networks.PackageFile("hibari-tts", "hibari", "assets/hibari.onnx", 7_936_868)
_MAKING = threading.Lock()


class Hibari:
    """The Python package hibari-tts."""

    systems = (
        System(
            "hibari/heart",
            "hibari",
            "tts",
            "Apache-2.0",
            ("pip:hibari-tts",),
            ("en",),
            "af_heart",
            vocoder="istft",
        ),
    )

    batch = 1

    def installed(self) -> tuple[System, ...]:
        return self.systems if networks.are_installed((), [WEIGHTS]) else ()

    def speak(self, system: System, texts: Sequence[str], language: str) -> list[Recording | EngineError]:  # noqa: ARG002
        WEIGHTS.located(system.name)
        with _MAKING:
            voice = _voice()
        return processes.each(
            texts, lambda text: processes.recording(system.name, voice(text, seed=SEED), voice.sample_rate)
        )


@functools.cache
def _voice() -> Any:
    import hibari

    voice = hibari.Hibari(threads=1)
    voice.phonemize("Ready.")  # its dictionaries are read at the first sentence
    return voice
