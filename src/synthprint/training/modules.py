"""What a recipe's names become: backbone and loss as torch modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from synthprint.errors import CheckpointError, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Recipe
from synthprint.extractor.runtime import load_backbone
from synthprint.shelves import build as build_variant

NETWORK = "network"  # the option of a backbone that names a trained one


def build(recipe: Recipe, sources: int) -> nn.ModuleDict:
    """Backbone and loss, initialised from the recipe's seed; the backbone from the checkpoint that it starts from.

    Raises:
        RecipeError: an option that they do not have, or a value that they refuse.
        CheckpointError: a checkpoint that the recipe names is missing, damaged or of another backbone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = build_backbone(recipe.backbone)
        if recipe.weights.start:
            _load_start(backbone, recipe.backbone, recipe.weights.start)
        dim = getattr(backbone, "of_heads", recipe.backbone.dim) // heads(backbone)
        loss = _made("loss", recipe.loss.name, recipe.loss.options, dim=dim, sources=sources)
    return nn.ModuleDict({"backbone": backbone, "loss": loss})


def _load_start(backbone: nn.Module, choice: BackboneChoice, folder: str) -> None:
    """The weights of a checkpoint into a backbone that is built alike."""
    start = Checkpoint.load(folder)
    if start.recipe.backbone.name != choice.name:
        raise CheckpointError(f"{folder}: is a {start.recipe.backbone.name}, and cannot start a {choice.name}")
    try:
        backbone.load_state_dict(load_backbone(start).state_dict())
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder}: its options or dimensions are not the recipe's ({why})") from error


def build_backbone(choice: BackboneChoice) -> nn.Module:
    """The backbone of a recipe; a trained network that its options name is read.

    Raises:
        RecipeError: an option that it does not have, or a value that it refuses.
        CheckpointError: the network's checkpoint is missing, damaged or of another backbone.
    """
    folder = choice.options.get(NETWORK)
    if not isinstance(folder, str):
        return _made("backbone", choice.name, choice.options, dim=choice.dim)
    checkpoint = Checkpoint.load(folder)
    of = checkpoint.recipe.backbone
    if of.name != "spectral_network":
        raise CheckpointError(f"{folder}: is a {of.name}, and [backbone] network takes a spectral_network")
    network = {"dim": of.dim, **of.options}
    backbone = _made("backbone", choice.name, {**choice.options, NETWORK: network}, dim=choice.dim)
    cast(nn.Module, backbone.network).load_state_dict(load_backbone(checkpoint).state_dict())
    return backbone


def heads(backbone: nn.Module) -> int:
    """How many heads stand side by side in a backbone's embedding, each of which a loss sees for itself."""
    return int(getattr(backbone, "heads", 1))


def _made(table: str, name: str, own: Mapping[str, Any], **given: Any) -> nn.Module:
    """The variant `name`, built with what every one is given and its own options from the recipe's `table`."""
    try:
        made: nn.Module = build_variant({"backbone": "backbones", "loss": "losses"}[table], name, own, **given)
    except RecipeError as error:
        raise RecipeError(f"recipe: [{table}] {error}") from error
    return made
