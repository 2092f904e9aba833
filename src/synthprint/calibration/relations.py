"""Which pairs of clips a calibration is fitted on, and as what: `Relations`.

Where utterances say who put each clip out, a target is of one source and of two publishers; of a source that only one
publisher has, it is of that one. So what is learnt is how alike a system stays, and not how alike a page does. A
nontarget of one page group is a kind by itself. Pairs that are neither of one source nor surely of two
(`types.Provenance`) do not count. Without publishers every pair of one source is a target, and every other a nontarget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthprint.errors import EmbeddingsError
from synthprint.types import Embeddings, Labelled, Provenance

TARGET, NONTARGET, OF_ONE_GROUP = 0, 1, 2  # kinds of pairs; -1 is one that does not count


@dataclass(frozen=True, eq=False)
class Relations:
    """N clips, or sets of clips of one source and publisher, and how they are related.

    Attributes:
        owners: [N] the source of each, as a number.
        sources: N names.
        provenance: of each; None where no utterances are at hand.
        publishers: N names; None where one is not on record.
        groups: N page groups; of what has none, its publisher; None as with `publishers`.
        spread: [sources] bool, whether several publishers have the source.
        members: the clips of each source, or where publishers are at hand of each source from each of them.
    """

    owners: np.ndarray
    sources: tuple[str, ...]
    provenance: Provenance | None
    publishers: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    spread: np.ndarray
    members: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, clips: Labelled) -> Relations:
        """Those of some clips, in their order."""
        owners, utterances = clips.owners, clips.utterances
        spread, cells = np.zeros(len(clips.names), bool), owners
        provenance = replace(Provenance.of(utterances), sources=owners) if utterances else None
        publishers = groups = None
        if provenance is not None and (provenance.publishers >= 0).all():
            publishers = tuple(u.publisher or "" for u in utterances)
            groups = tuple(f"{u.publisher}\n{u.group or ''}" for u in utterances)
            cells = owners * (int(provenance.publishers.max(initial=0)) + 1) + provenance.publishers
            pairs = np.unique(np.stack([owners, provenance.publishers]), axis=1)
            spread = np.bincount(pairs[0], minlength=len(clips.names)) > 1
        members = tuple(np.flatnonzero(cells == cell) for cell in np.unique(cells).tolist())
        return cls(owners, clips.sources, provenance, publishers, groups, spread, members)

    def of_clips(self, places: np.ndarray) -> Relations:
        """Those of some of the clips."""
        return self.of_sets([np.array([place]) for place in places.tolist()])

    def of_sets(self, sets: Sequence[np.ndarray]) -> Relations:
        """Those of sets of clips, each of one source and publisher. A set of two page groups is of none."""
        first = np.array([part[0] for part in sets], np.int64)
        publishers = groups = provenance = None
        if self.provenance is not None:
            whole = self.provenance
            whole_groups = np.array([len(set(whole.groups[part].tolist())) == 1 for part in sets], bool)
            provenance = Provenance(
                whole.sources[first], whole.families[first], whole.publishers[first],
                np.where(whole_groups, whole.groups[first], -1), whole.ablations[first],
            )  # fmt: skip
            if self.publishers and self.groups:
                publishers = tuple(self.publishers[i] for i in first.tolist())
                groups = tuple(
                    self.groups[i] if single else f"{self.publishers[i]}\n"
                    for i, single in zip(first.tolist(), whole_groups.tolist(), strict=True)
                )
        sources = tuple(self.sources[i] for i in first.tolist())
        return Relations(self.owners[first], sources, provenance, publishers, groups, self.spread, self.members)

    def kinds(self, others: Relations) -> np.ndarray:
        """[N, M] the kind of each pair of one of these and one of `others`, of the same clips."""
        return self._kinds(others, np.arange(len(self.owners))[:, None], np.arange(len(others.owners))[None, :])

    def kinds_after(self, place: int) -> np.ndarray:
        """[N - place - 1] the kind of each pair of one and a later one."""
        return self._kinds(self, np.array([place]), np.arange(place + 1, len(self.owners)))

    def _kinds(self, others: Relations, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        same = self.owners[a] == others.owners[b]
        kinds = np.where(same, np.int8(TARGET), np.int8(NONTARGET))
        if self.provenance is None or others.provenance is None:
            return kinds
        both = self.provenance if others is self else _stacked(self.provenance, others.provenance)
        second = b if others is self else b + len(self.owners)
        if self.publishers:
            one_publisher = both.same_publisher(a, second)
            group = both.groups[a] == both.groups[second]  # -1, no group, is that of its publisher
            kinds[~same & one_publisher & group] = OF_ONE_GROUP
            kinds[same & one_publisher & self.spread[self.owners[a]]] = -1
        kinds[both.undecided(a, second)] = -1
        return kinds


def without_people(clips: Labelled) -> Labelled:
    """Without human speech, where publishers are at hand: that of two pages is of many people, and no source."""
    utterances = clips.utterances
    if not utterances or any(u.publisher is None for u in utterances):
        return clips
    return clips[np.array([not u.human for u in utterances], bool)]


def joined(first: Labelled, second: Labelled) -> Labelled:
    """The clips of both, one after the other.

    Raises:
        EmbeddingsError: two extractors embedded them, or the utterances of one are not at hand.
    """
    extractor = second.embeddings.extractor
    if first.embeddings.extractor != extractor or bool(first.utterances) != bool(second.utterances):
        raise EmbeddingsError("clips that are joined need one extractor, and the utterances of both or of none")
    ids = tuple(f"{side}:{key}" for side, part in enumerate((first, second)) for key in part.embeddings.ids)
    embeddings = Embeddings(ids, np.concatenate([first.vectors, second.vectors]), extractor)
    return Labelled(embeddings, first.sources + second.sources, second.data, first.utterances + second.utterances)


def _stacked(first: Provenance, second: Provenance) -> Provenance:
    names = ("sources", "families", "publishers", "groups", "ablations")
    return Provenance(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))
