"""What a training is refused for before anything is decoded: recipe, data, hardware and processes, taken together."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from synthprint.errors import ManifestError, RecipeError
from synthprint.extractor.recipe import Recipe
from synthprint.shelves import find
from synthprint.sound.augmentation import Augmentation
from synthprint.training.distributed import ProcessGroup
from synthprint.training.fingerprints import fingerprint_columns
from synthprint.training.hardware import Hardware
from synthprint.training.labels import check_sides, detects, label_names
from synthprint.training.modules import build
from synthprint.training.samplers import make_sampler
from synthprint.training.twins import featured
from synthprint.types import Manifest

PROBE_SAMPLES = 16_000


def preflight(recipe: Recipe, manifest: Manifest, hardware: Hardware, processes: ProcessGroup) -> nn.ModuleDict:
    """Refuse what cannot be trained before hours of decoding, and build what can.

    Returns:
        Backbone and loss, as training starts with them.

    Raises:
        RecipeError: the loss needs other batches, the data cannot fill them or the processes share them, the hardware
            cannot be used as it is asked for, an option does not exist, or nothing would learn.
        ManifestError: a split is missing, or the dev split has no pairs to score.
    """
    train = manifest.split("train")
    if detects(recipe):
        check_sides(train)
    if recipe.schedule.epochs:
        check_loss_fits_sampler(recipe)
        sampler = make_sampler(recipe, train)
    check_dev(manifest.split("dev"), recipe)
    if hardware.resident:
        refuse_augmentation(recipe)
    if recipe.schedule.epochs:
        check_processes(recipe, hardware, processes)
        if processes.size > 1:
            processes.part(min(len(batch) for batch in sampler.batches(0)))
    modules = build(recipe, len(label_names(recipe, train.utterances)))
    check_learning(recipe, modules)
    if recipe.schedule.epochs and recipe.twins.copies:
        featured(modules["backbone"])
    if recipe.schedule.epochs and recipe.fingerprints.copies:
        fingerprint_columns(modules["backbone"])
    if recipe.schedule.epochs and recipe.features.copies:
        check_features(recipe, hardware, modules["backbone"])
    return modules


def check_loss_fits_sampler(recipe: Recipe) -> None:
    """Refuse a loss that needs several utterances of a source in batches that do not promise them.

    Raises:
        RecipeError: it does.
    """
    needed = getattr(find("losses", recipe.loss.name), "utterances_per_source", 1)
    simulated = ("generators", "a simulated generator", "count", recipe.generators.count)
    for table, thing, key, number in (*_unheard(recipe), simulated):
        if number and needed < 2:
            raise RecipeError(
                f"loss {recipe.loss.name!r} classifies the training sources, and {thing} is none of them: "
                f"set [{table}] {key} = 0, or a loss that compares the utterances of a batch"
            )
    given = recipe.sampler.utterances_per_source if recipe.sampler.name != "random" else 1
    if given < needed:
        raise RecipeError(
            f"loss {recipe.loss.name!r} needs {needed} utterances of each source in a batch: "
            f"set [sampler] name = 'balanced' and utterances_per_source = {needed} or more"
        )


def check_dev(dev: Manifest, recipe: Recipe) -> None:
    """Refuse a dev split whose EER is not defined.

    Raises:
        ManifestError: it has no two clips of one source, or no two sources; or for a detector not both human and
            synthetic ones.
    """
    if detects(recipe):
        check_sides(dev)
        return
    counts = Counter(u.source for u in dev)
    if len(counts) < 2 or max(counts.values()) < 2:
        raise ManifestError(
            f"{dev.name}: {len(dev)} clips of {len(counts)} source(s) have no EER; "
            "it takes two sources, and two clips of one of them"
        )


def augments(recipe: Recipe) -> bool:
    """Whether training crops are changed, which is done on the CPU."""
    return recipe.generators.count > 0 or recipe.augmentation != Augmentation(
        equaliser_db=recipe.augmentation.equaliser_db
    )


def refuse_augmentation(recipe: Recipe) -> None:
    """Say at once where a corpus that must be resident cannot be.

    Raises:
        RecipeError: the recipe augments its crops, or simulates generators on them.
    """
    if augments(recipe):
        raise RecipeError(
            "crops are augmented on the CPU, so the corpus cannot be resident on the device; leave resident out, or "
            "every operation of [augmentation], and [generators]",
            parameter="resident",
        )


def check_processes(recipe: Recipe, hardware: Hardware, processes: ProcessGroup) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        RecipeError: steps are to be captured, or there are to be twins or fingerprints.
    """
    if hardware.capture and processes.size > 1:
        raise RecipeError(
            "what several processes tell each other cannot be captured: leave capture out", parameter="capture"
        )
    for table, _, _, copies in _unheard(recipe):
        if copies and processes.size > 1:
            raise RecipeError(f"[{table}] are made of a whole batch: train in one process, or set copies = 0")


def _unheard(recipe: Recipe) -> list[tuple[str, str, str, int]]:
    """What copies a batch to other sources: its table, what one of them is, key and number of the copies."""
    return [
        ("twins", "a twin", "copies", recipe.twins.copies),
        ("fingerprints", "what has a fingerprint", "copies", recipe.fingerprints.copies),
    ]


def check_features(recipe: Recipe, hardware: Hardware, backbone: nn.Module) -> None:
    """Refuse a training on features that are computed once, where that cannot be.

    Raises:
        RecipeError: the backbone has no features apart from its head, or they learn, or the hardware is asked for what
            there is no use for.
    """
    features = featured(backbone, "features").features(torch.zeros(1, PROBE_SAMPLES))
    if features.requires_grad:
        raise RecipeError(
            f"recipe: [features] those of backbone {type(backbone).__name__} learn, and cannot be computed once: "
            "set copies = 0"
        )
    if recipe.generators.count:
        raise RecipeError("[generators] change a clip at every step, and [features] are computed once: leave out one")
    if hardware.resident:
        raise RecipeError("[features] are computed once, so no audio has to be resident: leave resident out",
                          parameter="resident")  # fmt: skip
    if hardware.compile:
        raise RecipeError("[features] are computed once, and a head is not compiled: leave compile out",
                          parameter="compile")  # fmt: skip


def check_learning(recipe: Recipe, modules: nn.Module) -> None:
    """Refuse epochs over which nothing would change.

    Raises:
        RecipeError: neither backbone nor loss has a parameter that learns.
    """
    if recipe.schedule.epochs and not any(parameter.requires_grad for parameter in modules.parameters()):
        raise RecipeError(
            f"backbone {recipe.backbone.name!r} has nothing that learns, nor has loss {recipe.loss.name!r}: "
            "set [schedule] epochs = 0 to take the backbone as it comes"
        )
