"""The trials to validate: of embeddings, or of any score file, with what a manifest says of the clips."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from synthprint.calibration.trials import pair_scores, pairs
from synthprint.errors import ManifestError, MetricError
from synthprint.reading.rows import csv_rows, lines, listed, number
from synthprint.reading.schemas import Refused, short
from synthprint.shelves import Backend
from synthprint.types import Labelled, ScoredTrials, Trials, Utterance

MOST = 1_000_000  # pairs of each kind
SIDES = (("enrolment", "test"), ("enrol", "test"), ("enrollment", "test"), ("a", "b"), ("id1", "id2"))
LABELS = ("target", "label")
TRUE, FALSE = ("1", "true", "target", "yes"), ("0", "false", "nontarget", "non-target", "no")


def measurable(trials: ScoredTrials) -> ScoredTrials:
    """The trials, once it is clear that figures of them are defined.

    Raises:
        MetricError: a score is not finite, or there is no target or no nontarget trial.
    """
    if not np.isfinite(trials.scores).all():
        raise MetricError(f"{int((~np.isfinite(trials.scores)).sum())} of {len(trials)} scores are not finite")
    if not 0 < trials.target.sum() < len(trials):
        raise MetricError(f"{len(trials)} pairs, but none is a {'non' if trials.target.any() else ''}target")
    return trials


def match_utterances(trials: ScoredTrials, utterances: Sequence[Utterance]) -> ScoredTrials:
    """The trials whose clips a manifest has, with what it says of them.

    Raises:
        MetricError: no trial is left, or a kind of them.
        ManifestError: the manifest contradicts the marks of the file.
    """
    by_id = {u.id: u for u in utterances}
    listed_clips = np.array([clip in by_id for clip in trials.ids], bool)
    if not listed_clips.any():
        raise ManifestError(
            f"none of the {len(trials.ids):,} clips of the scores is in the manifest; one is {trials.ids[:1]}"
        )
    left = measurable(trials[listed_clips[trials.first] & listed_clips[trials.second]])
    place = np.cumsum(listed_clips) - 1
    matched = tuple(by_id[clip] for clip in trials.ids if clip in by_id)
    sources = np.array([u.source for u in matched], dtype=object)
    first, second = place[left.first], place[left.second]
    wrong = int(((sources[first] == sources[second]) != left.target).sum())
    if wrong:
        raise ManifestError(f"{wrong:,} of {len(first):,} pairs are marked otherwise than the manifest's sources say")
    return replace(
        left,
        first=first,
        second=second,
        sources=tuple(sources.tolist()),
        clips=len(matched),
        ids=tuple(u.id for u in matched),
        utterances=matched,
    )


def score_pairs(clips: Labelled, backend: Backend | None = None, most: int = MOST) -> ScoredTrials:
    """All pairs of clips, or where they are too many, every k-th of each kind.

    Args:
        clips: with their utterances, where the figures are to be sliced.
        backend: fitted; None is the cosine.
        most: about how many pairs of each kind are taken.

    Raises:
        MetricError: as `measurable`.
    """
    owners, embeddings = clips.owners, clips.embeddings
    first, second = (np.concatenate(side) for side in zip(*pairs(owners, most), strict=True))
    scores = pair_scores(clips.vectors, first, second, backend)
    return measurable(
        ScoredTrials(
            scores, owners[first] == owners[second], first, second, clips.sources, clips=len(clips), data=clips.data,
            extractor=embeddings.extractor, ids=embeddings.ids, utterances=clips.utterances,
        )
    )  # fmt: skip


def read_scores(path: str | os.PathLike[str]) -> ScoredTrials:
    """A score file: a CSV with a header, or `1 enrolment test score` a line.

    The CSV needs `score`, and `target` or `label` (1 / 0, true / false, target / nontarget), or instead of a mark
    the sources of both clips: `enrolment_source` and `test_source`. `enrolment` and `test` name the clips (`enrol`
    or `a` and `b` will do).

    Raises:
        ManifestError: it cannot be read, or a line has another form.
        MetricError: a score is not finite, or there is no target or no nontarget pair.
    """
    try:
        if _is_csv(path):
            return _from_csv(path)
        trials = ScoredTrials.load(path)
        if not len(trials):
            raise ManifestError(
                f"{path}: is empty; a file of scores has a CSV's header, or '1 enrolment test score' a line"
            )
        return measurable(trials)
    except MetricError as error:
        raise MetricError(f"{path}: {error}") from error


def _is_csv(path: str | os.PathLike[str]) -> bool:
    try:
        return "," in next(lines(path), "")
    except (OSError, Refused) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ManifestError(f"{path}: cannot be read as scores: {why}") from error


def _from_csv(path: str | os.PathLike[str]) -> ScoredTrials:
    try:
        rows = [cells for _, cells in csv_rows(path)]
    except (OSError, Refused) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ManifestError(f"{path}: cannot be read as a CSV of scores: {why}") from error
    if not rows:
        raise ManifestError(f"{path}: has no rows")
    header = list(rows[0])
    if "score" not in header:
        raise ManifestError(f"{path}: column 'score' is missing; it has: {listed(header)}")
    scores, marks = np.empty(len(rows)), np.empty(len(rows), bool)
    names = next((pair for pair in SIDES if set(pair) <= set(header)), None)
    whose = _source_columns(header)
    mark = next((name for name in LABELS if name in header), None)
    if mark is None and whose is None:
        raise ManifestError(f"{path}: needs 'target' or 'label', or 'enrolment_source' and 'test_source'")
    for place, row in enumerate(rows):
        where = f"{path}: row {place + 1}"
        scores[place] = _score(row["score"], where)
        marks[place] = _mark(row[mark], where) if mark else row[whose[0]] == row[whose[1]]  # type: ignore[index]
    if names is None and whose is None:
        nowhere = np.zeros(len(rows), np.int64)
        return measurable(ScoredTrials(scores, marks, nowhere, nowhere))
    # Without ids a source stands as one clip: enough to know whose a trial is.
    sides = [tuple(row[name] or "" for row in rows) for name in names or whose or ()]
    trials = measurable(ScoredTrials.from_list(Trials(sides[0], sides[1], marks), scores))
    return trials if whose is None else replace(trials, sources=_sources(rows, sides, whose, trials.ids, path))


def _source_columns(header: Sequence[str]) -> tuple[str, str] | None:
    return next((p for a, b in SIDES if set(p := (f"{a}_source", f"{b}_source")) <= set(header)), None)


def _sources(
    rows: Sequence[Mapping[str, str]],
    sides: Sequence[tuple[str, ...]],
    whose: tuple[str, str],
    clips: tuple[str, ...],
    path: object,
) -> tuple[str, ...]:
    source_by_id: dict[str, str] = {}
    for ids, column in zip(sides, whose, strict=True):
        for clip, row in zip(ids, rows, strict=True):
            if not row[column] or source_by_id.setdefault(clip, row[column]) != row[column]:
                raise ManifestError(f"{path}: clip {clip!r} has no source in {column!r}, or more than one")
    return tuple(source_by_id[clip] for clip in clips)


def _score(text: str | None, where: str) -> float:
    try:
        return number(text or "")
    except ValueError:
        infinite = (text or "").lower().lstrip("+-") in ("inf", "infinity", "nan")
        raise ManifestError(f"{where}: score {short(text)} is not {'finite' if infinite else 'a number'}") from None


def _mark(text: str | None, where: str) -> bool:
    word = (text or "").lower()
    if word not in TRUE + FALSE:
        raise ManifestError(f"{where}: mark {short(text)} is none of: {', '.join(TRUE + FALSE)}")
    return word in TRUE
