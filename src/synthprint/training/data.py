"""What a training run sees: crops and labels of the train split, batch by batch, and the dev split.

Everything random in a batch is drawn from (seed, epoch, step, place in the batch).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthprint.errors import ManifestError
from synthprint.extractor.recipe import Recipe
from synthprint.manifests.packing import Pack, pack
from synthprint.training.generators import Generator, give_generators
from synthprint.training.labels import label_names, labels
from synthprint.training.preflight import check_dev
from synthprint.training.samplers import Sampler, make_sampler
from synthprint.types import Manifest, Provenance, Utterance
from synthprint.types.provenance import ABLATION


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Decoded train and dev splits; `labels` [N] index `names`.

    Attributes:
        names: what is told apart: the training sources, or "human" and "synthetic".
        failures: path -> reason, of the clips that could not be decoded and are left out.
    """

    recipe: Recipe
    train: Pack
    dev: Pack
    names: list[str]
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
        check_dev(dev.manifest, recipe)
        utterances = train.manifest.utterances
        return cls(recipe, train, dev, label_names(recipe, utterances), labels(recipe, utterances), packed.failures)

    def sampler(self) -> Sampler:
        """The recipe's batches of these utterances."""
        return make_sampler(self.recipe, self.train.manifest)

    def batch(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Augmented crops [P, T] of the `part` of a batch, and labels [B] of all its utterances `indices`.

        Where the recipe has [generators], some of its sources are others then (see `give_generators`).
        """
        recipe = self.recipe
        crops = []
        labels = self.labels[indices]
        simulated: list[Generator | None] = [None] * len(indices)
        if recipe.generators.count:
            of_batch = np.random.default_rng([recipe.seed, epoch, step, 0, 1])  # the place's have four numbers
            labels, simulated = give_generators(labels, recipe.generators, of_batch)
        for place, index in list(enumerate(indices))[part]:
            rng = self.generator(epoch, step, place)
            crop = self.train.crop(int(index), recipe.crop.samples, rng)
            through = simulated[place]
            crops.append(recipe.augmentation(crop if through is None else through(crop, rng), rng))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(labels)

    @cached_property
    def provenance(self) -> Provenance:
        """Where the clips of the train split come from."""
        return Provenance.of(self.train.manifest.utterances)

    def undecided(self, indices: np.ndarray) -> Tensor:
        """Which pairs of a batch are neither of one source nor surely of two, [B, B] bool (see `Provenance`)."""
        return torch.from_numpy(self.provenance.undecided(indices[:, None], indices[None, :]))

    def crop_starts(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> np.ndarray:
        """Where in their utterances the crops that `batch` cuts start, [P] int64."""
        length = self.recipe.crop.samples
        placed = list(enumerate(indices))[part]
        starts = [self.train.crop_start(int(i), length, self.generator(epoch, step, place)) for place, i in placed]
        return np.array(starts, dtype=np.int64)

    def generator(self, epoch: int, step: int, place: int) -> np.random.Generator:
        """What the crop at one place of a batch is drawn with."""
        return np.random.default_rng([self.recipe.seed, epoch, step, place])

    def digest(self) -> str:
        """Hex SHA-256 over what is trained and tuned on: ids, sources, publishers, and the samples."""
        digest = hashlib.sha256()
        for part in (self.train, self.dev):
            for utterance, samples in zip(part.manifest, part.hashes, strict=True):
                row = [utterance.id, utterance.source, utterance.split, samples, *_provenance(utterance)]
                digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def _provenance(u: Utterance) -> list[str | None]:
    """What batches and undecided pairs depend on beside the source; nothing where that alone is known."""
    ablation = u.extra.get(ABLATION)
    return [u.publisher, u.group, u.family, ablation] if u.publisher or u.group or ablation else []
