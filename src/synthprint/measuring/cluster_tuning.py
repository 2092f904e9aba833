"""From which likeness on clips are grouped: chosen on draws of development clips, measured on draws of test clips.

Exhibits are drawn from the clips of sources that training never met: DRAWS times 2 to 10 sources, each with 1 to 10
clips. The threshold is the least with which, over the development draws of the main corpus, at most MOST_WRONG_PAIRS of
the pairs that are put together are of two sources. Nothing is random but the draws, from seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from synthprint.casework.linkage import Merge, average_linkage, cut
from synthprint.errors import EmbeddingsError, ManifestError, MissingDependency
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import Extractor
from synthprint.manifests.corpora import Corpora, Selection, list_corpora
from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.model.tunings import ClusterTuning
from synthprint.types import Embeddings, Labelled, Manifest
from synthprint.vectors.directions import exact_cosines, unit

DRAWS = 200
SOURCES, CLIPS = (2, 10), (1, 10)  # of a draw, and of a source in it
SEED = 11
MOST_WRONG_PAIRS = 0.10  # fewer would need a threshold that leaves nearly every clip alone: copies of one architecture
THRESHOLDS = np.arange(0.2, 1.0, 0.01)

Draw = tuple[np.ndarray, list[Merge]]  # the true source of each clip, and how they were joined


def tune_clusters(
    extractor: Extractor, manifest: Manifest, embeddings: Embeddings | None = None, main: str | None = None
) -> tuple[ClusterTuning, dict[str, Any]]:
    """Choose the threshold of clustering on the dev split of a manifest, and measure it on the dev and test splits.

    Args:
        manifest: its dev split has two sources of the main corpus or more that training never met.
        embeddings: of these clips, by this extractor, where they were made before.
        main: the corpus whose draws the threshold is chosen on; None: the first.

    Returns:
        The tuning; and split -> corpus -> the means over its draws, see `group_figures`.

    Raises:
        ManifestError: the dev split has too few such sources.
        EmbeddingsError: the embeddings are of another extractor; no clip can be embedded.
        MissingDependency: scikit-learn is not installed.
    """
    corpora = list_corpora(manifest, main)
    clips = _never_met(extractor, manifest, embeddings)
    drawn = {
        split: {
            name: list(drawn_exhibits(clips.never_met(split), belongs, manifest))
            for name, belongs in corpora.parts().items()
            if _sources(manifest, split, belongs) > 1
        }
        for split in clips.splits
        if _sources(manifest, split, lambda _: True) > 1
    }
    deciding = corpora.main if len(corpora.names) > 1 else "all"
    draws = drawn.get("dev", {}).get(deciding)
    if draws is None:
        raise ManifestError(
            f"{manifest.name}: clusters are tuned on two sources or more of the dev split that training never met"
        )
    costs = np.array([
        _mean(pair_errors(truth, cut(merges, step))[0] for truth, merges in draws) for step in THRESHOLDS
    ])  # fmt: skip
    first = int(np.flatnonzero(costs > MOST_WRONG_PAIRS).max(initial=-1)) + 1
    threshold = round(float(THRESHOLDS[min(first, len(THRESHOLDS) - 1)]), 2)
    measured: dict[str, Any] = {
        split: {name: group_figures(draws, threshold) for name, draws in by_corpus.items()}
        for split, by_corpus in drawn.items()
    }
    figures, data = measured["dev"][deciding], _described(draws, corpora)
    return ClusterTuning(threshold, figures["wrong"], figures["missed"], data, extractor.digest), measured


def _described(draws: Sequence[Draw], corpora: Corpora) -> str:
    most = max(len(np.unique(truth)) for truth, _ in draws)
    systems = f"{corpora.main} systems".strip()
    return f"{DRAWS} draws of clips of 2 to {most} {systems}, 1 to {CLIPS[1]} of each, that training never met"


def _never_met(extractor: Extractor, manifest: Manifest, embeddings: Embeddings | None) -> HeldOutClips:
    if embeddings is None:
        new = manifest.filter(lambda u: u.split in ("dev", "test") and not u.source_seen)
        embeddings, _ = embed_manifest(extractor, new)
    if embeddings.extractor != extractor.digest:
        raise EmbeddingsError("these embeddings are of another extractor; embed the clips with this one")
    return HeldOutClips(manifest, embeddings)


def _sources(manifest: Manifest, split: str, belongs: Selection) -> int:
    return len({u.source for u in manifest if u.split == split and not u.source_seen and belongs(u)})


def drawn_exhibits(labelled: Labelled, belongs: Selection, manifest: Manifest) -> Iterator[Draw]:
    """Exhibits of some sources of a corpus, as clips joined by average linkage."""
    utterances = {u.id: u for u in manifest}
    mask = np.array([belongs(utterances[key]) for key in labelled.embeddings.ids])
    vectors, names = unit(labelled.vectors[mask]), np.array(labelled.sources)[mask]
    distinct = np.unique(names)
    for number in range(DRAWS):
        rng = np.random.default_rng([number, SEED])
        drawn = rng.choice(distinct, min(int(rng.integers(*SOURCES, endpoint=True)), len(distinct)), replace=False)
        clips: list[int] = []
        for source in drawn:
            members = np.flatnonzero(names == source)
            size = min(int(rng.integers(*CLIPS, endpoint=True)), len(members))
            clips += rng.choice(members, size, replace=False).tolist()
        yield names[clips], average_linkage(exact_cosines(vectors[clips], vectors[clips]))


def pair_errors(truth: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Of the pairs put together those of two sources, and of the pairs of one source those not put together.

    Not a number where there is no such pair.
    """
    i, j = np.triu_indices(len(truth), 1)
    same, together = truth[i] == truth[j], groups[i] == groups[j]
    wrong = float(np.mean(~same[together])) if together.any() else np.nan
    return wrong, float(np.mean(~together[same])) if same.any() else np.nan


def purity(truth: np.ndarray, groups: np.ndarray) -> float:
    """Share of the clips that are of their group's commonest source."""
    return sum(np.unique(truth[groups == g], return_counts=True)[1].max() for g in np.unique(groups)) / len(truth)


def group_figures(draws: Sequence[Draw], threshold: float) -> dict[str, float]:
    """Means over the draws, grouped at a threshold; of `wrong` and `missed` over those that have such pairs.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    except ImportError as error:
        raise MissingDependency.extra("scikit-learn", "lint") from error

    rows = []
    for truth, merges in draws:
        groups = cut(merges, threshold)
        wrong, missed = pair_errors(truth, groups)
        rows.append({
            "purity": purity(truth, groups), "nmi": normalized_mutual_info_score(truth, groups),
            "ari": adjusted_rand_score(truth, groups), "wrong": wrong, "missed": missed,
            "sources": len(np.unique(truth)), "groups": len(np.unique(groups)), "clips": len(truth),
        })  # fmt: skip
    return {name: _mean(row[name] for row in rows) for name in rows[0]}


def _mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers; 0 where none is: where nothing is put together, nothing is wrong."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else 0.0
