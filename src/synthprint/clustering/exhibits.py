"""Exhibits grouped by source: which clips were made by one system, and is it one that is enrolled?

Clips are joined by average linkage over the cosines of their embeddings, down to a threshold. What a group is worth is
told in likelihood ratios between its clips, and between it and the group nearest to it; a gallery, where there is one,
says whether the group's system is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.calibration.calibration import Evidence
from synthprint.clustering.linkage import Merge, average_linkage, cut
from synthprint.clustering.tuning import Tuning
from synthprint.conditions import Conditions, Limits
from synthprint.errors import EmbeddingsError, GalleryError
from synthprint.extractors import Extractor
from synthprint.sound.channels import AUTO
from synthprint.tracing.calibrations import ComparisonCalibrations
from synthprint.tracing.comparison import beyond_limits
from synthprint.tracing.examining import ExaminedClip, UnusableClip, clips_in, examined, with_digests
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Trace
from synthprint.vectors import exact_cosines, unit

MOST_CLIPS = 3_000  # the matrix of all pairs is kept


@dataclass(frozen=True)
class Exhibit:
    """A clip that could be used: its path, the SHA-256 of its file, its state, and what makes it doubtful."""

    path: str
    sha256: str
    state: Conditions
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Clips that are taken for one source.

    Attributes:
        number: from 1, the largest group first.
        members: positions of its clips, by path.
        mean_cosine, least_cosine: between its clips; None for a single one.
        mean_log10_lr, least_log10_lr: one source made both clips of a pair, against two; None as with the cosines, and
            without a calibration.
        nearest: number of the group whose mean direction is closest to its own; None where it is the only one.
        nearest_lr: one source made this and the nearest group, against two; by their mean directions.
        trace: of the group's mean direction; None without a gallery.
    """

    number: int
    members: tuple[int, ...]
    mean_cosine: float | None
    least_cosine: float | None
    mean_log10_lr: float | None
    least_log10_lr: float | None
    nearest: int | None
    nearest_lr: Evidence | None
    trace: Trace | None

    @property
    def verdict(self) -> str:
        """Whether it is a system that is enrolled, in a few words."""
        if self.trace is None:
            return ""
        if self.trace.threshold is None:
            return f"closest: {self.trace.name} (no threshold is set)"
        return "new: none of the enrolled sources" if self.trace.unknown else f"known: {self.trace.name}"


@dataclass(frozen=True, eq=False)
class Clustering:
    """What was grouped, and how.

    Attributes:
        exhibits: the N clips, in the order they were given.
        cosines: [N, N] float32.
        log10_lr: [N, N], one source made both, against two; None without a calibration.
        merges: N - 1, the linkage matrix; items are positions among the exhibits.
        merge_lrs: of each merge, one source made both groups, against two, by their mean directions; None as above.
        groups: the largest first.
        threshold: the mean cosine from which on groups were joined.
        tuning: what the threshold costs; None where it was given by hand.
        population: what the likelihood ratios were calibrated on, in words.
        warnings: what makes all of it less sure.
        failures: path -> reason, of the clips that could not be used.
    """

    exhibits: tuple[Exhibit, ...]
    cosines: np.ndarray
    log10_lr: np.ndarray | None
    merges: tuple[Merge, ...]
    merge_lrs: tuple[Evidence | None, ...]
    groups: tuple[Group, ...]
    threshold: float
    tuning: Tuning | None
    population: str | None
    warnings: tuple[str, ...]
    failures: dict[str, str]

    def repeated(self) -> list[tuple[str, ...]]:
        """Paths of files that are the same, byte by byte."""
        by_digest: dict[str, list[str]] = {}
        for exhibit in self.exhibits:
            by_digest.setdefault(exhibit.sha256, []).append(exhibit.path)
        return [tuple(paths) for paths in by_digest.values() if len(paths) > 1]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the matrices."""
        groups = []
        for group in self.groups:
            entry = asdict(group) | {"verdict": group.verdict, "trace": group.trace.to_dict() if group.trace else None}
            del entry["members"]
            entry["clips"] = [self.exhibits[i].path for i in group.members]
            groups.append(entry)
        return {
            "clips": [asdict(exhibit) for exhibit in self.exhibits],
            "groups": groups,
            "linkage": [
                merge._asdict() | {"lr": asdict(lr) if lr else None}
                for merge, lr in zip(self.merges, self.merge_lrs, strict=True)
            ],
            "threshold": self.threshold,
            "tuning": asdict(self.tuning) if self.tuning else None,
            "calibrated_on": self.population,
            "same_file": [list(paths) for paths in self.repeated()],
            "warnings": list(self.warnings),
            "failures": self.failures,
        }


def cluster(
    extractor: Extractor,
    paths: Sequence[str | Path],
    tuning: Tuning | None = None,
    threshold: float | None = None,
    calibrations: ComparisonCalibrations | None = None,
    limits: Limits | None = None,
    tracer: Tracer | None = None,
    channel: str = AUTO,
) -> Clustering:
    """Group clips by source.

    Args:
        paths: files, or folders: all audio below them.
        tuning, calibrations, limits: of the extractor.
        threshold: in place of the tuning's.
        tracer: with the same extractor; traces each group.
        channel: of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        EmbeddingsError: no clip is usable, or they are too many.
        GalleryError: there is neither a tuning nor a threshold.
    """
    if threshold is None and tuning is None:
        raise GalleryError(
            "nobody has measured from which likeness on clips of this extractor are of one source: give --threshold, "
            "a mean cosine from -1 to 1, or measure it: docs/clustering.md"
        )
    found = list(dict.fromkeys(path for _, path in clips_in(paths)))
    if len(found) > MOST_CLIPS:
        raise EmbeddingsError(f"{len(found):,} clips are more than the {MOST_CLIPS:,} that are grouped at once")
    exhibits: list[Exhibit] = []
    vectors: list[np.ndarray] = []
    failures: dict[str, str] = {}
    for result in with_digests(examined(extractor, found, channel, "embedding")):
        if isinstance(result, UnusableClip):
            failures[str(result.path)] = result.reason
        else:
            exhibits.append(_exhibit(*result, extractor, limits))
            vectors.append(result[0].vector)
    if not exhibits:
        path, reason = next(iter(failures.items()), ("", "no clips were given"))
        raise EmbeddingsError(f"none of {len(found)} clips can be used; {path}: {reason}")
    return _grouped(tuple(exhibits), unit(np.stack(vectors)), tuning, threshold, calibrations, tracer, failures)


def _exhibit(clip: ExaminedClip, sha256: str, extractor: Extractor, limits: Limits | None) -> Exhibit:
    warnings = (*clip.remarks, *beyond_limits(extractor, clip.state, limits))
    return Exhibit(str(clip.path), sha256, clip.state, warnings)


def _grouped(
    exhibits: tuple[Exhibit, ...],
    directions: np.ndarray,
    tuning: Tuning | None,
    threshold: float | None,
    calibrations: ComparisonCalibrations | None,
    tracer: Tracer | None,
    failures: dict[str, str],
) -> Clustering:
    """Group embeddings [N, D] of length one."""
    # Not `cosines`: its last bits depend on the order, and differ across the diagonal, where the chains may never end.
    similarity = exact_cosines(directions, directions)
    # In the order of their content, so that the order in which they were given does not matter.
    order = sorted(range(len(exhibits)), key=lambda i: (exhibits[i].sha256, exhibits[i].path))
    merges = average_linkage(similarity[np.ix_(order, order)])
    least = tuning.threshold if threshold is None and tuning else float(threshold or 0.0)
    labels = np.empty(len(exhibits), np.int64)
    labels[order] = cut(merges, least)
    pair = calibrations.of(1, 1) if calibrations else None
    log10_lr = pair.apply(similarity) if pair else None
    groups = _groups(labels, exhibits, directions, similarity, log10_lr, calibrations, tracer)
    item = [*order, *range(len(order), 2 * len(order))]  # of a position in the sorted order; a merge is its own
    here = [merge._replace(a=item[merge.a], b=item[merge.b]) for merge in merges]
    warnings = [] if pair else ["this extractor has no calibration, so there are no likelihood ratios"]
    if threshold is not None:
        warnings.append("the threshold was given by hand: how often it puts two sources together is not known")
    if tracer and len(groups[0].members) > 1:
        warnings.append(
            "the gallery's error rates are those of single clips; a group is called known more easily, and more often "
            "wrongly: see docs/clustering.md"
        )
    return Clustering(
        exhibits=exhibits,
        cosines=similarity,
        log10_lr=log10_lr,
        merges=tuple(here),
        merge_lrs=tuple(_merge_lrs(here, directions, calibrations)),
        groups=tuple(groups),
        threshold=least,
        tuning=tuning if threshold is None else None,
        population=pair.validation if pair else None,
        warnings=(*warnings, *(tracer.doubts if tracer else ())),
        failures=failures,
    )


def _groups(
    labels: np.ndarray,
    exhibits: Sequence[Exhibit],
    directions: np.ndarray,
    similarity: np.ndarray,
    log10_lr: np.ndarray | None,
    calibrations: ComparisonCalibrations | None,
    tracer: Tracer | None,
) -> list[Group]:
    by_path = sorted(range(len(exhibits)), key=lambda i: exhibits[i].path)
    members = [[i for i in by_path if labels[i] == label] for label in range(int(labels.max()) + 1)]
    members.sort(key=lambda group: (-len(group), min(exhibits[i].path for i in group)))
    means = unit(np.stack([directions[group].mean(axis=0, dtype=np.float64) for group in members]))
    between = exact_cosines(means, means)
    np.fill_diagonal(between, -np.inf)
    groups = []
    for place, group in enumerate(members):
        pairs = np.ix_(group, group)
        nearest = int(between[place].argmax()) if len(members) > 1 else None
        fitted = calibrations.of(len(group), len(members[nearest])) if calibrations and nearest is not None else None
        groups.append(
            Group(
                place + 1,
                tuple(group),
                *_within(similarity[pairs]),
                *_within(None if log10_lr is None else log10_lr[pairs]),
                None if nearest is None else nearest + 1,
                fitted.evidence(float(between[place, nearest])) if fitted else None,
                tracer.answer(means[place].astype(np.float32), f"group {place + 1}") if tracer else None,
            )
        )
    return groups


def _merge_lrs(
    merges: Sequence[Merge], directions: np.ndarray, calibrations: ComparisonCalibrations | None
) -> Iterator[Evidence | None]:
    sums, sizes = list(directions.astype(np.float64)), [1] * len(directions)
    for merge in merges:
        fitted = calibrations.of(sizes[merge.a], sizes[merge.b]) if calibrations else None
        pair = np.stack([sums[merge.a], sums[merge.b]])
        yield fitted.evidence(float(exact_cosines(pair[:1], pair[1:])[0, 0])) if fitted else None
        sums.append(pair.sum(axis=0))
        sizes.append(merge.size)


def _within(pairs: np.ndarray | None) -> tuple[float | None, float | None]:
    """Mean and least over the pairs of a group."""
    if pairs is None or len(pairs) < 2:
        return None, None
    values = pairs[np.triu_indices(len(pairs), 1)]
    return float(values.mean()), float(values.min())
