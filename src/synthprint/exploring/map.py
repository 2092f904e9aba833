"""Embeddings laid out on a plane by UMAP, so that one can look at them.

UMAP (McInnes, Healy and Melville, "UMAP: uniform manifold approximation and projection for dimension reduction",
2018) keeps neighbours together. Distances between clusters, their sizes and their densities on the map mean little:
what is similar is said by cosines, not by the map.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from synthprint.errors import EmbeddingsError, MissingDependency, RecipeError
from synthprint.files import csv_text
from synthprint.types import Embeddings, Manifest, Utterance

COLUMNS = ("id", "path", "source", "family", "language", "split")  # of an utterance, in the table
MIN_POINTS = 4  # with fewer, UMAP has no start


@dataclass(frozen=True)
class MapSettings:
    """How a map is made.

    Attributes:
        neighbours: of each point that are kept near it: few show what is local, many what is global.
        min_dist: how close points may lie on the map.
        seed: the same one gives the same map, on the same machine and with the same versions.

    Raises:
        RecipeError: a setting is out of range.
    """

    neighbours: int = 15
    min_dist: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        if self.neighbours < 2:
            raise RecipeError(f"{self.neighbours} neighbours: a map needs at least 2")
        if not 0 <= self.min_dist <= 1:
            raise RecipeError(f"min. distance {self.min_dist:g} is not in 0 … 1")


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Where N utterances lie on the plane: `coordinates` [N, 2] float32, finite, in no unit."""

    utterances: tuple[Utterance, ...]
    coordinates: np.ndarray
    settings: MapSettings

    @property
    def families(self) -> dict[str, str | None]:
        """Source -> family, by the first utterance that tells it."""
        families: dict[str, str | None] = {}
        for u in self.utterances:
            families[u.source] = families.get(u.source) or u.family
        return families

    @property
    def caption(self) -> str:
        """How it was made, in a line."""
        s = self.settings
        return (
            f"UMAP of {len(self.utterances):,} clips of {len(self.families):,} sources: cosine, "
            f"{s.neighbours} neighbours, min. distance {s.min_dist:g}, seed {s.seed}"
        )

    def to_csv(self) -> str:
        """One utterance a line, with a header."""
        places = [(f"{x:.5f}", f"{y:.5f}") for x, y in self.coordinates.tolist()]
        cells = [[getattr(u, column) for column in COLUMNS] for u in self.utterances]
        return csv_text([[*COLUMNS, "x", "y"], *([*row, *at] for row, at in zip(cells, places, strict=True))])


def make_map(embeddings: Embeddings, manifest: Manifest, settings: MapSettings | None = None) -> EmbeddingMap:
    """Lay out the utterances of `manifest`.

    Raises:
        EmbeddingsError: an utterance has no embedding; or as `lay_out`.
        MissingDependency: umap-learn is not installed.
    """
    settings = settings or MapSettings()
    vectors = embeddings.select([u.id for u in manifest]).vectors
    return EmbeddingMap(manifest.utterances, lay_out(vectors, settings), settings)


def at_most(manifest: Manifest, per_source: int, seed: int) -> Manifest:
    """At most `per_source` utterances of each source, chosen at random, in the order of the manifest."""
    rng = np.random.default_rng(seed)
    by_source: dict[str, list[int]] = defaultdict(list)
    for index, u in enumerate(manifest):
        by_source[u.source].append(index)
    drawn = {int(i) for places in by_source.values() for i in rng.permutation(places)[:per_source]}
    ids = {u.id for index, u in enumerate(manifest) if index in drawn}
    return manifest.filter(lambda u: u.id in ids)


def lay_out(vectors: np.ndarray, settings: MapSettings | None = None) -> np.ndarray:
    """Coordinates [N, 2] float32 of embeddings [N, D] by UMAP with the cosine metric.

    With N at most `neighbours`, all others are neighbours.

    Raises:
        EmbeddingsError: fewer than `MIN_POINTS`, or one is not finite.
        MissingDependency: umap-learn is not installed.
    """
    settings = settings or MapSettings()
    if len(vectors) < MIN_POINTS:
        raise EmbeddingsError(f"a map needs at least {MIN_POINTS} embeddings, not {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise EmbeddingsError("an embedding is not finite")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        try:
            import numba
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise MissingDependency.extra("umap-learn", "map") from error
    # numba's OpenMP layer would set the number of threads of torch too, and with it the last bits of a training.
    numba.config.THREADING_LAYER = "workqueue"
    model = UMAP(
        n_neighbors=min(settings.neighbours, len(vectors) - 1),
        min_dist=settings.min_dist,
        metric="cosine",
        random_state=settings.seed,
        n_jobs=1,  # as a seed demands; said here, it is not warned of
    )
    return np.asarray(model.fit_transform(vectors), np.float32)
