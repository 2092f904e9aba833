"""A corpus that a model can be built of: sources that train, and others, with files of tones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import soundfile

from conftest import tone
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Manifest, Utterance

TRAINED, DEV, TEST, HUMAN = range(6), range(6, 12), range(12, 18), 18  # sources


def model_corpus(root: Path, clips: int = 8, clip_s: float = 0.6) -> Manifest:
    """Two corpora, "main" and "other" (every third source); training never meets two thirds of the sources."""
    return Manifest(tuple(_utterances(root, clips, clip_s)), root, "models").with_seen()


def _utterances(root: Path, clips: int, clip_s: float) -> Iterator[Utterance]:
    for source in (*TRAINED, *DEV, *TEST, HUMAN):
        corpus = "other" if source % 3 == 2 else "main"
        for clip in range(clips):
            path = f"{source}/{clip}.wav"
            (root / path).parent.mkdir(exist_ok=True, parents=True)
            soundfile.write(root / path, tone(source % 7, 100 * source + clip, clip_s), SAMPLE_RATE)
            split = "dev" if source in DEV else "test" if source in TEST else ("train", "dev", "test")[clip % 3]
            extra = {"corpus": corpus, "vocoder": f"vocoder-{source % 2}"}
            yield Utterance(
                f"{corpus}/{path}", path, "human" if source == HUMAN else f"source-{source}",
                family="human" if source == HUMAN else f"family-{source % 4}", split=split,
                duration_s=clip_s, extra=extra,
            )  # fmt: skip
