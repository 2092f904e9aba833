"""The trials to validate: of embeddings, or of any score file, with what is known of the clips."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthprint.calibration.trials import SourceTrials, pair_scores, pairs
from synthprint.errors import ManifestError, MetricError
from synthprint.rows import csv_rows, lines, listed, number
from synthprint.schemas import Refused, short
from synthprint.shelves import Backend
from synthprint.types import Scores, Trials, Utterance

MOST = 1_000_000  # pairs of each kind
SIDES = (("enrolment", "test"), ("enrol", "test"), ("enrollment", "test"), ("a", "b"), ("id1", "id2"))
LABELS = ("target", "label")
TRUE, FALSE = ("1", "true", "target", "yes"), ("0", "false", "nontarget", "non-target", "no")


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """K scored pairs of clips.

    Attributes:
        scores: [K] finite; higher means more likely the same source.
        target: [K] bool.
        first, second: [K] the clips, as an index into `clips`.
        clips: ids. Empty, and both indices too, where a file names none.
        sources: of each clip; None where that is not known.
        utterances: of each clip, where a manifest was given.

    Raises:
        MetricError: a score is not finite, or there is no target or no nontarget pair.
    """

    scores: np.ndarray
    target: np.ndarray
    first: np.ndarray
    second: np.ndarray
    clips: tuple[str, ...]
    sources: tuple[str, ...] | None = None
    utterances: tuple[Utterance, ...] | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.scores).all():
            raise MetricError(f"{int((~np.isfinite(self.scores)).sum())} of {len(self.scores)} scores are not finite")
        if not 0 < self.target.sum() < len(self.target):
            raise MetricError(f"{len(self.target)} pairs, but none is a {'non' if self.target.any() else ''}target")

    def __getitem__(self, chosen: np.ndarray) -> ScoredPairs:
        """The pairs that a mask [K] chooses."""
        parts = {name: getattr(self, name)[chosen] for name in ("scores", "target", "first", "second")}
        return replace(self, **parts)

    def with_manifest(self, utterances: Sequence[Utterance]) -> ScoredPairs:
        """The pairs whose clips a manifest has, with what it knows of them.

        Raises:
            MetricError: no pair is left, or a kind of them.
            ManifestError: the manifest contradicts the marks of the file.
        """
        known = {u.id: u for u in utterances}
        here = np.array([clip in known for clip in self.clips], bool)
        if not here.any():
            raise ManifestError(
                f"none of the {len(self.clips):,} clips of the scores is in the manifest; one is {self.clips[:1]}"
            )
        kept = self[here[self.first] & here[self.second]]
        place = np.cumsum(here) - 1
        found = tuple(known[clip] for clip, there in zip(self.clips, here.tolist(), strict=True) if there)
        first, second = place[kept.first], place[kept.second]
        sources = np.array([u.source for u in found], dtype=object)
        wrong = int(((sources[first] == sources[second]) != kept.target).sum())
        if wrong:
            raise ManifestError(
                f"{wrong:,} of {len(first):,} pairs are marked otherwise than the manifest's sources say"
            )
        ids = tuple(u.id for u in found)
        return ScoredPairs(kept.scores, kept.target, first, second, ids, tuple(sources.tolist()), found)

    def source_trials(self) -> SourceTrials | None:
        """As trials between sources; None where the sources are not known."""
        if self.sources is None:
            return None
        names, owners = np.unique(np.array(self.sources, dtype=object), return_inverse=True)
        sides = owners[self.first], owners[self.second]
        return SourceTrials(
            self.scores, self.target, *sides, tuple(names.tolist()), "clip against clip", "", len(owners)
        )


def scored_pairs(
    vectors: np.ndarray, utterances: Sequence[Utterance], backend: Backend | None = None, most: int = MOST
) -> ScoredPairs:
    """All pairs of the clips of embeddings [N, D], or where they are too many, every k-th of each kind.

    Args:
        vectors: [N, D].
        utterances: N, in the same order.
        backend: fitted; None is the cosine.
        most: about how many pairs of each kind are taken.
    """
    sources = np.array([u.source for u in utterances], dtype=object)
    owners = np.unique(sources, return_inverse=True)[1]
    first, second = (np.concatenate(side) for side in zip(*pairs(owners, most), strict=True))
    scores = pair_scores(vectors, first, second, backend)
    ids = tuple(u.id for u in utterances)
    return ScoredPairs(
        scores, owners[first] == owners[second], first, second, ids, tuple(sources.tolist()), tuple(utterances)
    )


def read_scores(path: str | os.PathLike[str]) -> ScoredPairs:
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
        scores = Scores.load(path)
        if not len(scores.values):
            raise ManifestError(
                f"{path}: is empty; a file of scores has a CSV's header, or '1 enrolment test score' a line"
            )
        return of_scores(scores)
    except MetricError as error:
        raise MetricError(f"{path}: {error}") from error


def of_scores(scores: Scores) -> ScoredPairs:
    """Scores of a list of trials, of which only the ids are known."""
    return _indexed(scores.trials, np.asarray(scores.values, np.float64))


def _is_csv(path: str | os.PathLike[str]) -> bool:
    try:
        return "," in next(lines(path), "")
    except (OSError, Refused) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ManifestError(f"{path}: cannot be read as scores: {why}") from error


def _from_csv(path: str | os.PathLike[str]) -> ScoredPairs:
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
        nothing = np.zeros(len(rows), np.int64)
        return ScoredPairs(scores, marks, nothing, nothing, ())
    # Without ids a source stands as one clip: enough to know whose a trial is.
    sides = [tuple(row[name] or "" for row in rows) for name in names or whose or ()]
    made = _indexed(Trials(sides[0], sides[1], marks), scores)
    return made if whose is None else replace(made, sources=_sources(rows, sides, whose, made.clips, path))


def _source_columns(header: Sequence[str]) -> tuple[str, str] | None:
    return next((p for one, other in SIDES if set(p := (f"{one}_source", f"{other}_source")) <= set(header)), None)


def _sources(
    rows: Sequence[Mapping[str, str]],
    sides: Sequence[tuple[str, ...]],
    whose: tuple[str, str],
    clips: tuple[str, ...],
    path: object,
) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for ids, column in zip(sides, whose, strict=True):
        for clip, row in zip(ids, rows, strict=True):
            if not row[column] or found.setdefault(clip, row[column]) != row[column]:
                raise ManifestError(f"{path}: clip {clip!r} has no source in {column!r}, or more than one")
    return tuple(found[clip] for clip in clips)


def _indexed(trials: Trials, scores: np.ndarray) -> ScoredPairs:
    place: dict[str, int] = {}
    first, second = (
        np.array([place.setdefault(key, len(place)) for key in side], np.int64)
        for side in (trials.enrolment, trials.test)
    )
    return ScoredPairs(scores, trials.target, first, second, tuple(place))


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
