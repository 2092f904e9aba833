"""How well clips of sources never met are grouped; and from which likeness on, chosen on development clips.

    python models/measure_clusters.py MANIFEST [--model FOLDER] [--embeddings FILE] --out FOLDER

Writes `clusters.json`, which `synthprint cluster` reads beside the model, and the table of docs/clustering.md. Exhibits
are drawn from the clips of sources that training never met: DRAWS times 2 to 10 sources, each with 1 to 10 clips. The
threshold is the least with which, over the development draws of neural systems, at most MOST_WRONG of the pairs that
are put together are of two sources. Nothing is random but the draws, from seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from build import clips_of
from pages import write_end
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from synthprint.clustering.linkage import Merge, average_linkage, cut
from synthprint.clustering.tuning import Tuning
from synthprint.extraction import embed_manifest
from synthprint.extractors import load_extractor
from synthprint.types import Embeddings, Manifest
from synthprint.vectors import exact_cosines, unit

DRAWS = 200
SOURCES, CLIPS = (2, 10), (1, 10)
MOST_WRONG = 0.05
DOCUMENT = Path(__file__).parents[1] / "docs" / "clustering.md"
CORPORA = ("neural", "open", "both")
CHOSEN_ON = "neural"  # those of the open corpus are told apart at any threshold

Draw = tuple[np.ndarray, list[Merge]]  # the true source of each clip, and how they were joined


def draws(embeddings: Embeddings, sources: list[str], corpus: str) -> Iterator[Draw]:
    """Exhibits of some sources."""
    keep = np.array([corpus == "both" or key.startswith(corpus) for key in embeddings.ids])
    vectors, names = unit(embeddings.vectors[keep]), np.array(sources)[keep]
    there = np.unique(names)
    for number in range(DRAWS):
        rng = np.random.default_rng([number, 11])
        chosen = rng.choice(there, min(rng.integers(*SOURCES, endpoint=True), len(there)), replace=False)
        clips = []
        for source in chosen:
            of_source = np.flatnonzero(names == source)
            clips += rng.choice(
                of_source, min(rng.integers(*CLIPS, endpoint=True), len(of_source)), replace=False
            ).tolist()
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


def figures(found: list[Draw], threshold: float) -> dict[str, float]:
    """Means over the draws; of `wrong` and `missed` over those that have such pairs."""
    rows = []
    for truth, merges in found:
        groups = cut(merges, threshold)
        wrong, missed = pair_errors(truth, groups)
        rows.append({
            "purity": purity(truth, groups), "nmi": normalized_mutual_info_score(truth, groups),
            "ari": adjusted_rand_score(truth, groups), "wrong": wrong, "missed": missed,
            "sources": len(np.unique(truth)), "groups": len(np.unique(groups)), "clips": len(truth),
        })  # fmt: skip
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


def write_table(measured: dict[str, Any], extractor: str, threshold: float) -> None:
    """Write everything below the mark of the document anew."""
    told = f"Extractor `{extractor[:12]}`, threshold {threshold:.2f}. Means over the draws; shares in per cent."
    lines = [
        "| split | clips of | purity | NMI | ARI | groups / sources | wrong | missed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for split, of_corpus in measured.items():
        for corpus, one in of_corpus.items():
            cells = (f"{one[name]:.2f}" for name in ("purity", "nmi", "ari"))
            sizes = f"{one['groups']:.1f} / {one['sources']:.1f}"
            shares = (f"{100 * one[name]:.1f}" for name in ("wrong", "missed"))
            lines.append(f"| {split} | {corpus} | {' | '.join(cells)} | {sizes} | {' | '.join(shares)} |")
    write_end(DOCUMENT, "measure_clusters.py", [told, "\n".join(lines)])


def main() -> None:
    """Choose on dev, measure on both splits, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, default=Path("src/synthprint/models/default"))
    parser.add_argument("--embeddings", type=Path, help="of the manifest, by this model, where they were made before")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    manifest, extractor = Manifest.load(arguments.manifest), load_extractor(arguments.model)
    if arguments.embeddings:
        embeddings = Embeddings.load(arguments.embeddings)
    else:
        embeddings, _ = embed_manifest(
            extractor, manifest.filter(lambda u: u.split in ("dev", "test") and not u.source_seen)
        )
    assert embeddings.extractor == extractor.digest
    drawn = {
        split: {corpus: list(draws(*clips_of(embeddings, manifest, split), corpus)) for corpus in CORPORA}
        for split in ("dev", "test")
    }
    steps = np.arange(0.2, 1.0, 0.01)
    costs = np.array([figures(drawn["dev"][CHOSEN_ON], step)["wrong"] for step in steps])
    first = int(np.flatnonzero(costs > MOST_WRONG).max(initial=-1)) + 1
    threshold = round(float(steps[min(first, len(steps) - 1)]), 2)
    measured: dict[str, Any] = {
        split: {corpus: figures(found, threshold) for corpus, found in of_corpus.items()}
        for split, of_corpus in drawn.items()
    }
    chosen = measured["dev"][CHOSEN_ON]
    most = max(len(np.unique(truth)) for truth, _ in drawn["dev"][CHOSEN_ON])
    data = f"{DRAWS} draws of clips of 2 to {most} neural systems, 1 to {CLIPS[1]} of each, that training never met"
    Tuning(threshold, chosen["wrong"], chosen["missed"], data, extractor.digest).save(arguments.out)
    write_table(measured, extractor.digest, threshold)


if __name__ == "__main__":
    main()
