"""How well one linear layer tells the sources of embeddings apart, and which ones it takes for which.

The linear probe of "Synthetic Speech Source Tracing using Metric Learning" (Interspeech 2025): as many utterances of
every source, four fifths of them train one linear layer, and its answers on the rest make the confusion matrix.

Conventions
    The same number of every source's utterances is held out (a stratified split), so that the accuracy is also the
    mean of the recalls, and chance is 1 / number of sources. Vectors are taken as they are. Weights and biases start
    from U(-1/√D, 1/√D), as those of torch's `nn.Linear` do. The paper gives neither the batch size, nor the start, nor
    whether its split was stratified.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from synthprint.errors import EmbeddingsError, RecipeError
from synthprint.files import csv_text
from synthprint.types import Labelled

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ProbeSettings:
    """How a probe is trained: by stochastic gradient descent on the cross-entropy, without momentum.

    Attributes:
        per_source: utterances of each source, train and test together; sources with fewer are left out. None: as many
            as the smallest source has.
        test_share: the share of them that is held out, rounded to whole utterances, at least one.
        batch_size: of the last batch of an epoch at most.
        seed: of the choice of utterances, the split, the start and the batches.

    Raises:
        RecipeError: a setting is out of range.
    """

    per_source: int | None = None
    test_share: float = 0.2
    learning_rate: float = 0.1
    epochs: int = 50
    batch_size: int = 32
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.test_share < 1:
            raise RecipeError(f"test share {self.test_share:g} is not between 0 and 1")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"learning rate {self.learning_rate:g} is not above 0")
        if self.epochs < 1 or self.batch_size < 1:
            raise RecipeError("a probe needs at least one epoch, and one utterance in a batch")
        if self.per_source is not None and self.per_source < 2:
            raise RecipeError("a probe needs at least two utterances of a source: one to train, one to test")


@dataclass(frozen=True)
class Confused:
    """`clips` of the `of` test utterances of `source` were taken for `taken_for`."""

    source: str
    taken_for: str
    clips: int
    of: int

    def __str__(self) -> str:
        return f"{self.clips} of {self.of} clips of {self.source} were taken for {self.taken_for}"


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe found.

    Attributes:
        sources: S names, sorted.
        confusion: [S, S] how many test utterances of the row's source were taken for the column's.
        train_utterances: how many trained the layer.
        train_accuracy, train_loss: on those, at the end; the loss in nats. Where both accuracies are low, the layer
            cannot tell the sources apart, or has not been trained to the end.
        left_out: sources with too few utterances, and how many they have.
        settings: with `per_source` as it was used.
    """

    sources: tuple[str, ...]
    confusion: np.ndarray
    train_utterances: int
    train_accuracy: float
    train_loss: float
    left_out: dict[str, int]
    settings: ProbeSettings

    @property
    def test_utterances(self) -> int:
        """How many were asked about."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of test utterances whose source was named."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, as if utterances were drawn one by one and independently."""
        return wilson(int(np.trace(self.confusion)), self.test_utterances)

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return 1 / len(self.sources)

    @property
    def recalls(self) -> dict[str, float]:
        """For each source, the share of its test utterances that were named rightly."""
        shares = np.diagonal(self.confusion) / self.confusion.sum(axis=1)
        return dict(zip(self.sources, shares.tolist(), strict=True))

    @property
    def confused(self) -> list[Confused]:
        """Every confusion that occurred, the most frequent first."""
        totals = self.confusion.sum(axis=1)
        pairs = [
            Confused(self.sources[i], self.sources[j], int(self.confusion[i, j]), int(totals[i]))
            for i, j in np.argwhere(self.confusion)
            if i != j
        ]
        return sorted(pairs, key=lambda pair: (-pair.clips, pair.source, pair.taken_for))

    def to_csv(self) -> str:
        """The confusion matrix with names: truth by row, answers by column."""
        rows = zip(self.sources, self.confusion.tolist(), strict=True)
        return csv_text([["source", *self.sources], *([name, *row] for name, row in rows)])

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.interval),
            "chance": self.chance,
            "train_accuracy": self.train_accuracy,
            "train_loss_nats": self.train_loss,
            "train_utterances": self.train_utterances,
            "test_utterances": self.test_utterances,
            "settings": asdict(self.settings),
            "recalls": self.recalls,
            "confused": [asdict(pair) for pair in self.confused],
            "sources": list(self.sources),
            "confusion": self.confusion.tolist(),
            "left_out": self.left_out,
        }


def probe(labelled: Labelled, settings: ProbeSettings | None = None) -> Probe:
    """Train a linear layer on some of the embeddings to name their sources, and ask it about the others.

    Args:
        labelled: N embeddings and their sources.
        settings: by default the paper's.

    Raises:
        EmbeddingsError: fewer than two sources have enough utterances.
    """
    settings = settings or ProbeSettings()
    counts = Counter(labelled.sources)
    per_source = settings.per_source or _smallest(counts)
    names = sorted(name for name, count in counts.items() if count >= per_source)
    if len(names) < 2:
        raise EmbeddingsError(
            f"a probe needs two sources with at least {per_source} utterances; there are {len(names)}"
        )
    rng = np.random.default_rng(settings.seed)
    number = {name: label for label, name in enumerate(names)}
    labels = np.array([number.get(source, -1) for source in labelled.sources])
    train, test = _split(labels, per_source, settings.test_share, rng)
    vectors = labelled.vectors.astype(np.float64)
    layer = _trained(vectors[train], labels[train], len(names), settings, rng)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels[test], layer(vectors[test]).argmax(axis=1)), 1)
    logits = layer(vectors[train])
    return Probe(
        sources=tuple(names),
        confusion=confusion,
        train_utterances=len(train),
        train_accuracy=float((logits.argmax(axis=1) == labels[train]).mean()),
        train_loss=_cross_entropy(logits, labels[train]),
        left_out={name: counts[name] for name in sorted(counts.keys() - set(names))},
        settings=replace(settings, per_source=per_source),
    )


def _smallest(counts: Counter[str]) -> int:
    """How many utterances the smallest source has: two at least."""
    alone = [name for name, count in counts.items() if count < 2]
    if alone:
        raise EmbeddingsError(
            f"{len(alone)} of {len(counts)} sources have a single utterance, the first is {alone[0]!r}: too few to "
            "train and to test. Say how many a source needs; those with fewer are left out",
            parameter="per_source",
        )
    return min(counts.values())


def _split(
    labels: np.ndarray, per_source: int, test_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The utterances that train and those that test: as many of each label from 0 on; -1 is left out."""
    n_test = min(max(1, round(test_share * per_source)), per_source - 1)
    chosen = np.array(
        [rng.permutation(np.flatnonzero(labels == label))[:per_source] for label in range(labels.max() + 1)]
    )
    return chosen[:, n_test:].ravel(), chosen[:, :n_test].ravel()


def _trained(
    vectors: np.ndarray, labels: np.ndarray, n_labels: int, settings: ProbeSettings, rng: np.random.Generator
) -> LinearLayer:
    layer = LinearLayer.random(vectors.shape[1], n_labels, rng)
    for _ in range(settings.epochs):
        order = rng.permutation(len(labels))
        for first in range(0, len(order), settings.batch_size):
            batch = order[first : first + settings.batch_size]
            layer.descend(vectors[batch], labels[batch], settings.learning_rate)
    return layer


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """Vectors [B, D] -> logits [B, S]: `weights` [S, D] and `bias` [S], which `descend` changes in place."""

    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def random(cls, dim: int, n_labels: int, rng: np.random.Generator) -> LinearLayer:
        """Weights and biases from U(-1/√D, 1/√D)."""
        bound = 1 / math.sqrt(dim)
        return cls(rng.uniform(-bound, bound, (n_labels, dim)), rng.uniform(-bound, bound, n_labels))

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """The logits [B, S] of vectors [B, D]."""
        return np.asarray(vectors @ self.weights.T + self.bias)

    def descend(self, vectors: np.ndarray, labels: np.ndarray, learning_rate: float) -> None:
        """Take one step down the gradient of the batch's mean cross-entropy with `labels` [B]."""
        gradient = _softmax(self(vectors))  # [B, S], of the sum of cross-entropies over the logits
        gradient[np.arange(len(labels)), labels] -= 1
        gradient *= learning_rate / len(labels)
        self.weights[...] -= gradient.T @ vectors
        self.bias[...] -= gradient.sum(axis=0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return np.asarray(shares)


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the rows of [B, S], in nats."""
    peak = logits.max(axis=1)
    log_sum = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
    return float((log_sum - logits[np.arange(len(labels)), labels]).mean())


def wilson(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share of independent trials (Wilson, 1927), which stays within 0 … 1 and serves few trials."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, z2 = hits / trials, z * z / trials
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)
