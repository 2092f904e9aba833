"""A detector that works, without a training: the line between the mean statistics of two kinds of tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from conftest import TINY_RECIPE, tone
from human_corpus import HUMAN_TONE, KINDS, TRAINED
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Recipe
from synthprint.training.export import write_checkpoint

OPTIONS = {"parts": ["level"], "hidden": 0}


def write_detector(folder: Path) -> Checkpoint:
    """The checkpoint of a detector of `human_corpus`, with windows as long as those of the tiny extractor."""
    recipe = Recipe(backbone=BackboneChoice("spectral_statistics", 1, OPTIONS), crop=TINY_RECIPE.crop)
    backbone = SpectralStatistics(1, **OPTIONS)
    human, synthetic = (
        backbone.features(
            torch.from_numpy(np.stack([tone(source, 500 + i, 0.5) for source in some for i in range(20)]))
        )
        for some in ((HUMAN_TONE,), [HUMAN_TONE + 2 * (i + 1) for i in range(len(KINDS))])
    )
    centres = human.mean(dim=0), synthetic.mean(dim=0)
    backbone.standardise.running_mean.copy_((centres[0] + centres[1]) / 2)
    spread = (human.std(dim=0) + synthetic.std(dim=0)).clamp(min=0.1)
    backbone.standardise.running_var.copy_(spread**2)
    with torch.no_grad():
        direction = (centres[0] - centres[1]) / spread
        backbone.linear.weight.copy_(4 * direction[None] / direction.square().sum())
        backbone.linear.bias.zero_()
    publishers = [f"page-{publisher}" for publisher in TRAINED]
    return write_checkpoint(backbone, recipe, {"human": "human", "tts-0": "tts"}, folder, {"publishers": publishers})
