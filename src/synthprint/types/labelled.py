"""Embeddings whose sources are on record: `Labelled`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthprint.errors import EmbeddingsError
from synthprint.types.embeddings import Embeddings
from synthprint.types.manifest import Manifest, Utterance
from synthprint.types.provenance import numbered, sorted_numbers


@dataclass(frozen=True, eq=False)
class Labelled:
    """N embeddings, and the source of each.

    Attributes:
        embeddings: of N utterances.
        sources: N labels, in the order of the embeddings.
        data: where the utterances come from, in words.
        utterances: N, in the same order, where a manifest has them; else none.

    Raises:
        EmbeddingsError: there are more or fewer sources than embeddings.
    """

    embeddings: Embeddings
    sources: tuple[str, ...]
    data: str = ""
    utterances: tuple[Utterance, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "utterances", tuple(self.utterances))
        if len(self.sources) != len(self.embeddings):
            raise EmbeddingsError(f"{len(self.embeddings)} embeddings need as many sources, not {len(self.sources)}")
        if self.utterances and len(self.utterances) != len(self.embeddings):
            raise EmbeddingsError(
                f"{len(self.embeddings)} embeddings need as many utterances, not {len(self.utterances)}"
            )

    @classmethod
    def from_manifest(cls, embeddings: Embeddings, manifest: Manifest, data: str = "") -> Labelled:
        """The embeddings of a manifest's utterances, in its order.

        Raises:
            EmbeddingsError: an utterance has no embedding.
        """
        return cls(
            embeddings.select([u.id for u in manifest]), tuple(u.source for u in manifest), data, manifest.utterances
        )

    @classmethod
    def from_ids(cls, embeddings: Embeddings, source_by_id: Mapping[str, str], data: str = "") -> Labelled:
        """All embeddings, in their own order; each id's source is looked up.

        Raises:
            EmbeddingsError: an id has no source.
        """
        missing = [key for key in embeddings.ids if key not in source_by_id]
        if missing:
            raise EmbeddingsError(f"{len(missing)} embedding(s) have no source, the first is {missing[0]!r}")
        return cls(embeddings, tuple(source_by_id[key] for key in embeddings.ids), data)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, selection: np.ndarray) -> Labelled:
        """Those that a mask [N], or indices, select; without windows."""
        places = np.arange(len(self))[selection].tolist()
        part = Embeddings(
            tuple(self.embeddings.ids[i] for i in places), self.vectors[places], self.embeddings.extractor
        )
        utterances = tuple(self.utterances[i] for i in places) if self.utterances else ()
        return Labelled(part, tuple(self.sources[i] for i in places), self.data, utterances)

    @property
    def vectors(self) -> np.ndarray:
        """The embeddings [N, D]."""
        return self.embeddings.vectors

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct sources, sorted."""
        return self._numbered[0]

    @property
    def owners(self) -> np.ndarray:
        """[N] the source of each, as an index into `names`."""
        return self._numbered[1]

    @cached_property
    def publishers(self) -> np.ndarray | None:
        """[N] the publisher of each, as a number, -1 where that is not known; None where it is of nobody."""
        names = [u.publisher for u in self.utterances]
        return numbered(names) if any(names) else None

    @cached_property
    def _numbered(self) -> tuple[tuple[str, ...], np.ndarray]:
        return sorted_numbers(self.sources)
