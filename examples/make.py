"""Speak the example clips again: examples/clips and examples/manifest.csv.

    python examples/make.py

Needs espeak-ng, flite, festival (kal, slt), gnuspeech, WORLD and Griffin-Lim (`synthprint corpus engines` says how to
install them). The sentences are our own; the engines' licences leave what they speak free. The sentences are not
those of the shipped extractor's corpora. gnuspeech draws intonation and drift at random, so its clips come out anew.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile

from synthprint.errors import EngineError
from synthprint.shelves import System, find
from synthprint.sound import audio
from synthprint.types import Manifest, Utterance

HERE = Path(__file__).parent
CLIPS_A_SOURCE, TRAIN_CLIPS = 6, 3
LONGEST_S = 4.0
SPOKEN = {
    "espeak_ng": ("espeak-ng/default", "espeak-ng/klatt2"),
    "flite": ("flite/kal16", "flite/rms", "flite/slt"),
    "festival": ("festival/kal", "festival/slt_hts"),
    "gnuspeech": ("gnuspeech/child",),
}
REMADE = {"world": "world/full", "griffin_lim": "griffinlim/lin"}  # from flite/rms


def waves_of(recordings: list[object]) -> list[np.ndarray]:
    """Waves [T] at 16 kHz, at most LONGEST_S long."""
    waves = []
    for recording in recordings:
        if isinstance(recording, EngineError):
            raise recording
        waves.append(audio.resample(recording.samples, recording.sample_rate)[: round(LONGEST_S * audio.SAMPLE_RATE)])
    return waves


def system(engine: object, name: str) -> System:
    """The installed system called `name`."""
    return next(s for s in engine.installed() if s.name == name)


def main() -> None:
    """Speak, write the clips, write the manifest."""
    book = json.loads(files("synthprint.corpus").joinpath("sentences.json").read_text(encoding="utf-8"))
    keys = sorted(book)[:CLIPS_A_SOURCE]
    made: dict[System, list[np.ndarray]] = {}
    for engine_name, names in SPOKEN.items():
        engine = find("engines", engine_name)()
        for name in names:
            chosen = system(engine, name)
            made[chosen] = waves_of(engine.speak(chosen, [book[key]["en"] for key in keys], "en"))
    originals = next(waves for s, waves in made.items() if s.name == "flite/rms")
    for engine_name, name in REMADE.items():
        engine = find("engines", engine_name)()
        chosen = system(engine, name)
        made[chosen] = waves_of(engine.resynthesise(chosen, originals))

    utterances = []
    for source, waves in made.items():
        for number, (key, wave) in enumerate(zip(keys, waves, strict=True), 1):
            path = Path("clips") / source.name.replace("/", "_") / f"{number:02d}.flac"
            (HERE / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(HERE / path, np.clip(wave, -1, 1), audio.SAMPLE_RATE, subtype="PCM_16")
            split = "train" if number <= TRAIN_CLIPS else "dev"
            utterances.append(Utterance(str(path), str(path), source.name, source.family, "en", None, key, split))
    Manifest(tuple(utterances), HERE).save(HERE / "manifest.csv")


if __name__ == "__main__":
    main()
