"""What a training run sees: crops and labels of the train split, batch by batch, and the dev split.

Everything random in a batch is drawn from (seed, epoch, step, place in the batch).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthprint.errors import ManifestError
from synthprint.extractor.recipe import Recipe
from synthprint.manifests.packing import Pack, pack
from synthprint.training.batches import BalancedBatches, RandomBatches, make_sampler
from synthprint.training.preflight import check_dev
from synthprint.types import Manifest


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Decoded train and dev splits; `labels` [N] index `sources`.

    Attributes:
        failures: path -> reason, of the clips that could not be decoded and are left out.
    """

    recipe: Recipe
    train: Pack
    dev: Pack
    sources: list[str]
    labels: np.ndarray
    failures: dict[str, str]

    @classmethod
    def open(cls, recipe: Recipe, manifest: Manifest, folder: Path | None) -> TrainingData:
        """Decode what is not decoded yet.

        Args:
            folder: where the decoded audio is kept; default: see `packing.default_folder`.

        Raises:
            ManifestError: no clip of a training source could be decoded, or there are no dev pairs to score.
        """
        packed = pack(manifest.filter(lambda u: u.split in ("train", "dev")), folder)
        train, dev = packed.split("train"), packed.split("dev")
        sources = train.manifest.sources
        for source in manifest.split("train").sources:
            if source not in sources:
                lost = next(u.path for u in manifest if u.source == source and u.split == "train")
                raise ManifestError(
                    f"{manifest.name}: no training clip of source {source!r} could be decoded; repair or leave out "
                    f"the source; {lost}: {packed.failures[lost]}"
                )
        check_dev(dev.manifest)
        position = {source: i for i, source in enumerate(sources)}
        labels = np.array([position[u.source] for u in train.manifest], dtype=np.int64)
        return cls(recipe, train, dev, sources, labels, packed.failures)

    def sampler(self) -> RandomBatches | BalancedBatches:
        """The recipe's batches of these utterances."""
        return make_sampler(self.recipe, self.train.manifest)

    def batch(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Augmented crops [P, T] of the `part` of a batch, and labels [B] of all its utterances `indices`."""
        recipe = self.recipe
        crops = []
        for place, index in list(enumerate(indices))[part]:
            rng = self._generator(epoch, step, place)
            crops.append(recipe.augmentation(self.train.crop(int(index), recipe.crop.samples, rng), rng))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(self.labels[indices])

    def crop_starts(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> np.ndarray:
        """Where in their utterances the crops that `batch` cuts start, [P] int64."""
        length = self.recipe.crop.samples
        placed = list(enumerate(indices))[part]
        starts = [self.train.crop_start(int(i), length, self._generator(epoch, step, place)) for place, i in placed]
        return np.array(starts, dtype=np.int64)

    def _generator(self, epoch: int, step: int, place: int) -> np.random.Generator:
        """What the crop at one place of a batch is drawn with."""
        return np.random.default_rng([self.recipe.seed, epoch, step, place])

    def digest(self) -> str:
        """Hex SHA-256 over what is trained and tuned on: ids, sources, and the samples themselves."""
        digest = hashlib.sha256()
        for part in (self.train, self.dev):
            for utterance, samples in zip(part.manifest, part.hashes, strict=True):
                digest.update(json.dumps([utterance.id, utterance.source, utterance.split, samples]).encode())
        return digest.hexdigest()
