"""One score against two alternatives: another system of the same publisher and format, and any other system.

Which of the two is in question is not for a tool to say, so an answer gives both, the weaker first: the LR that is
nearer to 1, and where they lie on two sides of 1 the lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from synthprint.calibration.calibration import Calibration, Evidence

SAME_PUBLISHER = "another system of the same publisher and format"
ANY_OTHER = "any other system"


@dataclass(frozen=True)
class Weighed:
    """An LR, what gave it, and its propositions."""

    lr: Evidence
    calibration: Calibration
    propositions: tuple[str, str]

    @property
    def statement(self) -> str:
        """What it is worth, in a sentence."""
        return self.calibration.say(self.lr, self.propositions)


def weigh(
    score: float, any_other: Calibration | None, same_publisher: Calibration | None, source: str, alternative: str
) -> tuple[Weighed, ...]:
    """The LRs of a score, the weaker first; none where nothing was fitted.

    Args:
        any_other, same_publisher: calibrations against either alternative; where the second was not fitted, the first
            is against `alternative`.
        source: the proposition that both weigh, such as "the same source".
        alternative: of a calibration that knows no publishers, such as "different sources".
    """
    if any_other is None:
        return ()
    if same_publisher is None:
        return (Weighed(any_other.evidence(score), any_other, (source, alternative)),)
    return weaker_first(
        [
            Weighed(calibration.evidence(score), calibration, (source, other))
            for calibration, other in ((same_publisher, SAME_PUBLISHER), (any_other, ANY_OTHER))
        ]
    )


def weaker_first(weighed: Sequence[Weighed]) -> tuple[Weighed, ...]:
    """Nearest to LR 1 first; where some lie below and some above, the lowest first."""
    values = [one.lr.log10_lr for one in weighed]
    if min(values) < 0 < max(values):
        return tuple(sorted(weighed, key=lambda one: one.lr.log10_lr))
    return tuple(sorted(weighed, key=lambda one: abs(one.lr.log10_lr)))
