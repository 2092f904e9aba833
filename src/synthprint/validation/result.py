"""What `synthprint validate` finds, as one object: figures of pairs and of identification, whole and sliced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synthprint.errors import MetricError
from synthprint.shelves import Backend
from synthprint.types import Utterance
from synthprint.validation.bootstrap import CONFIDENCE
from synthprint.validation.identification import Identification, against_enrolled, identification, left_out
from synthprint.validation.scored import ScoredPairs, scored_pairs
from synthprint.validation.verification import Settings, Verification, ratios, sliced, verification


@dataclass(frozen=True, eq=False)
class Validation:
    """All that was found.

    Attributes:
        pairs: what was scored.
        verification: of all pairs.
        slices: by what they are sliced by, then by slice: of the pairs with both clips in it.
        identification: of embeddings; None for a score file.
        settings: how.
        notes: what is missing and why, in words.
        title: what was validated, in words.
    """

    pairs: ScoredPairs
    verification: Verification
    slices: Mapping[str, Mapping[str, Verification]]
    identification: Identification | None
    settings: Settings
    notes: tuple[str, ...] = ()
    title: str = "Validation"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "settings": {**asdict(self.settings), "confidence": CONFIDENCE},
            "verification": self.verification.to_dict(),
            "identification": None if self.identification is None else self.identification.to_dict(),
            "slices": {
                what: {name: found.to_dict() for name, found in parts.items()} for what, parts in self.slices.items()
            },
            "notes": list(self.notes),
        }


def validate_pairs(
    pairs: ScoredPairs, settings: Settings, title: str = "Validation", known: Identification | None = None
) -> Validation:
    """All figures of scored pairs."""
    found, notes = ratios(pairs, settings)
    if pairs.sources is None:
        notes += (
            "The sources of the clips are not known, so there are no confidence intervals: pairs of one source are "
            "alike, and intervals over pairs would be far too narrow.",
        )
    whole = verification(pairs, found, settings)
    return Validation(pairs, whole, sliced(pairs, found, settings), known, settings, notes, title)


def validate_embeddings(
    vectors: np.ndarray,
    utterances: Sequence[Utterance],
    backend: Backend,
    settings: Settings,
    enrolled: tuple[np.ndarray, Sequence[Utterance]] | None = None,
    title: str = "Validation",
) -> Validation:
    """All figures of labelled embeddings [N, D]: of all pairs by `backend.score`, and of identification.

    Args:
        vectors, utterances: the clips.
        backend: fitted.
        settings: how.
        enrolled: other clips, which are enrolled; None: the clips are asked against each other.
        title: what is validated.

    Raises:
        MetricError: there is no target or no nontarget pair.
    """
    pairs = scored_pairs(vectors, utterances, backend)
    sources = [u.source for u in utterances]
    if enrolled is None:
        answers = left_out(vectors, sources, backend)
    else:
        answers = against_enrolled(vectors, sources, enrolled[0], [u.source for u in enrolled[1]], backend)
    known, notes = None, []
    try:
        known = identification(answers, settings)
    except MetricError as error:
        notes.append(f"No figures of identification: {error}.")
    made = validate_pairs(pairs, settings, title, known)
    return Validation(made.pairs, made.verification, made.slices, known, settings, (*made.notes, *notes), title)
