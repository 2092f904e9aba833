"""What a loss is told of a clip: its source, or whether a person spoke; and how good an epoch was by that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from synthprint.errors import ManifestError
from synthprint.extractor.recipe import Recipe
from synthprint.metrics import weighted as weighted_metrics
from synthprint.scoring.all_pairs import all_pairs_eer
from synthprint.shelves import find
from synthprint.types import Embeddings, Labelled, Manifest, Utterance


def detects(recipe: Recipe) -> bool:
    """Whether the recipe's loss tells human from synthetic speech, and so trains a detector."""
    return bool(getattr(find("losses", recipe.loss.name), "classes", ()))


def label_names(recipe: Recipe, utterances: Sequence[Utterance]) -> list[str]:
    """What the loss tells apart: the sources, sorted, or its classes."""
    classes: Sequence[str] = getattr(find("losses", recipe.loss.name), "classes", ())
    return list(classes) or sorted({u.source for u in utterances})


def labels(recipe: Recipe, utterances: Sequence[Utterance]) -> np.ndarray:
    """The label of each utterance, an index into `label_names`: [N] int64."""
    if detects(recipe):
        return np.array([0 if u.human else 1 for u in utterances], np.int64)
    position = {source: i for i, source in enumerate(label_names(recipe, utterances))}
    return np.array([position[u.source] for u in utterances], np.int64)


def check_sides(manifest: Manifest) -> None:
    """Refuse a split that no detector can be trained or measured on.

    Raises:
        ManifestError: it has no human, or no synthetic clips.
    """
    human = sum(u.human for u in manifest)
    if not 0 < human < len(manifest):
        raise ManifestError(
            f"{manifest.name}: {human} of {len(manifest)} clips are human; a detector needs human and synthetic ones "
            "(source, family or kind 'human')"
        )


def development_eer(recipe: Recipe, embeddings: Embeddings, dev: Manifest) -> float:
    """The EER that says how good a backbone is: over all pairs of clips.

    Where the recipe trains a detector, it is that of human against synthetic speech, each publisher counting alike.
    """
    if not detects(recipe):
        labelled = Labelled.from_ids(embeddings, {u.id: u.source for u in dev})
        return all_pairs_eer(labelled.embeddings, labelled.sources).eer
    of = {u.id: u for u in dev}
    utterances = [of[key] for key in embeddings.ids]
    human = np.array([u.human for u in utterances])
    order = weighted_metrics.Ordered(embeddings.vectors[:, 0], human)
    return weighted_metrics.eer(*order.sides(publisher_weights(utterances)))


def publisher_weights(utterances: Sequence[Utterance]) -> np.ndarray:
    """What each clip weighs where every publisher counts alike, among the human and among the synthetic ones: [N]."""
    sides = [(u.human, u.publisher) for u in utterances]
    counts = Counter(sides)
    return np.array([1.0 / counts[side] for side in sides])
