"""The sampler that a recipe names, over a manifest."""

from __future__ import annotations

from synthprint.errors import RecipeError
from synthprint.extractor.recipe import Recipe
from synthprint.training.batches import BalancedBatches, RandomBatches
from synthprint.training.page_batches import PageBatches
from synthprint.training.two_sided import TwoSidedBatches
from synthprint.types import Manifest, Provenance

Sampler = RandomBatches | BalancedBatches | PageBatches | TwoSidedBatches


def make_sampler(recipe: Recipe, manifest: Manifest) -> Sampler:
    """The sampler that the recipe names, over the utterances of `manifest`.

    Raises:
        RecipeError: the data cannot fill its batches, or does not say what they are made of.
    """
    choice, sources = recipe.sampler, [u.source for u in manifest]
    if choice.name == "random":
        return RandomBatches(sources, choice.batch_size, recipe.seed)
    if choice.name == "two_sided":
        return TwoSidedBatches(manifest.utterances, choice.publishers_per_batch, choice.clips_per_side, recipe.seed)
    provenance = Provenance.of(manifest.utterances)
    if choice.across_publishers and (provenance.publishers < 0).all():
        raise RecipeError(
            "sampler: across_publishers is true, and no clip has a publisher: give the manifest the column publisher, "
            "or leave across_publishers out"
        )
    if choice.name == "balanced":
        return BalancedBatches(
            sources, choice.sources_per_batch, choice.utterances_per_source, recipe.seed, choice.max_per_source,
            provenance.publishers if choice.across_publishers else None,
        )  # fmt: skip
    return PageBatches(
        sources, provenance.groups, provenance.publishers, choice.sources_per_batch, choice.utterances_per_source,
        choice.page_groups, choice.sources_per_group, choice.across_publishers, recipe.seed, choice.max_per_source,
    )  # fmt: skip
