"""A long stream of files through the extractor, and the memory it takes; a module of its own, as it brings no torch."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import Extractor, load_extractor
from synthprint.model.shipped import model_folder
from synthprint.types import Manifest, Utterance

CLIPS = Path(__file__).parents[1] / "examples" / "clips"


def corpus(utterances: int) -> Manifest:
    """The example clips, again and again under other names."""
    files = [path.relative_to(CLIPS) for path in sorted(CLIPS.glob("*/*.flac"))]
    named = (Utterance(f"{i:06d}", str(path), path.parts[0]) for i, path in enumerate(islice(cycle(files), utterances)))
    return Manifest(tuple(named), CLIPS, "examples")


class Watched:
    """An extractor that notes how much memory there is in use after each chunk of utterances."""

    def __init__(self, extractor: Extractor) -> None:
        self.digest, self.window_samples, self.dim = extractor.digest, extractor.window_samples, extractor.dim
        self._extractor = extractor
        self.windows: list[int] = []
        self.resident_mb: list[float] = []

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """See `Extractor`."""
        vectors = self._extractor.embed_windows(windows)
        self.windows.append(len(windows))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.resident_mb.append(pages * resource.getpagesize() / 1e6)
        return vectors


def streamed(utterances: int) -> tuple[list[int], list[float]]:
    """Embed so many files; about how many were done, and how many MB were in use then."""
    manifest = corpus(utterances)
    watched = Watched(load_extractor(model_folder()))
    embed_manifest(watched, manifest)
    windows = np.cumsum(watched.windows)
    return [round(utterances * w / windows[-1]) for w in windows.tolist()], watched.resident_mb
