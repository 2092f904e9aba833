"""Who takes part in a crossed evaluation: which clips are asked, which are enrolled, and what is crossed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np

from synthprint.errors import EmbeddingsError, MetricError
from synthprint.types import Labelled, Provenance, Utterance
from synthprint.validation.crossed_trials import CrossedClips
from synthprint.vectors.directions import unit

ClipSelection = str | Collection[str] | None  # of clips: a split, ids, or all

# What can be crossed, and how a clip says it.
TRAITS: Mapping[str, Callable[[Utterance], str | None]] = MappingProxyType(
    {
        "publisher": lambda u: u.publisher,
        "language": lambda u: u.language,
        "training_data": lambda u: u.extra.get("training_data"),
    }
)


def crossed_clips(
    labelled: Labelled, asked: ClipSelection, enrolled: ClipSelection, by: str, human: bool
) -> tuple[CrossedClips, CrossedClips | None, dict[str, int], list[str]]:
    """Synthetic clips, human ones among all, how many of which take no part, and the names of the traits."""
    # Long: who takes part, and each reason not to.
    utterances = labelled.utterances
    if not utterances:
        raise MetricError("a crossed evaluation needs the utterances of the embeddings: take Labelled.from_manifest")
    vectors = labelled.vectors
    bad = ~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)
    if bad.any():
        first = labelled.embeddings.ids[int(np.flatnonzero(bad)[0])]
        raise EmbeddingsError(f"the embedding of {first!r} is zero or not finite: it has no direction, so no cosine")
    related = Provenance.of(utterances)
    values = [TRAITS[by](u) or "" for u in utterances]
    selected = [_selection(labelled, which, name) for which, name in ((asked, "asked"), (enrolled, "enrolled"))]
    nameless = np.array([not value for value in values])
    people = np.array([u.human for u in utterances])
    takes_part = ~nameless & ~related.ablations
    used = takes_part & (selected[0] | selected[1])
    names = sorted({value for value, use in zip(values, used, strict=True) if use})
    number = {name: i for i, name in enumerate(names)}
    traits = np.array([number.get(value, -1) for value in values])
    either = selected[0] | selected[1]
    left_out = {
        f"without_{by}": int((either & nameless).sum()),
        "ablations": int((either & ~nameless & related.ablations).sum()),
        "human": 0 if human else int((used & people).sum()),
    }
    apart = np.zeros_like(people) if human else people
    of = unit(vectors)
    synthetic = CrossedClips(of, related, traits, *(np.flatnonzero(s & takes_part & ~apart) for s in selected))
    for name, side in (("asked", synthetic.asked), ("enrolled", synthetic.enrolled)):
        if not len(side):
            raise MetricError(f"no clip is {name}: none of those selected has a {by}, is synthetic and no ablation")
    spoken = np.flatnonzero(selected[0] & takes_part & apart)
    everyone = np.flatnonzero(selected[1] & takes_part)
    return synthetic, CrossedClips(of, related, traits, spoken, everyone) if len(spoken) else None, left_out, names


def _selection(labelled: Labelled, which: ClipSelection, name: str) -> np.ndarray:
    """[N] a mask of clips."""
    if which is None:
        return np.ones(len(labelled), bool)
    if isinstance(which, str):
        return np.array([u.split == which for u in labelled.utterances], bool)
    wanted = set(which)
    missing = wanted.difference(labelled.embeddings.ids)
    if missing:
        raise MetricError(f"{name}: {len(missing)} id(s) have no embedding, one is {min(missing)!r}")
    return np.array([key in wanted for key in labelled.embeddings.ids], bool)
