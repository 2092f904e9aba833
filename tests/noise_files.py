"""Files of noise: corpora in which only what a test changes tells the sources apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from synthprint.manifests.opening import open_manifest
from synthprint.types import Manifest

RATE = 16_000


def noise(rng: np.random.Generator, duration_s: float = 0.3, level: float = 0.1) -> np.ndarray:
    return (level * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def save(path: Path, wave: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=subtype)


def noise_corpus(root: Path, clips: int, change: Callable[[int, np.ndarray], np.ndarray]) -> Manifest:
    """Three sources of the same noise, where `change(source, wave)` is all that may tell them apart."""
    rng = np.random.default_rng(0)
    for i in range(clips):
        for source in range(3):
            save(root / f"source{source}" / f"{i}.wav", change(source, noise(rng)))
    return open_manifest(root)
