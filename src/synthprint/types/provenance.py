"""How the clips of a manifest are related: `Provenance`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthprint.types.manifest import Utterance

ABLATION = "ablation"  # the column that marks a source which differs from a sibling by a loss, a step count, a data set


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where N clips come from, as numbers to compare: equal numbers are equal names, -1 is no name.

    Attributes:
        sources, families, publishers, groups: [N] int64.
        ablations: [N] bool, whether the source is marked as an ablation of a sibling.
    """

    sources: np.ndarray
    families: np.ndarray
    publishers: np.ndarray
    groups: np.ndarray
    ablations: np.ndarray

    @classmethod
    def of(cls, utterances: Sequence[Utterance]) -> Provenance:
        """That of some utterances, in their order. A page group belongs to its publisher."""
        return cls(
            numbered([u.source for u in utterances]),
            numbered([u.family for u in utterances]),
            numbered([u.publisher for u in utterances]),
            numbered([u.group and f"{u.publisher}\n{u.group}" for u in utterances]),
            np.array([u.extra.get(ABLATION) == "1" for u in utterances], bool),
        )

    def __len__(self) -> int:
        return len(self.sources)

    def same_source(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Of clips `a` and `b`, indices that broadcast: whether one source made both."""
        return self.sources[a] == self.sources[b]

    def same_publisher(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether one publisher put both out."""
        return (self.publishers[a] == self.publishers[b]) & (self.publishers[a] >= 0)

    def same_group(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether both are of one page group."""
        return (self.groups[a] == self.groups[b]) & (self.groups[a] >= 0)

    def undecided(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether two clips are neither of one source nor surely of two.

        Their sources have different names and one family, and either two publishers put them out, so that one may have
        trained the other's architecture anew or used its very weights, or one of them is an ablation. Clips without a
        publisher are of two sources as their names say.
        """
        family = (self.families[a] == self.families[b]) & (self.families[a] >= 0)
        publishers = (self.publishers[a] >= 0) & (self.publishers[b] >= 0)
        apart = publishers & (self.publishers[a] != self.publishers[b])
        return family & ~self.same_source(a, b) & (apart | self.ablations[a] | self.ablations[b])


def sorted_numbers(labels: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """The distinct labels, sorted, and which of these each of N is: [N]."""
    names, numbers = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    return tuple(names.tolist()), numbers


def numbered(names: Sequence[str | None]) -> np.ndarray:
    """[N] int64: equal numbers for equal names, in the order in which they come; -1 for none."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(name for name in names if name))}
    return np.array([numbers[name] if name else -1 for name in names], np.int64)
