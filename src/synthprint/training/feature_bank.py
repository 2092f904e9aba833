"""The features of a corpus's clips, computed once: what a backbone whose first half does not learn is trained on.

    PACK/features/KEY/features.f16    rows of features [S], float16, one clip's after another's
    PACK/features/KEY/index.jsonl     a line per clip: its key, its first row, its windows and copies, a checksum

PACK is where the decoded audio lies; KEY is made of what the features depend on beside the clips: the backbone, the
length of a window, copies and augmentation. A clip is known by its id and its samples. Like the pack, the bank grows by
appending, rows first and then the line, so what was killed goes on where it was. Rows that are damaged are computed
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from synthprint.background import in_processes, processors
from synthprint.errors import AudioError
from synthprint.extractor.recipe import Recipe
from synthprint.extractor.windows import audible_windows
from synthprint.files import locked
from synthprint.manifests.packing import INT16_FULL_SCALE, Pack, writable
from synthprint.progress import progress
from synthprint.reading.doors import JsonReader
from synthprint.reading.schemas import Refused, Sha256, construct, table_schema
from synthprint.sound.audio import SAMPLE_RATE, wrap
from synthprint.training.twins import featured

FORMAT = 1  # to be raised where the rows of a clip become others and the probe's do not
ROWS, INDEX = "features.f16", "index.jsonl"
FLOAT16_BYTES, LARGEST = 2, 65504.0  # what float16 holds
AHEAD = 8  # clips a process that wait for it or for the file


class Clip(NamedTuple):
    """A clip whose features are wanted, with as many changed copies."""

    key: str
    id: str
    stored: np.ndarray  # [T] int16, as the pack holds it
    copies: int


@dataclass(frozen=True)
class Rows:
    """Where the features of a clip are: first those of its windows that hold any sound, then those of its copies."""

    key: str
    first: int
    windows: int
    copies: int
    crc32: int


_ROWS: Any = table_schema(Rows, key=Sha256)


class FeatureBank:
    """The features of the clips of a recipe's training, those that are computed already.

    Args:
        recipe: whose [features] has copies.
        backbone: in two halves, on the CPU.
        folder: where the decoded audio is.
    """

    def __init__(self, recipe: Recipe, backbone: nn.Module, folder: Path) -> None:
        self._recipe, self._backbone = recipe, backbone.eval()
        self.size, identity = _identity(recipe, self._backbone)
        self.folder = folder / "features" / identity[:16]

    def rows(self, *wanted: tuple[Pack, int]) -> tuple[np.ndarray, list[list[Rows]], int]:
        """Compute what is missing.

        Args:
            wanted: packs, each with the number of changed copies of a clip.

        Returns:
            All rows [R, S] float16, memory-mapped; for each pack where those of its clips are; how many clips there
            were to compute.

        Raises:
            ManifestError: the folder cannot be written.
        """
        keys = [[self._key(pack, i, copies) for i in range(len(pack))] for pack, copies in wanted]
        with writable(self.folder, "features"), locked(self.folder):
            there = self._read({key for of_pack in keys for key in of_pack})
            missing = {
                key: (pack, i, copies)
                for of_pack, (pack, copies) in zip(keys, wanted, strict=True)
                for i, key in enumerate(of_pack)
                if key not in there
            }
            self._append(missing, there)
        return self._mapped(), [[there[key] for key in of_pack] for of_pack in keys], len(missing)

    def _key(self, pack: Pack, index: int, copies: int) -> str:
        named = [pack.manifest.utterances[index].id, pack.hashes[index], copies]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def _mapped(self) -> np.ndarray:
        return np.memmap(self.folder / ROWS, np.float16, mode="r").reshape(-1, self.size)

    def _read(self, keys: set[str]) -> dict[str, Rows]:
        """Those of `keys` whose rows are there and whole; cuts off what a kill left half written."""
        index, rows = self.folder / INDEX, self.folder / ROWS
        index.touch()
        rows.touch()
        data = index.read_bytes()
        os.truncate(index, data.rfind(b"\n") + 1)
        held = rows.stat().st_size // (FLOAT16_BYTES * self.size)
        there: dict[str, Rows] = {}
        end, reader = 0, JsonReader()
        for line in data.splitlines():
            with suppress(Refused):  # a damaged line: its clip is computed again
                entry = construct(Rows, reader.checked(line, _ROWS))
                last = entry.first + entry.windows + entry.copies
                if min(entry.first, entry.windows, entry.copies) >= 0 and last <= held:
                    end = max(end, last)
                    there[entry.key] = entry
        os.truncate(rows, end * FLOAT16_BYTES * self.size)
        if not end:
            return {}
        mapped = self._mapped()
        return {key: entry for key, entry in there.items() if key in keys and _crc32_of(mapped, entry) == entry.crc32}

    def _append(self, missing: dict[str, tuple[Pack, int, int]], there: dict[str, Rows]) -> None:
        """Compute clips on all cores into the file; fills `there`."""
        if not missing:
            return
        workers = min(processors(), len(missing))
        clips = (
            Clip(key, pack.manifest.utterances[i].id, np.array(pack.stored(i)), copies)
            for key, (pack, i, copies) in missing.items()
        )
        computed = in_processes(ClipFeatures(self._recipe, self._backbone), clips, workers, AHEAD * workers)
        with (
            open(self.folder / ROWS, "ab") as file,
            open(self.folder / INDEX, "a", encoding="utf-8") as index,
            progress("computing features", len(missing)) as shown,
        ):
            for key, windows, features in computed:
                first = file.tell() // (FLOAT16_BYTES * self.size)
                data = features.tobytes()
                file.write(data)
                file.flush()
                entry = Rows(key, first, windows, len(features) - windows, zlib.crc32(data))
                index.write(json.dumps(asdict(entry)) + "\n")
                index.flush()
                there[key] = entry
                shown.advance()


class ClipFeatures:
    """Computes the rows of a clip; it is sent to the processes that do so."""

    def __init__(self, recipe: Recipe, backbone: nn.Module) -> None:
        self._recipe, self._backbone = recipe, backbone

    def __call__(self, clip: Clip) -> tuple[str, int, np.ndarray]:
        """The clip's key, how many windows W it has, and the features [W + copies, S] float16 of these and copies."""
        wave = clip.stored.astype(np.float32) / INT16_FULL_SCALE
        windows: Sequence[np.ndarray] = []
        with suppress(AudioError):  # a clip that is all but silent has none
            windows = list(audible_windows(wave, self._recipe.crop.samples, clip.id))
        copies = [changed_copy(self._recipe, wave, clip.id, copy) for copy in range(clip.copies)]
        return clip.key, len(windows), as_float16(features_of(self._backbone, [*windows, *copies]))


def changed_copy(recipe: Recipe, wave: np.ndarray, name: str, copy: int) -> np.ndarray:
    """A random stretch of a clip's `wave` [T], changed by the recipe's augmentation: [t] float32.

    It is as long as [features] says. A clip that is shorter than `shortest_s` is repeated up to there.

    Args:
        name: the clip's id.
        copy: its number, from 0.
    """
    choice = recipe.features
    clip = int.from_bytes(hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()[:8], "big")
    rng = np.random.default_rng([choice.seed, copy, clip])
    shortest = round(choice.shortest_s * SAMPLE_RATE)
    wave = wrap(wave, shortest)
    length = int(rng.integers(shortest, min(len(wave), recipe.crop.samples) + 1))
    start = int(rng.integers(len(wave) - length + 1))
    return recipe.augmentation(wave[start : start + length], rng)


def features_of(backbone: nn.Module, waves: Sequence[np.ndarray]) -> np.ndarray:
    """Features [W, S] float32 of waves [T] of any lengths, one at a time and on one core."""
    half = featured(backbone, "features")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the other cores have clips of their own
    try:
        with torch.inference_mode():
            rows = [half.features(torch.from_numpy(wave)[None]).float().numpy() for wave in waves]
    finally:
        torch.set_num_threads(threads)
    return np.concatenate(rows) if rows else np.zeros((0, len(_probe(backbone)[0])), np.float32)


def as_float16(features: np.ndarray) -> np.ndarray:
    """Features as they are kept, cut off at what float16 holds."""
    return np.clip(features, -LARGEST, LARGEST).astype(np.float16)


def _probe(backbone: nn.Module) -> np.ndarray:
    """Features [2, S] float16 of noise in bursts, a second and three: other features give others."""
    rng = np.random.default_rng(0)
    waves = []
    for length in (SAMPLE_RATE, 3 * SAMPLE_RATE):
        bursts = np.sin(np.arange(length) / 1000.0) > -0.5
        waves.append((0.1 * rng.standard_normal(length) * bursts).astype(np.float32))
    return as_float16(features_of(backbone, waves))


def _identity(recipe: Recipe, backbone: nn.Module) -> tuple[int, str]:
    """The number of features, and a digest of what they depend on beside the clips."""
    probe = _probe(backbone)
    choice = recipe.features
    named = [
        FORMAT, type(backbone).__name__, hashlib.sha256(probe.tobytes()).hexdigest(), recipe.crop.samples,
        choice.copies, choice.shortest_s, choice.seed, asdict(recipe.augmentation),
    ]  # fmt: skip
    return probe.shape[1], hashlib.sha256(json.dumps(named).encode()).hexdigest()


def _crc32_of(mapped: np.ndarray, entry: Rows) -> int:
    rows = mapped[entry.first : entry.first + entry.windows + entry.copies]
    return zlib.crc32(cast(Any, np.ascontiguousarray(rows)))
