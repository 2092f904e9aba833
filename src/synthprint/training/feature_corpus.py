"""Train and dev split as features that were computed once: what a training of a head alone sees, batch by batch."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from torch import Tensor, nn

from synthprint.training.data import TrainingData
from synthprint.training.feature_bank import FeatureBank
from synthprint.training.resident import embed_windows
from synthprint.training.twins import featured
from synthprint.types import Embeddings


class FeatureCorpus:
    """The features of `data`, computed where they are missing.

    Args:
        backbone: in two halves.

    Attributes:
        computed: for how many clips there was something to compute.
        computed_s: how long that took, in seconds, with the reading of the others.

    Raises:
        ManifestError: they cannot be stored beside the decoded audio.
    """

    def __init__(self, data: TrainingData, backbone: nn.Module, device: str) -> None:
        self._data, self._device = data, device
        started = time.monotonic()
        bank = FeatureBank(data.recipe, copy.deepcopy(backbone).cpu(), data.train.folder)
        copies = data.recipe.features.copies
        self._rows, (train, dev), self.computed = bank.rows((data.train, copies), (data.dev, 0))
        self.computed_s = time.monotonic() - started
        self._firsts = np.array([rows.first for rows in train])
        self._windows = np.array([rows.windows for rows in train])
        # A clip that is all but silent has no windows, and is left out.
        self._clips_train, self._clips_dev = (
            [(u.id, r.first + np.arange(r.windows)) for u, r in zip(split.manifest, rows, strict=True) if r.windows]
            for split, rows in ((data.train, train), (data.dev, dev))
        )

    def batch(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Features [P, S] of the `part` of a batch, and labels [B] of all its utterances `indices`."""
        placed = list(enumerate(indices))[part]
        rows = [self._row(int(index), self._data.generator(epoch, step, place)) for place, index in placed]
        return self._features(np.array(rows, np.int64)), torch.from_numpy(self._data.labels[indices])

    def undecided(self, indices: np.ndarray) -> Tensor:
        """As `TrainingData.undecided`."""
        return self._data.undecided(indices)

    def _row(self, index: int, rng: np.random.Generator) -> int:
        """A row of a training clip: of one of its windows, or of one of its changed copies."""
        choice, first, windows = self._data.recipe.features, int(self._firsts[index]), int(self._windows[index])
        if rng.random() < choice.unchanged and windows:
            return first + int(rng.integers(windows))
        return first + windows + int(rng.integers(choice.copies))

    def _features(self, rows: np.ndarray) -> Tensor:
        """Rows [P] -> [P, S] float32."""
        return torch.from_numpy(self._rows[rows].astype(np.float32))

    def embed_dev(self, backbone: nn.Module, part: slice = slice(None)) -> Embeddings | None:
        """The dev utterances of `part`, as `embedding.embed` gives them, in float32; None where none is finite."""
        return self._embed(backbone, self._clips_dev[part])

    def embed_train(self, backbone: nn.Module) -> Embeddings | None:
        """The training utterances as they are, likewise."""
        return self._embed(backbone, self._clips_train)

    def _embed(self, backbone: nn.Module, clips: list[tuple[str, np.ndarray]]) -> Embeddings | None:
        head = featured(backbone.eval(), "features").head
        embed = lambda rows: head(self._features(rows.numpy()).to(self._device))  # noqa: E731
        return embed_windows(clips, "cpu", embed) if clips else None
