"""A monitoring in rows, for a terminal and a page."""

from __future__ import annotations

from collections.abc import Iterator

from synthprint.monitoring.monitor import Monitoring
from synthprint.monitoring.unknown_groups import UnknownGroup
from synthprint.monitoring.windows import WindowCounts
from synthprint.wording import counted

WINDOWS = ("window", "clips", "failed", "unknown", "human", "outside", "score", "alarms")
SHOWN = ("failed", "unknown", "human", "outside")  # shares
GROUPS = ("group", "clips", "reference", "latest", "mean cosine", "nearest relatives", "example")
GROUPS_LISTED = 20


def window_rows(monitoring: Monitoring) -> list[tuple[str, ...]]:
    """A row for the reference, and for each window, in the columns of WINDOWS; the score is the median."""
    alarms = [alarm.window for alarm in monitoring.alarms]
    windows = [(window, str(alarms.count(window.name) or "")) for window in monitoring.windows]
    return [_row(window, alarmed) for window, alarmed in ((monitoring.reference, ""), *windows)]


def _row(window: WindowCounts, alarmed: str) -> tuple[str, ...]:
    shares = [window.share(name) for name in SHOWN]
    median = window.median("score")
    cells = ("" if not share.total else f"{share.value:.1%}" for share in shares)
    return (window.name, f"{window.clips:,}", *cells, "" if median is None else f"{median:.3f}", alarmed)


def group_rows(monitoring: Monitoring) -> list[tuple[str, ...]]:
    """A row for each of the groups that are listed, in the columns of GROUPS: those that grow first."""
    return [
        (
            f"{group.number}{' new' if group.is_new else ''}{' grows' if group.grows else ''}",
            f"{group.clips:,}",
            f"{group.before:,}",
            f"{group.by_window.get(monitoring.latest, 0):,}",
            f"{group.mean_cosine:.2f}",
            ", ".join(f"{r.source} ({r.share:.0%}, {r.cosine:.2f})" for r in group.relatives),
            group.examples[0],
        )
        for group in _listed(monitoring)
    ]


def _listed(monitoring: Monitoring) -> list[UnknownGroup]:
    return sorted(monitoring.groups, key=lambda group: not group.grows)[:GROUPS_LISTED]


def sentences(monitoring: Monitoring) -> Iterator[str]:
    """What was done, in plain words."""
    tests, alarms = counted(len(monitoring.differences), "test"), counted(len(monitoring.alarms), "alarm")
    yield (
        f"{monitoring.reference.name} is the reference. {tests}, {alarms}. Where nothing has changed, a report has an "
        f"alarm with a probability of at most {monitoring.rate:.2g}."
    )
    if bounds := monitoring.expectation:
        yield (
            f"By the validation of the gallery ({bounds.backend}), from {bounds.least.value:.0%} to "
            f"{bounds.greatest.value:.0%} of the clips are called unknown, whatever they are a mixture of."
        )
    if monitoring.threshold is not None:
        yield (
            f"Unknown clips are grouped from a mean cosine of {monitoring.threshold:.2f} on; of a relative, the share "
            "of the group's clips that it is among the nearest of, and the mean of its best cosines."
        )
