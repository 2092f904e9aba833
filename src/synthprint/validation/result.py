"""What validation finds, as one object: figures of pairs and of identification, whole and sliced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from synthprint.errors import MetricError
from synthprint.shelves import Backend
from synthprint.types import Labelled, ScoredTrials
from synthprint.validation.bootstrap import CONFIDENCE
from synthprint.validation.crossed_result import CrossedEvaluation
from synthprint.validation.identification import (
    Identification,
    against_enrolled,
    left_out,
    measure_identification,
)
from synthprint.validation.scored import score_pairs
from synthprint.validation.verification import (
    Settings,
    Verification,
    likelihood_ratios,
    measure_verification,
    sliced,
)


@dataclass(frozen=True, eq=False)
class Validation:
    """All figures.

    Attributes:
        trials: what was scored.
        verification: of all pairs.
        slices: by what they are sliced by, then by slice: of the pairs with both clips in it.
        identification: of embeddings; None for a score file.
        settings: how.
        notes: what is missing and why, in words.
        title: what was validated, in words.
        crossed: by what is crossed with the sources, such as "publisher"; empty where nothing can be.
    """

    trials: ScoredTrials
    verification: Verification
    slices: Mapping[str, Mapping[str, Verification]]
    identification: Identification | None
    settings: Settings
    notes: tuple[str, ...] = ()
    title: str = "Validation"
    crossed: Mapping[str, CrossedEvaluation] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "settings": {**asdict(self.settings), "confidence": CONFIDENCE},
            "verification": self.verification.to_dict(),
            "identification": None if self.identification is None else self.identification.to_dict(),
            "slices": {
                what: {name: figures.to_dict() for name, figures in parts.items()}
                for what, parts in self.slices.items()
            },
            "notes": list(self.notes),
            **({"crossed": {by: one.to_dict() for by, one in self.crossed.items()}} if self.crossed else {}),
        }


def validate_trials(
    trials: ScoredTrials,
    settings: Settings,
    title: str = "Validation",
    identification: Identification | None = None,
    notes: Sequence[str] = (),
) -> Validation:
    """All figures of scored pairs; those of `identification` and further `notes` are taken as they are."""
    ratios, said = likelihood_ratios(trials, settings)
    if trials.sources is None:
        said += (
            "The sources of the clips are not known, so there are no confidence intervals: pairs of one source are "
            "alike, and intervals over pairs would be far too narrow.",
        )
    verification = measure_verification(trials, ratios, settings)
    slices = sliced(trials, ratios, settings)
    return Validation(trials, verification, slices, identification, settings, (*said, *notes), title)


def validate_embeddings(
    clips: Labelled,
    backend: Backend,
    settings: Settings,
    enrolled: Labelled | None = None,
    title: str = "Validation",
) -> Validation:
    """All figures of labelled embeddings: of all pairs by `backend.score`, and of identification.

    Args:
        clips: with their utterances, where the figures are to be sliced.
        backend: fitted.
        settings: how.
        enrolled: other clips, which are enrolled; None: the clips are asked against each other.
        title: what is validated.

    Raises:
        MetricError: there is no target or no nontarget pair.
    """
    trials = score_pairs(clips, backend)
    known, unknown = left_out(clips, backend) if enrolled is None else against_enrolled(clips, enrolled, backend)
    try:
        identification = measure_identification(known, unknown, settings)
    except MetricError as error:
        return validate_trials(trials, settings, title, notes=[f"No figures of identification: {error}."])
    return validate_trials(trials, settings, title, identification)
