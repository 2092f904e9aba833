"""Stand-in audio for MLAAD's lists: a sound for every source, so that what comes after the lists can be rehearsed.

    python tests/mlaad_audio.py FOLDER [SECONDS]

makes every file that the lists in FOLDER name, and each audio folder's meta.csv, where they are not there already.
No figure that is measured on these sounds says anything about MLAAD.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from mlaad_tree import write_meta
from synthprint.manifests.opening import open_manifest
from synthprint.types import Manifest, Utterance

NATIVE_RATES = (16_000, 22_050, 24_000, 48_000)  # Hz
SAME_WEIGHTS = {"tts_models/multilingual/multi-dataset/bark": "suno/bark"}
RESPONSE_S = 0.02


def write_audio(manifest: Manifest, duration_s: float) -> None:
    """Write the audio of `manifest`, some `duration_s` long, and each folder's meta.csv; files that exist stay."""
    folders: dict[Path, list[Utterance]] = defaultdict(list)
    for u in {u.path: u for u in manifest}.values():
        folders[manifest.audio_path(u).parent].append(u)
    for folder, utterances in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for u in utterances:
            path = manifest.audio_path(u)
            if not path.exists():
                soundfile.write(path, *sound(u, duration_s))
            lines.append(_described(u, soundfile.info(path).duration))
        if not (folder / "meta.csv").exists():
            write_meta(folder, lines)


@dataclass(frozen=True, eq=False)
class Voice:
    """How a source sounds: native sample rate, impulse response, pulses and beats a second."""

    sample_rate: int
    response: np.ndarray
    pitch_hz: float
    beat_hz: float


def sound(u: Utterance, duration_s: float) -> tuple[np.ndarray, int]:
    """Beating pulses and noise through the source's filter: (wave [T], native sample rate)."""
    voice = _voice(SAME_WEIGHTS.get(u.source, u.source))
    rng = np.random.default_rng(_seed(u.path))
    n_samples = round(duration_s * rng.uniform(0.8, 1.2) * voice.sample_rate)
    excitation = 0.02 * rng.standard_normal(n_samples)
    excitation[:: int(voice.sample_rate / (voice.pitch_hz * rng.uniform(0.97, 1.03)))] += 1.0
    beats = voice.beat_hz * np.arange(n_samples) / voice.sample_rate
    excitation *= 1 + 0.9 * np.cos(2 * np.pi * (beats + rng.random()))
    size = n_samples + len(voice.response)
    wave = np.fft.irfft(np.fft.rfft(excitation, size) * np.fft.rfft(voice.response, size), size)[:n_samples]
    return (rng.uniform(0.3, 0.9) * wave / np.abs(wave).max()).astype(np.float32), voice.sample_rate


@functools.cache
def _voice(source: str) -> Voice:
    rng = np.random.default_rng(_seed(source))
    sample_rate = int(rng.choice(NATIVE_RATES))
    time_s = np.arange(round(RESPONSE_S * sample_rate)) / sample_rate
    response = np.zeros(len(time_s))
    for low_hz in (250, 900, 2500):
        decay, frequency_hz = rng.uniform(200, 800), rng.uniform(low_hz, 2 * low_hz)
        response += np.exp(-decay * time_s) * np.cos(2 * np.pi * frequency_hz * time_s)
    response[round(rng.uniform(0.003, 0.01) * sample_rate)] += 2.0  # an echo: ripples in the spectrum
    return Voice(sample_rate, response, rng.uniform(90, 220), rng.uniform(3, 30))


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _described(u: Utterance, duration_s: float) -> str:
    architecture = (u.family or "").upper()
    transcript = f'"{u.text_id}", he said | she said'  # pipes and quotes are not escaped in the real ones either
    cells = [f"./{u.path}", f"{u.text_id}.wav", "en", "False", f"{duration_s:.2f}", "none", u.source, architecture]
    return "|".join([*cells, transcript])


if __name__ == "__main__":
    write_audio(open_manifest(sys.argv[1], "mlaad"), float(sys.argv[2]) if len(sys.argv) > 2 else 0.6)
