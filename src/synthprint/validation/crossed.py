"""Crossed evaluation: does an extractor know the system, or the publisher? Both are crossed, and each cell measured.

Where every source has one publisher, a target pair shares its publisher and a nontarget pair mostly does not: an
extractor that hears the publisher alone looks good. So trials are told apart by whether one publisher put both clips
out; see *Crossed evaluation* in `docs/conventions.md` for the definition of every figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthprint.errors import MetricError
from synthprint.progress import track
from synthprint.types import Labelled
from synthprint.validation.bootstrap import LEAST_SOURCES, REPLICATES, Figure, percentiles, stratified_draws
from synthprint.validation.crossed_clips import TRAITS, ClipSelection, crossed_clips
from synthprint.validation.crossed_result import (
    CELLS,
    CrossedEvaluation,
    CrossedGroup,
    CrossedSource,
    NewPublisher,
)
from synthprint.validation.crossed_trials import (
    KINDS,
    LEFT_OUT,
    LEVELS,
    CrossedClips,
    SourceCounts,
    TraitBins,
    count_sources,
    eer_of,
)
from synthprint.validation.new_publishers import Ranks, rank_new_publishers
from synthprint.validation.page_groups import PageGroup, count_groups

TRIALS = ("targets_one", "targets_two", "nontargets_one", "nontargets_two", "undecided")
TOP = 5


def crossed_evaluation(
    labelled: Labelled,
    asked: ClipSelection = None,
    enrolled: ClipSelection = None,
    by: str = "publisher",
    human: bool = False,
    replicates: int = REPLICATES,
    seed: int = 1,
) -> CrossedEvaluation:
    """Cross the sources with their publishers, and measure every cell.

    Args:
        labelled: with its utterances.
        asked, enrolled: which clips are asked, and which they are compared with: a split, ids, or all of them.
        by: what is crossed: a key of `TRAITS`.
        human: whether human speech counts as a source; else it has figures of its own.
        replicates: of the bootstrap over publishers (or whatever is crossed); 0 for no intervals.
        seed: of the draws.

    Raises:
        MetricError: there are no utterances; nothing of that name can be crossed; no clip is asked, or none enrolled.
        EmbeddingsError: a vector is zero or not finite.
    """
    if by not in TRAITS:
        raise MetricError(f"by must be one of {', '.join(TRAITS)}, not {by!r}")
    synthetic, people, left_out, names = crossed_clips(labelled, asked, enrolled, by, human)
    times = _drawn(synthetic, len(names), replicates, seed) if replicates else None
    measured = _measure(synthetic, times, seed)
    ranks = rank_new_publishers(synthetic)
    return CrossedEvaluation(
        by=by,
        asked=len(synthetic.asked),
        enrolled=len(synthetic.enrolled),
        sources=len(measured.sources),
        publishers=len(np.unique(synthetic.traits[synthetic.asked])),
        several=_several(synthetic),
        figures=measured.figures,
        trials=measured.trials,
        left_out=left_out,
        by_source=_by_source(labelled, synthetic, measured, ranks),
        by_group=_by_group(labelled, synthetic, measured.groups),
        new_publisher=_identified(synthetic, ranks, np.ones(len(ranks.clips), bool), times),
        by_enrolled={
            count: part
            for count in np.unique(ranks.publishers).tolist()
            if (part := _identified(synthetic, ranks, ranks.publishers == count, times)) is not None
        },
        enrolled_sources=ranks.enrolled,
        human=_measure(people, times, seed).figures if people is not None else {},
        replicates=replicates,
        seed=seed,
    )


def _drawn(clips: CrossedClips, n_traits: int, replicates: int, seed: int) -> np.ndarray:
    """How often each publisher was drawn: those that are asked among themselves, and so the others."""
    asked = np.unique(clips.traits[clips.asked])
    others = np.setdiff1d(clips.traits[clips.enrolled], asked)
    return stratified_draws((asked, others), n_traits, replicates, seed)


@dataclass(frozen=True, eq=False)
class _Source:
    """A source's EERs, its trials [kinds + 1], and its asked clips by trait: all, and those that cross."""

    source: int
    eer: float | None
    eer_own: float | None
    trials: np.ndarray
    traits: np.ndarray
    asked: np.ndarray
    crossing: np.ndarray


@dataclass(frozen=True, eq=False)
class _Measured:
    figures: dict[str, Figure]
    trials: dict[str, int]
    sources: list[_Source]
    groups: list[PageGroup]


def _measure(clips: CrossedClips, times: np.ndarray | None, seed: int) -> _Measured:
    """All EERs."""
    bins = None if times is None else TraitBins(clips, seed)
    balanced, pooled, sources = np.zeros((len(KINDS), LEVELS)), np.zeros((2, LEVELS), np.int64), []
    total = len(np.unique(clips.related.sources[clips.asked]))
    for counted in track(count_sources(clips, bins), "crossing sources", total):
        counts = counted.counts
        balanced += counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        pairs = counts.reshape(2, 2, LEVELS).sum(axis=1)
        pooled += pairs
        sources.append(_source(counted, pairs))
    groups, together = count_groups(clips, bins)
    figures = {name: Figure(eer_of(balanced[list(cell)])) for name, cell in CELLS.items()}
    figures["eer_page_groups"] = Figure(eer_of(together))
    if bins is not None and times is not None and len(np.unique(clips.traits[clips.asked])) >= LEAST_SOURCES:
        kinds, inside = bins.curves(times)
        curves = {name: kinds[list(cell)] for name, cell in CELLS.items()} | {"eer_page_groups": inside}
        figures = {name: _interval(figure, curves[name]) for name, figure in figures.items()}
    figures["eer_page_groups_mean"] = mean_figure(
        [(group.eer, 1.0, group.trait) for group in groups if group.eer is not None], times
    )
    for name in ("eer", "eer_own"):
        defined = [entries for source in sources if (entries := _entries(source, name))]
        several = times if len(defined) >= LEAST_SOURCES else None
        figures[f"{name}_sources_mean"] = mean_figure([entry for entries in defined for entry in entries], several)
    figures["eer_pooled"] = Figure(eer_of(pooled))
    trials = np.sum([source.trials for source in sources], axis=0).tolist()
    return _Measured(figures, dict(zip(TRIALS, trials, strict=True)), sources, groups)


def _source(counted: SourceCounts, pairs: np.ndarray) -> _Source:
    return _Source(
        counted.source,
        eer_of(pairs),
        eer_of(counted.own_trait),
        counted.trials.sum(axis=0),
        counted.traits,
        counted.asked,
        counted.asked * counted.crossing,
    )


def _entries(source: _Source, name: str) -> list[tuple[float, float, int]]:
    """Its EER, once for each trait of its asked clips, by their shares."""
    value, clips = getattr(source, name), source.asked if name == "eer" else source.crossing
    if value is None:
        return []
    return [(value, n / clips.sum(), trait) for n, trait in zip(clips.tolist(), source.traits.tolist(), strict=True)]


def _interval(figure: Figure, curves: np.ndarray) -> Figure:
    """The figure with an interval from the curves [2, R, bins] of its replicates."""
    replicated = [eer_of(curves[:, replicate]) for replicate in range(curves.shape[1])]
    return percentiles(figure.value, np.array([value for value in replicated if value is not None]), len(replicated))


def mean_figure(entries: list[tuple[float, float, int]], times: np.ndarray | None) -> Figure:
    """The weighted mean of values, each with its weight and its unit, and an interval over the units.

    Args:
        entries: of (value, weight, unit).
        times: [R, units] how often each was drawn. The values stay as they are.
    """
    if not entries:
        return Figure(None)
    values, weights, units = (np.array(column) for column in zip(*entries, strict=True))
    value = float((values * weights).sum() / weights.sum())
    if times is None or len(np.unique(units)) < LEAST_SOURCES:
        return Figure(value)
    sums, totals = (times @ np.bincount(units, of, times.shape[1]) for of in (values * weights, weights))
    return percentiles(value, sums[totals > 0] / totals[totals > 0], len(times))


def _identified(clips: CrossedClips, ranks: Ranks, some: np.ndarray, times: np.ndarray | None) -> NewPublisher | None:
    """Shares of some of the ranked clips; every source weighs the same."""
    if not some.any():
        return None
    asked = ranks.clips[some]
    _, owners, sizes = np.unique(clips.related.sources[asked], return_inverse=True, return_counts=True)
    weights, traits = (1 / sizes[owners]).tolist(), clips.traits[asked].tolist()

    def share(places: np.ndarray, top: int) -> Figure:
        return mean_figure(list(zip((places[some] <= top).astype(float), weights, traits, strict=True)), times)

    return NewPublisher(
        clips=len(asked),
        sources=len(sizes),
        top1=share(ranks.ranks, 1),
        top5=share(ranks.ranks, TOP),
        top1_own=share(ranks.with_own, 1),
        top5_own=share(ranks.with_own, TOP),
    )


def _several(clips: CrossedClips) -> int:
    both = np.union1d(clips.asked, clips.enrolled)
    pairs = np.unique(np.stack([clips.related.sources[both], clips.traits[both]], axis=1), axis=0)
    sources, counts = np.unique(pairs[:, 0], return_counts=True)
    return int(np.isin(sources[counts > 1], clips.related.sources[clips.asked]).sum())


def _by_source(labelled: Labelled, clips: CrossedClips, measured: _Measured, ranks: Ranks) -> dict[str, CrossedSource]:
    owners = clips.related.sources
    name = dict(zip(owners.tolist(), labelled.sources, strict=True))
    result = {}
    for source in measured.sources:
        places = ranks.ranks[owners[ranks.clips] == source.source]
        shares = [float((places <= top).mean()) if len(places) else None for top in (1, TOP)]
        result[name[source.source]] = CrossedSource(
            int(source.asked.sum()),
            len(np.unique(source.traits)),
            int(source.trials[:2].sum()),
            int(source.trials[2:LEFT_OUT].sum()),
            source.eer,
            source.eer_own,
            len(places),
            *shares,
        )
    return dict(sorted(result.items()))


def _by_group(labelled: Labelled, clips: CrossedClips, groups: list[PageGroup]) -> dict[str, CrossedGroup]:
    """By publisher and name of the group."""
    first = {group: place for place, group in reversed(list(enumerate(clips.related.groups.tolist())))}
    result = {}
    for group in groups:
        utterance = labelled.utterances[first[group.group]]
        targets, nontargets = group.trials.tolist()
        result[f"{utterance.publisher}: {utterance.group}"] = CrossedGroup(
            utterance.publisher or "", group.sources, targets, nontargets, group.eer
        )
    return dict(sorted(result.items()))
