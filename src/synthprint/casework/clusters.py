"""Exhibits grouped by source: which clips were made by one system, and is it one that is enrolled?

Clips are joined by average linkage over the cosines of their embeddings, down to a threshold. What a group is worth is
given in likelihood ratios between its clips, and between it and the group nearest to it; a gallery, where there is one,
says whether the group's system is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from synthprint.addresses import shown
from synthprint.calibration.calibration import Evidence
from synthprint.casework.groups import Clustering, Exhibit, Group
from synthprint.casework.linkage import Merge, average_linkage, cut
from synthprint.errors import EmbeddingsError, GalleryError
from synthprint.extractor.examining import ExaminedClip, distinct_clips, examine_all
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.shipped import open_gallery
from synthprint.model.calibrations import ComparisonCalibrations
from synthprint.model.model import Model, open_model
from synthprint.model.shipped import DEFAULT
from synthprint.sound.channels import AUTO
from synthprint.tracing.tracer import Tracer
from synthprint.vectors.directions import exact_cosines, unit

NO_FAILURES: Mapping[str, str] = MappingProxyType({})
MOST_CLIPS = 3_000  # the matrix of all pairs is kept


def cluster(
    paths: Sequence[str | Path],
    model: Model | str | Path | None = None,
    gallery: Gallery | Tracer | str | Path | None = DEFAULT,
    threshold: float | None = None,
    *,
    backend: str | None = None,
    threads: int | None = None,
    channel: str = AUTO,
) -> Clustering:
    """Group clips by source.

    Args:
        paths: files, or folders: all audio below them.
        model: one that is open, a folder, or "default"; None: the one that comes with synthprint.
        gallery: that each group is traced with: one that is open, or a tracer of it and of the model, a folder, or
            "default", the one that comes with synthprint. None: without a gallery, no group is traced.
        threshold: mean cosine, from -1 to 1, from which on groups are joined; None: the model's.
        backend: that traces, a name on the backends shelf; by default the gallery's.
        threads: that embed, where the model is to be opened; by default all cores.
        channel: of files with several: "auto", "mean", "side", or a number from 1.

    Raises:
        CheckpointError: the model is missing or damaged.
        EmbeddingsError: no clip is usable, or they are too many.
        GalleryError: there is neither a tuning of the model nor a threshold; or the gallery is missing, damaged, or of
            another extractor.
    """
    model = open_model(model, threads)
    if gallery is None or isinstance(gallery, Tracer):
        tracer = gallery
    else:
        tracer = Tracer(model, open_gallery(gallery), backend)
    if threshold is None and model.clusters is None:
        raise GalleryError(
            "nobody has measured from which likeness on clips of this extractor are of one source: give a threshold, "
            "a mean cosine from -1 to 1, or measure it: docs/clustering.md",
            parameter="threshold",
        )
    stored = distinct_clips(paths)
    if len(stored) > MOST_CLIPS:
        raise EmbeddingsError(f"{len(stored):,} clips are more than the {MOST_CLIPS:,} that are grouped at once")
    examination = examine_all(model.extractor, stored, "used", channel, "embedding", model.beside)
    exhibits = tuple(_exhibit(clip, digest, model) for clip, digest in examination.usable)
    spoken = np.array([exhibit.human is not None and exhibit.human.human for exhibit in exhibits])
    if spoken.all():
        return _no_groups(exhibits, model, threshold, examination.failures)
    made = [exhibit for exhibit, human in zip(exhibits, spoken, strict=True) if not human]
    found = group_exhibits(made, unit(examination.vectors[~spoken]), model, threshold, tracer, examination.failures)
    return replace(found, spoken=tuple(exhibits[i] for i in np.flatnonzero(spoken)))


def _no_groups(
    spoken: tuple[Exhibit, ...], model: Model, threshold: float | None, failures: Mapping[str, str]
) -> Clustering:
    """Of clips that are human speech, all of them."""
    least = model.clusters.threshold if threshold is None and model.clusters else float(threshold or 0.0)
    return Clustering(
        exhibits=(), cosines=np.zeros((0, 0), np.float32), log10_lr=None, merges=(), merge_lrs=(), groups=(),
        threshold=least, tuning=None, population=None, warnings=(), failures=dict(failures), extractor=model.digest,
        spoken=spoken,
    )  # fmt: skip


def _exhibit(clip: ExaminedClip, sha256: str, model: Model) -> Exhibit:
    return Exhibit(
        shown(clip.path),
        sha256,
        clip.conditions,
        (*clip.remarks, *model.beyond_limits(clip.conditions)),
        model.heard(clip.beside),
    )


def group_exhibits(
    exhibits: Sequence[Exhibit],
    directions: np.ndarray,
    model: Model,
    threshold: float | None = None,
    tracer: Tracer | None = None,
    failures: Mapping[str, str] = NO_FAILURES,
) -> Clustering:
    """Group N exhibits by their embeddings [N, D] of length one.

    Args:
        model: whose embeddings they are; it has a tuning, or a threshold is given.
        threshold: in place of the tuning's.
        tracer: with the same model; traces each group.
        failures: path -> reason, of the clips that could not be used.
    """
    # Not `cosines`: its last bits depend on the order, and differ across the diagonal, where the chains may never end.
    similarity = exact_cosines(directions, directions)
    # In the order of their content, so that the order in which they were given does not matter.
    order = sorted(range(len(exhibits)), key=lambda i: (exhibits[i].sha256, exhibits[i].path))
    merges = average_linkage(similarity[np.ix_(order, order)])
    least = model.clusters.threshold if threshold is None and model.clusters else float(threshold or 0.0)
    labels = np.empty(len(exhibits), np.int64)
    labels[order] = cut(merges, least)
    pair = model.calibrations.for_sets(1, 1) if model.calibrations else None
    log10_lr = pair.apply(similarity) if pair else None
    groups = _groups(labels, exhibits, directions, (similarity, log10_lr), model.calibrations, tracer)
    item = [*order, *range(len(order), 2 * len(order))]  # of a position in the sorted order; a merge is its own
    merges = [merge._replace(a=item[merge.a], b=item[merge.b]) for merge in merges]
    return Clustering(
        exhibits=tuple(exhibits),
        cosines=similarity,
        log10_lr=log10_lr,
        merges=tuple(merges),
        merge_lrs=tuple(_merge_lrs(merges, directions, model.calibrations)),
        groups=tuple(groups),
        threshold=least,
        tuning=model.clusters if threshold is None else None,
        population=pair.validation if pair else None,
        warnings=tuple(_warnings(pair is not None, threshold is not None, groups, tracer)),
        failures=dict(failures),
        extractor=model.digest,
    )


def _warnings(calibrated: bool, by_hand: bool, groups: Sequence[Group], tracer: Tracer | None) -> Iterator[str]:
    """What makes all of it less sure, in words."""
    if not calibrated:
        yield "this extractor has no calibration, so there are no likelihood ratios"
    if by_hand:
        yield "the threshold was given by hand: how often it puts two sources together is not known"
    if tracer and len(groups[0].members) > 1:
        yield (
            "the gallery's error rates are those of single clips; a group is called known more easily, and more often "
            "wrongly: see docs/clustering.md"
        )
    if tracer:
        yield from tracer.warnings


def _groups(
    labels: np.ndarray,
    exhibits: Sequence[Exhibit],
    directions: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray | None],
    calibrations: ComparisonCalibrations | None,
    tracer: Tracer | None,
) -> list[Group]:
    """The groups that the labels [N] say, the largest first; `pairs` are all cosines and log10 LRs [N, N]."""
    members = _members(labels, exhibits)
    means = unit(np.stack([directions[group].mean(axis=0, dtype=np.float64) for group in members]))
    between = exact_cosines(means, means)
    np.fill_diagonal(between, -np.inf)
    groups = []
    for place, group in enumerate(members):
        nearest = int(between[place].argmax()) if len(members) > 1 else None
        fitted = (
            calibrations.for_sets(len(group), len(members[nearest])) if calibrations and nearest is not None else None
        )
        inside = [None if values is None else values[np.ix_(group, group)] for values in pairs]
        groups.append(
            Group(
                place + 1,
                tuple(group),
                *_within(inside[0]),
                *_within(inside[1]),
                None if nearest is None else nearest + 1,
                fitted.evidence(float(between[place, nearest])) if fitted else None,
                tracer.answer(means[place].astype(np.float32), f"group {place + 1}") if tracer else None,
            )
        )
    return groups


def _members(labels: np.ndarray, exhibits: Sequence[Exhibit]) -> list[list[int]]:
    """Positions of the exhibits of each label, by path; the largest group first."""
    by_path = sorted(range(len(exhibits)), key=lambda i: exhibits[i].path)
    members = [[i for i in by_path if labels[i] == label] for label in range(int(labels.max()) + 1)]
    return sorted(members, key=lambda group: (-len(group), min(exhibits[i].path for i in group)))


def _merge_lrs(
    merges: Sequence[Merge], directions: np.ndarray, calibrations: ComparisonCalibrations | None
) -> Iterator[Evidence | None]:
    sums, sizes = list(directions.astype(np.float64)), [1] * len(directions)
    for merge in merges:
        fitted = calibrations.for_sets(sizes[merge.a], sizes[merge.b]) if calibrations else None
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
