"""Whether a corpus can tell a system from whoever published it, and how far the publisher can be guessed.

Where every source has one publisher, whatever a publisher does to all its clips (its format, its resampler, its
sentences) tells its sources from all others: an extractor can learn that instead, and no figure on such data shows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from synthprint.linting.findings import Finding
from synthprint.linting.inspection import Inspection
from synthprint.linting.shortcuts import FOLDS, Shortcuts, measure_shortcuts
from synthprint.types import Utterance
from synthprint.wording import counted

CROSSING_SHARE = 0.05  # of the sources, below which the data as good as never crosses publishers


def check(rows: Sequence[Utterance]) -> Iterator[Finding]:
    """How many sources several publishers have; nothing where fewer than two publishers are named."""
    publishers: dict[str, Counter[str]] = defaultdict(Counter)
    for u in rows:
        if u.publisher:
            publishers[u.source][u.publisher] += 1
    everybody = {name for by in publishers.values() for name in by}
    if len(everybody) < 2:
        return
    crossing = sorted((-len(by), source) for source, by in publishers.items() if len(by) > 1)
    if len(crossing) < CROSSING_SHARE * len(publishers):
        message = (
            f"{len(publishers) - len(crossing):,} of {counted(len(publishers), 'source')} have one publisher each: "
            "this data cannot tell a system from its publisher"
        )
        yield Finding("publisher-bound", len(publishers) - len(crossing), message, tuple(sorted(publishers)))
    if crossing:
        clips = sum(publishers[source].total() for _, source in crossing)
        message = (
            f"{counted(len(crossing), 'source')} of {len(publishers):,} with several publishers "
            f"({counted(clips, 'clip')}; {len(everybody):,} publishers in all): only these tell whether a system is "
            "known again elsewhere"
        )
        examples = tuple(f"{source} ({counted(-n, 'publisher')})" for n, source in crossing)
        yield Finding("crossing-sources", len(crossing), message, examples)
    yield from _on_both_sides(rows)


def _on_both_sides(rows: Sequence[Utterance]) -> Iterator[Finding]:
    """Publishers of train that stand in dev or test too."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    for u in rows:
        if u.publisher and u.split:
            splits[u.publisher][u.split] += 1
    both = {name: by for name, by in splits.items() if by["train"] and len(by) > 1}
    if both:
        clips = sum(by.total() - by["train"] for by in both.values())
        message = (
            f"{counted(len(both), 'publisher')} of train also in dev or test, in {counted(clips, 'clip')} there: what "
            "is tested may be whether a publisher is known again"
        )
        yield Finding("shared-publishers", len(both), message, tuple(sorted(both)))


def measure_publishers(rows: Sequence[Utterance], inspections: Sequence[Inspection]) -> tuple[Shortcuts, ...]:
    """How well trivial traits name the publisher: over all clips, and over those of the source that most of them have.

    Within one source nothing but the publisher differs: human speech, where there is any, shows best what each does to
    its clips. One of the two is left out where the data is too little.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    measured = [measure_shortcuts([u.publisher or "" for u in rows], inspections, "publisher")]
    counts = Counter(
        (u.source, u.publisher) for u, seen in zip(rows, inspections, strict=True) if u.publisher and seen.traits
    )
    spread = Counter(source for (source, _), n in counts.items() if n >= FOLDS)
    if spread:
        source = min(spread, key=lambda name: (-spread[name], name))
        names = [(u.publisher or "") if u.source == source else "" for u in rows]
        measured.append(measure_shortcuts(names, inspections, "publisher", source))
    return tuple(one for one in measured if one)
