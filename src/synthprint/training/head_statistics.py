"""Statistics of a corpus, computed once, so that heads of `spectral_statistics` can be trained on them in seconds.

WORK/train.npz, dev.npz   the statistics of each clip: as it is, changed in COPIES ways by each mix, through a channel
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from synthprint.backbones.spectral_statistics import PARTS, SpectralStatistics
from synthprint.background import in_processes, processors
from synthprint.manifests.splits import position
from synthprint.progress import track
from synthprint.sound import audio
from synthprint.sound.augmentation import CHANNEL, Augmentation
from synthprint.types import Manifest, Utterance

WINDOW = 48_000
COPIES = 6
PER_SOURCE = 40  # training clips, at most
MIXES = {
    "shipped": Augmentation(equalise=0.4, band_limit=0.2, noise=0.25, codec=0.3, silence=0.3, gain_db=20.0),
    "harsher": CHANNEL,
}


class Statistics(NamedTuple):
    """All parts of the statistics: of V versions of each of N clips; of the windows of each."""

    ids: list[str]
    values: list[np.ndarray]  # N times [V, S]


def clips_by_split(manifest: Manifest) -> dict[str, list[Utterance]]:
    """The training clips, at most PER_SOURCE of a source, and the development clips of sources never met."""
    train: list[Utterance] = []
    for source in manifest.split("train").sources:
        train += sorted((u for u in manifest.split("train") if u.source == source), key=lambda u: position(u.id))[
            :PER_SOURCE
        ]
    return {"train": train, "dev": list(manifest.split("dev"))}


def versions(path: Path, place: int) -> dict[str, list[np.ndarray]]:
    """What is computed of a clip: windows as they are, changed copies of a random crop, windows after a channel."""
    wave = audio.load(path)
    copies = {"clean": windows(wave), "channel": windows(CHANNEL(wave, np.random.default_rng([7, place])))}
    for name, mix in MIXES.items():
        copies[name] = []
        for copy in range(COPIES):
            rng = np.random.default_rng([copy, place])
            start = int(rng.integers(0, max(1, len(wave) - WINDOW + 1)))
            copies[name].append(mix(audio.wrap(wave[start : start + WINDOW], WINDOW), rng))
    return copies


def windows(wave: np.ndarray) -> list[np.ndarray]:
    """The windows that cover a wave, as for an embedding."""
    return [audio.wrap(wave, WINDOW)[s : s + WINDOW] for s in audio.window_starts(len(wave), WINDOW)]


def clip_statistics(path: Path, place: int, kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Statistics [V, S] of the versions of a clip."""
    torch.set_num_threads(1)
    backbone = SpectralStatistics(parts=tuple(PARTS))
    copies = versions(path, place)
    statistics = {}
    with torch.no_grad():
        for kind in kinds:
            parts = backbone.statistics(torch.from_numpy(np.stack(copies[kind])))
            statistics[kind] = torch.cat([parts[name] for name in PARTS], dim=1).numpy()
    return statistics


def _placed_statistics(kinds: Sequence[str], placed: tuple[int, Path]) -> dict[str, np.ndarray]:
    place, path = placed
    return clip_statistics(path, place, kinds)


def compute_statistics(manifest: Manifest, work: Path) -> None:
    """Compute the statistics of the train and dev splits, and write them into a folder.

    Raises:
        ManifestError: one of the splits is missing.
        AudioError: a clip cannot be read.
    """
    work.mkdir(parents=True, exist_ok=True)
    for split, clips in clips_by_split(manifest).items():
        kinds = ["clean", *MIXES] if split == "train" else ["clean", "channel"]
        paths = [manifest.audio_path(u) for u in clips]
        workers = processors()
        computed = in_processes(partial(_placed_statistics, kinds), enumerate(paths), workers, 4 * workers)
        rows = list(track(computed, split, len(paths)))
        arrays = {f"{kind}_{i}": row[kind] for i, row in enumerate(rows) for kind in kinds}
        np.savez(work / f"{split}.npz", ids=np.array([u.id for u in clips]), **arrays)  # type: ignore[arg-type]


def read_statistics(work: Path, split: str, kind: str) -> Statistics:
    """One kind of versions of a split."""
    with np.load(work / f"{split}.npz") as file:
        ids = file["ids"].tolist()
        return Statistics(ids, [file[f"{kind}_{i}"] for i in range(len(ids))])
