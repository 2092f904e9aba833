"""Is a window of answers unlike the reference? The stated tests, and what counts as an alarm.

*Shares.* Of two counts, x of n: Fisher's exact test where a cell of the table of the two is expected to hold fewer than
MANY clips, else the z test of two proportions, which is then the same and fast. Effect: Cohen's h, the distance of
2·arcsin(√share) (Cohen 1988), which sees 0.1 % become 1 % as well as 30 % become 35 % (both about 0.1).

*Distributions.* The two-sample test of Kolmogorov and Smirnov. Effect: its D, the largest distance between the two
distribution functions.

*Growth.* Of a group of unknown clips: the same tests of its share, one-sided. Effect: how many times the share is that
of the reference, where one clip is added to the group, so that it is a number also of a group that is new.

*Alarms.* All p values of a report are corrected together (Benjamini and Hochberg 1995). A difference is an alarm where
its corrected p is at most `rate` *and* its effect at least `least_effect`, or GROWTH: with a million clips trifles are
beyond chance, too. So if nothing has changed, a report has an alarm with a probability of at most `rate`, whatever it
tests. That holds for clips that are drawn one by one: a batch of one uploader counts as many where it should be one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from synthprint.errors import MissingDependency

MANY = 100  # clips expected in each cell, from which on the z test stands for the exact one
EXACT = 400  # values of a sample, up to which the exact distribution of D is used
RATE, LEAST_EFFECT, GROWTH = 0.01, 0.1, 2.0


@dataclass(frozen=True)
class ClipShare:
    """`count` of `total` clips."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of no clips."""
        return self.count / self.total if self.total else math.nan


@dataclass(frozen=True)
class Difference:
    """What was tested of one window, or group, against the reference.

    Attributes:
        window: the window's name.
        what: was compared, in words.
        test: "share", "distribution", "growth" or "bound".
        reference, value: what it was, and is: a share, or a median.
        effect: how large the difference is: Cohen's h, D, or of growth the ratio of the shares; see above.
        p: of the test.
        adjusted: p, corrected for all that is tested in the report.
        alarm: whether it counts.
    """

    window: str
    what: str
    test: str
    reference: float
    value: float
    effect: float
    p: float
    adjusted: float = math.nan
    alarm: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """In words."""
        if self.test == "distribution":
            return (
                f"{self.window}: the {self.what} is distributed differently (median {self.value:.3g}, was "
                f"{self.reference:.3g}; D {self.effect:.2f}, corrected p {self.adjusted:.1g})"
            )
        was = "validation explains at most" if self.test == "bound" else "was"
        size = f"{self.effect:.3g} times" if self.test == "growth" else f"h {self.effect:.2f}"
        return (
            f"{self.window}: {self.what} {self.value:.2%} ({was} {self.reference:.2%}; {size}, corrected p "
            f"{self.adjusted:.1g})"
        )


def share_difference(window: str, what: str, reference: ClipShare, now: ClipShare) -> Difference:
    """Test whether a share has changed, in either direction.

    Raises:
        MissingDependency: scipy is not installed.
    """
    effect = cohens_h(reference, now)
    return Difference(window, what, "share", reference.value, now.value, effect, share_p(reference, now))


def cohens_h(a: ClipShare, b: ClipShare) -> float:
    """How far apart two shares are, from 0 to π; see above."""
    return 2 * abs(math.asin(math.sqrt(a.value)) - math.asin(math.sqrt(b.value)))


def growth_difference(window: str, what: str, reference: ClipShare, now: ClipShare) -> Difference:
    """Test whether a share has grown.

    Raises:
        MissingDependency: scipy is not installed.
    """
    effect = now.value / ClipShare(reference.count + 1, reference.total + 1).value
    p = share_p(reference, now, "greater")
    return Difference(window, what, "growth", reference.value, now.value, effect, p)


def share_p(reference: ClipShare, now: ClipShare, alternative: str = "two-sided") -> float:
    """p of two shares being one; with `alternative` "greater", of the second not being greater.

    Raises:
        MissingDependency: scipy is not installed.
    """
    stats = _stats()
    total, count = reference.total + now.total, reference.count + now.count
    if min(reference.total, now.total) * min(count, total - count) < MANY * total:
        cells = [[s.count, s.total - s.count] for s in (now, reference)]
        return float(stats.fisher_exact(cells, alternative).pvalue)
    pooled = count / total
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / reference.total + 1 / now.total))
    z = (now.value - reference.value) / deviation
    return float(stats.norm.sf(z) if alternative == "greater" else 2 * stats.norm.sf(abs(z)))


def distribution_difference(window: str, what: str, reference: np.ndarray, now: np.ndarray) -> Difference:
    """Test whether values [n] are distributed as those of the reference [m].

    Raises:
        MissingDependency: scipy is not installed.
    """
    method = "exact" if max(len(reference), len(now)) <= EXACT else "asymp"
    tested = _stats().ks_2samp(reference, now, method=method)
    medians = float(np.median(reference)), float(np.median(now))
    return Difference(window, what, "distribution", *medians, float(tested.statistic), float(tested.pvalue))


def alarming(
    differences: Iterable[Difference], rate: float = RATE, least_effect: float = LEAST_EFFECT
) -> list[Difference]:
    """All that a report tests, with p values corrected together, and which are alarms; see above.

    Raises:
        MissingDependency: scipy is not installed.
    """
    tested = list(differences)
    if not tested:
        return []
    adjusted = _stats().false_discovery_control([difference.p for difference in tested], method="bh")

    def alarm(difference: Difference, p: float) -> bool:
        return p <= rate and difference.effect >= (GROWTH if difference.test == "growth" else least_effect)

    return [replace(d, adjusted=p, alarm=alarm(d, p)) for d, p in zip(tested, map(float, adjusted), strict=True)]


def _stats() -> Any:
    try:
        from scipy import stats
    except ModuleNotFoundError as error:
        raise MissingDependency.extra("scipy", "monitor") from error
    return stats
