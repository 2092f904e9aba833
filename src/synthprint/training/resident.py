"""The decoded corpus on a training's device: crops and windows are cut there, so that no audio goes to and fro.

All clips of a split lie one after another as int16, each at least as long as a crop (a shorter one is repeated, see
`audio.wrap`): the place of its first sample is all that a crop is known by. The crops are those of `TrainingData.batch`
to the last bit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from synthprint.errors import AudioError, RecipeError
from synthprint.extractor.windows import audible_windows
from synthprint.manifests.packing import INT16_FULL_SCALE, SAMPLE_BYTES, Pack
from synthprint.sound.audio import SAMPLE_RATE, wrap
from synthprint.training.data import TrainingData
from synthprint.training.preflight import augments, refuse_augmentation
from synthprint.types import Embeddings
from synthprint.vectors.directions import averaged, scaled

EVALUATION_BATCH = 256  # windows
MEMORY_SHARE = 0.5  # of what is free on a GPU: the step needs the rest


class ResidentClips:
    """The clips of a pack on a device.

    Attributes:
        firsts: [N] int64, the place of each clip's first sample.
    """

    def __init__(self, pack: Pack, crop_samples: int, device: str) -> None:
        lengths = _lengths(pack, crop_samples)
        self.firsts = np.cumsum(lengths) - lengths
        self._crop_samples = crop_samples
        self._samples = torch.empty(int(lengths.sum()), dtype=torch.int16, device=device)
        for index, (first, length) in enumerate(zip(self.firsts.tolist(), lengths.tolist(), strict=True)):
            clip = np.array(wrap(pack.stored(index), crop_samples))
            self._samples[first : first + length] = torch.from_numpy(clip)
        # As a tensor: by a plain number a GPU multiplies with the reciprocal, which rounds otherwise.
        self._full_scale = torch.tensor(float(INT16_FULL_SCALE), device=device)

    def crops(self, firsts: Tensor) -> Tensor:
        """The crops [B, T] float32 whose first samples are at `firsts` [B] int64, on the device."""
        return self._samples.unfold(0, self._crop_samples, 1)[firsts].float() / self._full_scale


class ResidentCorpus:
    """Train and dev split of `data` on `device`."""

    def __init__(self, data: TrainingData, device: str) -> None:
        self._data, self._device = data, device
        self.train = ResidentClips(data.train, data.recipe.crop.samples, device)
        self.dev = ResidentClips(data.dev, data.recipe.crop.samples, device)
        self._windows: list[tuple[str, np.ndarray]] = []  # utterance id, first samples of its windows
        for index, utterance in enumerate(data.dev.manifest):
            with suppress(AudioError):  # a clip that is all but silent has none, and is left out
                windows = audible_windows(data.dev.wave(index), data.recipe.crop.samples, utterance.id)
                starts = np.rint(windows.starts_s * SAMPLE_RATE).astype(np.int64)
                self._windows.append((utterance.id, self.dev.firsts[index] + starts))

    def batch(self, indices: np.ndarray, epoch: int, step: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """As `TrainingData.batch`, but for the crops [P, T] what `train.crops` takes to cut them, [P] int64."""
        firsts = self.train.firsts[indices[part]] + self._data.crop_starts(indices, epoch, step, part)
        return torch.from_numpy(firsts), torch.from_numpy(self._data.labels[indices])

    def undecided(self, indices: np.ndarray) -> Tensor:
        """As `TrainingData.undecided`."""
        return self._data.undecided(indices)

    def embed_dev(self, backbone: nn.Module, part: slice = slice(None)) -> Embeddings | None:
        """The dev utterances of `part`, as `embedding.embed` gives them, in float32; None where none is finite."""
        clips = self._windows[part]
        if not clips:
            return None
        return embed_windows(clips, self._device, lambda firsts: backbone.eval()(self.dev.crops(firsts)))


def embed_windows(
    clips: Sequence[tuple[str, np.ndarray]], device: str, embed: Callable[[Tensor], Tensor]
) -> Embeddings | None:
    """Clips by their windows; those of which a window is not finite are left out. None where all are.

    Args:
        clips: of each its id and where its windows are, [W] int64.
        embed: such places [B], on the device -> the embeddings of these windows [B, D]; called with batches of one
            size, the last one filled up.
    """
    places = np.concatenate([windows for _, windows in clips])
    size = min(EVALUATION_BATCH, len(places))
    filled = np.concatenate([places, np.repeat(places[-1:], -len(places) % size)])
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True, benchmark=False)
    with torch.inference_mode(), exact:
        embedded = torch.cat([embed(batch).float() for batch in torch.from_numpy(filled).to(device).view(-1, size)])
    vectors = embedded[: len(places)].cpu().numpy()
    parts = np.split(vectors, np.cumsum([len(windows) for _, windows in clips])[:-1])
    means = {
        key: averaged(scaled(windows))
        for (key, _), windows in zip(clips, parts, strict=True)
        if np.isfinite(windows).all()
    }
    return Embeddings(tuple(means), np.stack(list(means.values())), "training") if means else None


def resident(data: TrainingData, device: str, wanted: bool | None) -> ResidentCorpus | None:
    """The corpus on `device`.

    Args:
        wanted: true or false; None is true on a GPU, where nothing stands against it.

    Raises:
        RecipeError: it is wanted, and the recipe augments its crops or the memory is too small.
    """
    if wanted:
        refuse_augmentation(data.recipe)
    elif wanted is False or torch.device(device).type != "cuda" or augments(data.recipe):
        return None
    needed = sum(SAMPLE_BYTES * int(_lengths(part, data.recipe.crop.samples).sum()) for part in (data.train, data.dev))
    free = MEMORY_SHARE * free_bytes(device)
    if needed <= free:
        return ResidentCorpus(data, device)
    said = f"the corpus takes {needed / 1e9:.1f} GB as samples, and on {device} there are {free / 1e9:.1f} GB for it"
    if wanted:
        raise RecipeError(f"{said}; leave resident out", parameter="resident")
    logging.getLogger(__name__).info("%s: crops are cut on the CPU", said)
    return None


def free_bytes(device: str) -> float:
    """Memory of a GPU that is not in use; of another device nothing is known, and nothing refused."""
    return torch.cuda.mem_get_info(device)[0] if torch.device(device).type == "cuda" else float("inf")


def _lengths(pack: Pack, crop_samples: int) -> np.ndarray:
    """Samples of each clip as it lies on a device, [N] int64."""
    return np.maximum(pack.lengths, crop_samples)
