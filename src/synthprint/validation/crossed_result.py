"""What a crossed evaluation finds, as one object: figures by cell, source, page group and number of publishers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from synthprint.validation.bootstrap import Figure
from synthprint.validation.crossed_trials import NONTARGET_ONE, NONTARGET_TWO, TARGET_ONE, TARGET_TWO

CELLS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "eer_targets_one_nontargets_one": (TARGET_ONE, NONTARGET_ONE),
        "eer_targets_one_nontargets_two": (TARGET_ONE, NONTARGET_TWO),
        "eer_targets_two_nontargets_one": (TARGET_TWO, NONTARGET_ONE),
        "eer_targets_two_nontargets_two": (TARGET_TWO, NONTARGET_TWO),
    }
)


@dataclass(frozen=True)
class CrossedSource:
    """One source. An EER is None where it lacks a kind of trial, a share where no clip of it was ranked.

    Attributes:
        clips, publishers: asked clips, and how many publishers (or languages) they come from.
        targets, nontargets: its trials.
        eer: of all of them.
        eer_own: of its targets across publishers against its nontargets of one publisher.
        ranked, top1, top5: clips asked of a new publisher, and the shares of them placed first, among the first five.
    """

    clips: int
    publishers: int
    targets: int
    nontargets: int
    eer: float | None
    eer_own: float | None
    ranked: int = 0
    top1: float | None = None
    top5: float | None = None


@dataclass(frozen=True)
class CrossedGroup:
    """One page group: its publisher, its sources and trials, and its EER, None where it lacks a kind of trial."""

    publisher: str
    sources: int
    targets: int
    nontargets: int
    eer: float | None


@dataclass(frozen=True)
class NewPublisher:
    """Known systems from a publisher that is not enrolled for them.

    Attributes:
        clips, sources: that were asked.
        top1, top5: shares of the clips whose source is placed first, among the first five; every source weighs alike.
        top1_own, top5_own: the same clips with their own publisher enrolled too, the clip itself left out.
    """

    clips: int
    sources: int
    top1: Figure
    top5: Figure
    top1_own: Figure
    top5_own: Figure


@dataclass(frozen=True, eq=False)
class CrossedEvaluation:
    """All figures.

    Attributes:
        by: what is crossed: "publisher", "language" or "training_data". "One" and "two" in names are of that.
        asked, enrolled: numbers of clips.
        sources, publishers: numbers of sources that are asked, and of their publishers (or languages).
        several: those sources that have two publishers or more, asked and enrolled together.
        figures: EERs by name.
        trials: numbers of trials by kind; the undecided ones count nowhere.
        left_out: numbers of clips that take no part, by why.
        by_source, by_group: each for itself.
        new_publisher: identification from a new publisher; None where no source can be asked so.
        by_enrolled: the same by how many publishers of the source are enrolled.
        enrolled_sources: among how many.
        human: figures of human speech, asked among all; empty where there is none, or where it counts as a source.
        replicates, seed: of the bootstrap over publishers (or languages).
    """

    by: str
    asked: int
    enrolled: int
    sources: int
    publishers: int
    several: int
    figures: Mapping[str, Figure]
    trials: Mapping[str, int]
    left_out: Mapping[str, int]
    by_source: Mapping[str, CrossedSource]
    by_group: Mapping[str, CrossedGroup]
    new_publisher: NewPublisher | None
    by_enrolled: Mapping[int, NewPublisher]
    enrolled_sources: int
    human: Mapping[str, Figure]
    replicates: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
