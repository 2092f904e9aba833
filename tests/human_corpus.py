"""A corpus that a detector can be trained and calibrated on: publishers, each with human and synthetic clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from conftest import tone
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Manifest, Utterance

KINDS = ("tts", "codec")
HUMAN_TONE, PUBLISHERS = 0, 16  # as tones go, a human voice is the one of source 0
TRAINED, DEV = range(3), range(3, 13)  # publishers; the others test


def human_corpus(root: Path, clips: int = 4, clip_s: float = 0.6) -> Manifest:
    """PUBLISHERS publishers, each with its own noise and `clips` clips of a person, of a TTS system and of a codec."""
    utterances = []
    for publisher in range(PUBLISHERS):
        split = "train" if publisher in TRAINED else "dev" if publisher in DEV else "test"
        for kind_number, kind in enumerate(("human", *KINDS)):
            for clip in range(clips):
                path = f"{publisher}/{kind}/{clip}.wav"
                (root / path).parent.mkdir(exist_ok=True, parents=True)
                wave = tone(HUMAN_TONE + 2 * kind_number, 10 * publisher + clip, clip_s)
                other = tone(HUMAN_TONE if kind_number else 2, 10 * publisher + clip, clip_s)
                share = np.float32((0.0, 0.2, 0.35, 0.6 if publisher % 4 == 1 else 0.4)[clip % 4])
                wave = (1 - share) * wave + share * other  # so that a few are not told from the other side
                noise = np.random.default_rng([publisher, clip]).standard_normal(len(wave))
                wave += np.float32(0.002 * (1 + publisher % 3)) * noise.astype(np.float32)
                soundfile.write(root / path, wave, SAMPLE_RATE)
                source = "human" if kind == "human" else f"{kind}-{publisher % 2}"
                utterances.append(
                    Utterance(path, path, source, family=kind, publisher=f"page-{publisher}", split=split,
                              duration_s=clip_s, extra={"kind": kind})
                )  # fmt: skip
    return Manifest(tuple(utterances), root, "pages").with_seen()
