"""What a recipe's names become: backbone and loss as torch modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from synthprint.errors import RecipeError
from synthprint.extractor.recipe import Recipe
from synthprint.shelves import build as build_variant


def build(recipe: Recipe, sources: int) -> nn.ModuleDict:
    """Backbone and loss, initialised from the recipe's seed.

    Raises:
        RecipeError: an option that they do not have, or a value that they refuse.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = _made("backbone", recipe.backbone.name, recipe.backbone.options, dim=recipe.backbone.dim)
        dim = recipe.backbone.dim // heads(backbone)
        loss = _made("loss", recipe.loss.name, recipe.loss.options, dim=dim, sources=sources)
    return nn.ModuleDict({"backbone": backbone, "loss": loss})


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
