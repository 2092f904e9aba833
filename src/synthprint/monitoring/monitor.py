"""Answers over time: each window against the reference, and the groups of unknown clips that grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synthprint.monitoring.differences import (
    LEAST_EFFECT,
    RATE,
    ClipShare,
    Difference,
    alarming,
    distribution_difference,
    growth_difference,
    share_difference,
)
from synthprint.monitoring.expectations import Expectation
from synthprint.monitoring.unknown_groups import UnknownGroup, UnknownGroups
from synthprint.monitoring.windows import DISTRIBUTIONS, WindowCounts

SOURCES = 20  # of a window and the reference together, the most frequent: those whose shares are tested
SHARES = {"failed": "failed", "unknown": "unknown", "ambiguous": "ambiguous", "human": "human speech"}


@dataclass(frozen=True)
class Monitoring:
    """What a look at answers over time says.

    Attributes:
        reference: the counts that the windows are compared with.
        windows: in order, those of the reference not among them.
        differences: all that was tested.
        groups: of unknown clips, the largest first.
        forgotten: unknown clips that are in no group, for want of memory.
        expectation: the bounds of the share of unknown clips; None where no gallery gave them.
        rate, least_effect: by which alarms are told.
        threshold: least mean cosine of groups that are joined; None: no groups were looked for.
        notes: what makes all of it less sure, or less whole.
    """

    reference: WindowCounts
    windows: tuple[WindowCounts, ...]
    differences: tuple[Difference, ...]
    groups: tuple[UnknownGroup, ...]
    forgotten: int
    expectation: Expectation | None
    rate: float
    least_effect: float
    threshold: float | None
    notes: tuple[str, ...] = ()

    @property
    def latest(self) -> str:
        """The name of the last window."""
        return (self.windows[-1] if self.windows else self.reference).name

    @property
    def alarms(self) -> tuple[Difference, ...]:
        """The differences that count."""
        return tuple(difference for difference in self.differences if difference.alarm)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        bounds = self.expectation and [self.expectation.least.value, self.expectation.greatest.value]
        return {
            "rate": self.rate,
            "least_effect": self.least_effect,
            "reference": self.reference.to_dict(),
            "windows": [window.to_dict() for window in self.windows],
            "unknown_share_by_validation": bounds,
            "alarms": [difference.to_dict() for difference in self.alarms],
            "tested": len(self.differences),
            "differences": [difference.to_dict() for difference in self.differences],
            "groups": [group.to_dict() for group in self.groups],
            "threshold": self.threshold,
            "forgotten": self.forgotten,
            "notes": list(self.notes),
        }


def compare_windows(
    before: Sequence[WindowCounts],
    windows: Sequence[WindowCounts],
    groups: UnknownGroups | None = None,
    expectation: Expectation | None = None,
    rate: float = RATE,
    least_effect: float = LEAST_EFFECT,
) -> Monitoring:
    """Test each window against the reference, and each group of unknown clips for growth since.

    Args:
        before: what is compared with: one window or more.
        windows: the others, in order.
        groups: of the unknown clips of all of them; None: none were looked for.
        expectation: what the validation of the gallery lets one expect.
        rate, least_effect: see `differences`.

    Raises:
        MissingDependency: scipy is not installed.
    """
    reference = WindowCounts.joined(before)
    known = {window.name for window in before}
    tested = [difference for window in windows for difference in _differences(reference, window, expectation)]
    met = groups.groups() if groups else []
    after = sum(window.synthetic for window in windows)
    for group in met if reference.synthetic and after else ():
        count = group.within(known)
        shares = ClipShare(count, reference.synthetic), ClipShare(group.clips - count, after)
        tested.append(growth_difference(f"since {reference.name}", group.name, *shares))
    tested = alarming(tested, rate, least_effect)
    growing = {difference.what for difference in tested if difference.test == "growth" and difference.alarm}
    marked = [replace(group, before=group.within(known), grows=group.name in growing) for group in met]
    return Monitoring(
        reference, tuple(windows), tuple(tested), tuple(marked), groups.forgotten if groups else 0, expectation,
        rate, least_effect, groups.threshold if groups else None, tuple(_notes(reference, windows, groups)),
    )  # fmt: skip


def _notes(reference: WindowCounts, windows: Sequence[WindowCounts], groups: UnknownGroups | None) -> Iterator[str]:
    if not windows:
        yield f"there is no window beside {reference.name}: nothing was compared"
    if groups is None:
        yield "nobody has measured from which likeness on clips of this extractor are of one source: no groups"
    elif groups.forgotten:
        yield f"{groups.forgotten:,} unknown clips were in small groups that were given up to keep memory bounded"


def _differences(
    reference: WindowCounts, window: WindowCounts, expectation: Expectation | None
) -> Iterator[Difference]:
    """All tests of one window."""
    if not (reference.clips and window.clips):
        return
    yield share_difference(window.name, "failed", reference.share("failed"), window.share("failed"))
    if reference.answered and window.answered:
        yield share_difference(window.name, SHARES["human"], reference.share("human"), window.share("human"))
        totals = reference.answered, window.answered
        yield from _by_name(window.name, "outside the limit", reference.outside, window.outside, totals)
    if reference.synthetic and window.synthetic:
        for name in ("unknown", "ambiguous"):
            yield share_difference(window.name, SHARES[name], reference.share(name), window.share(name))
        totals = reference.synthetic, window.synthetic
        yield from _by_name(window.name, "named", reference.sources, window.sources, totals)
    for column, words in DISTRIBUTIONS.items():
        values = reference.samples[column].values, window.samples[column].values
        if len(values[0]) and len(values[1]):
            yield distribution_difference(window.name, words, *values)
    if expectation and window.synthetic:
        yield from expectation.differences(window.name, window.share("unknown"))


def _by_name(
    window: str, words: str, before: Counter[str], after: Counter[str], totals: tuple[int, int]
) -> Iterator[Difference]:
    """Test the shares of the most frequent names of both together, which do not say in which of the two they are."""
    for name, _ in (before + after).most_common(SOURCES):
        shares = ClipShare(before[name], totals[0]), ClipShare(after[name], totals[1])
        yield share_difference(window, f"{words} {name}", *shares)
