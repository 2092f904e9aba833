"""Trials with their scores: `ScoredTrials` of two sides, `IdentificationTrials` of a clip against enrolled sources.

Both say whose the trials are, so that sources, and not trials, can be weighed and drawn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from synthprint import files
from synthprint.errors import CalibrationError, EmbeddingsError, ManifestError
from synthprint.types.manifest import Utterance
from synthprint.types.provenance import sorted_numbers
from synthprint.types.trials import Trials, read_columns, read_label, read_score, trial_lines
from synthprint.types.weights import WEIGHTINGS, Weights, even_weights, share_weights, unit_weights


@dataclass(frozen=True, eq=False)
class ScoredTrials:
    """K scored trials, and what stands on either side of each: a clip, or several clips of one source.

    Attributes:
        scores: [K] float; higher means more likely a target.
        target: [K] bool, true where the source is the same.
        first, second: [K] what stands on each side, as an index into `sources` and `ids`.
        sources: of what stands on a side; None where that is on nobody's record.
        compared: what a trial is, in words, such as "clip against clip".
        backend: what scored, by its name on the shelf.
        clips: number of clips that took part.
        data, extractor: where they come from, in words, and the digest of what embedded them.
        ids: of what stands on a side, where that is a clip; else none.
        utterances: the same, where a manifest has them; else none.
        shares: [K] what each trial weighs, where that was decided beforehand and not by a weighting; else None.
        publishers: of what stands on a side; None where one of them is not on record.
        groups: of what stands on a side, its page group, or where it has none its publisher; None as with `publishers`.

    Raises:
        EmbeddingsError: there are not as many scores as trials.
        CalibrationError: a trial names a source that is not there.
    """

    scores: np.ndarray
    target: np.ndarray
    first: np.ndarray
    second: np.ndarray
    sources: tuple[str, ...] | None = None
    compared: str = "clip against clip"
    backend: str = ""
    clips: int = 0
    data: str = ""
    extractor: str = ""
    ids: tuple[str, ...] = ()
    utterances: tuple[Utterance, ...] = ()
    shares: np.ndarray | None = None
    publishers: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores)
        object.__setattr__(self, "scores", scores if scores.dtype.kind == "f" else scores.astype(np.float64))
        object.__setattr__(self, "target", np.asarray(self.target, bool))
        for name in ("first", "second"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))
        shapes = {array.shape for array in (self.target, self.first, self.second)}
        if shapes != {self.scores.shape} or self.scores.ndim != 1:
            raise EmbeddingsError(f"{len(self.target)} trials need as many scores, not {list(self.scores.shape)}")
        if self.sources is not None and len(self):
            sides = np.concatenate([self.first, self.second])
            if not 0 <= sides.min() <= sides.max() < len(self.sources):
                raise CalibrationError(f"a trial names a source outside the {len(self.sources)}")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, selection: np.ndarray) -> ScoredTrials:
        """The trials that a mask [K], or indices, select."""
        parts = {name: getattr(self, name)[selection] for name in ("scores", "target", "first", "second")}
        return replace(self, **parts, shares=None if self.shares is None else self.shares[selection])

    @property
    def target_scores(self) -> np.ndarray:
        """Scores of the target trials."""
        return self.scores[self.target]

    @property
    def nontarget_scores(self) -> np.ndarray:
        """Scores of the nontarget trials."""
        return self.scores[~self.target]

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct sources, sorted; those that no trial names included."""
        return self._numbered[0]

    @property
    def owners(self) -> tuple[np.ndarray, np.ndarray]:
        """[K] the source on the first side and on the second, as an index into `names`."""
        return self._numbered[1][self.first], self._numbered[1][self.second]

    @cached_property
    def _numbered(self) -> tuple[tuple[str, ...], np.ndarray]:
        if self.sources is None:
            raise CalibrationError(f"{self.compared}: the sources of the trials are not on record")
        return sorted_numbers(self.sources)

    @property
    def n_sources(self) -> int:
        """How many sources take part in a trial."""
        return len(np.unique(np.concatenate(self.owners)))

    @cached_property
    def _publishers(self) -> tuple[tuple[str, ...], np.ndarray]:
        if self.publishers is None:
            raise CalibrationError(f"{self.compared}: the publishers of the trials are not on record")
        return sorted_numbers(self.publishers)

    @property
    def n_publishers(self) -> int:
        """How many publishers take part in a trial; 0 where they are not on record."""
        return 0 if self.publishers is None else len(np.unique(np.concatenate(self.units("publishers")[1])))

    @property
    def crossed(self) -> np.ndarray:
        """[K] bool, whether two publishers put the two sides out; false where they are not on record."""
        if self.publishers is None:
            return np.zeros(len(self), bool)
        first, second = self.units("publishers")[1]
        return np.asarray(first != second)

    @property
    def same_group(self) -> np.ndarray:
        """[K] bool, whether both sides are of one page group, or of one publisher that has none."""
        if self.groups is None:
            return np.zeros(len(self), bool)
        groups = sorted_numbers(self.groups)[1]
        return np.asarray(groups[self.first] == groups[self.second])

    def units(self, weighting: str) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
        """What is one observation: publishers, where these count alike, else sources.

        Returns:
            Their names, sorted, and [K] the one on the first side and on the second.
        """
        names, numbers = self._publishers if weighting == "publishers" else self._numbered
        return names, (numbers[self.first], numbers[self.second])

    def weights(self, weighting: str) -> Weights:
        """What each trial weighs: "trials" all alike; "sources" as in the source-balanced EER; "publishers" likewise.

        With "sources", a target trial of source k weighs 1 / (K T_k), and a nontarget trial of sources j and k
        1 / (2 N_j) + 1 / (2 N_k) over the number of sources, T_k and N_k being the numbers of trials of a source.
        Where trials have `shares`, each weighs its share among its kind.

        With "publishers", a side weighs 1 / (K_p N_pk): p is its publisher, with K_p sources in trials of the kind, and
        N_pk the number of sides of its source k there. Every publisher counts alike, and within it every source.
        Targets of two publishers, and those of one, weigh CROSSED_SHARE and the rest, where there are both.

        Raises:
            CalibrationError: there is no such weighting.
        """
        if weighting not in WEIGHTINGS:
            raise CalibrationError(f"weighting {weighting!r} is not one of: {', '.join(WEIGHTINGS)}")
        if self.shares is not None:
            return share_weights(self.target, self.shares, self.owners)
        if weighting == "trials":
            return even_weights(self.target)
        crossed = self.crossed if weighting == "publishers" else np.zeros(len(self), bool)
        return unit_weights(self.target, crossed, self.units(weighting)[1], self.owners)

    @classmethod
    def from_list(cls, trials: Trials, scores: np.ndarray) -> ScoredTrials:
        """The trials of a list with their scores [K].

        Raises:
            EmbeddingsError: there are more or fewer scores than trials, or one is not a number.
        """
        scores, place = np.asarray(scores), dict[str, int]()
        if scores.shape == (len(trials),) and np.isnan(scores).any():
            number = int(np.flatnonzero(np.isnan(scores))[0]) + 1
            raise EmbeddingsError(f"the score of trial {number} is not a number")
        first, second = (
            np.array([place.setdefault(key, len(place)) for key in side], np.int64)
            for side in (trials.enrolment, trials.test)
        )
        return cls(scores, trials.target, first, second, clips=len(place), ids=tuple(place))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `1 enrolment test score` a line.

        Raises:
            ManifestError: an id holds white space, or the trials have no ids.
        """
        if len(self) and not self.ids:
            raise ManifestError(f"{self.compared}: trials without ids cannot stand in a list of trials")
        enrolment, test = (tuple(self.ids[i] for i in side.tolist()) for side in (self.first, self.second))
        rows = zip(trial_lines(Trials(enrolment, test, self.target)), self.scores.tolist(), strict=True)
        files.write_text(Path(path), "".join(f"{line} {score!r}\n" for line, score in rows))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ScoredTrials:
        """Read `1 enrolment test score` a line.

        Raises:
            ManifestError: the file is missing or a line has another form.
        """
        target, enrolment, test, scores = read_columns(
            path, "0|1 enrolment test score", (read_label, str, str, read_score)
        )
        return cls.from_list(Trials(enrolment, test, np.array(target, dtype=bool)), np.array(scores, dtype=np.float64))


@dataclass(frozen=True)
class TrialCount:
    """How many trials there were, of how many sources, and where they came from."""

    clips: int
    sources: int
    data: str


@dataclass(frozen=True, eq=False)
class IdentificationTrials:
    """K clips, each against all enrolled sources: what the best of them is, before any threshold.

    Attributes:
        scores: [K] of the best source.
        leads: [K] by how much it is ahead of the second (infinite where there is no second).
        correct: [K] bool, whether it is the true source.
        sources: K true sources.
        data: where the clips came from, in words.
        answers: K best sources, where their names were given; else none.
        enrolled: number of enrolled sources.
    """

    scores: np.ndarray
    leads: np.ndarray
    correct: np.ndarray
    sources: Sequence[str] | np.ndarray
    data: str = ""
    answers: Sequence[str] | np.ndarray = ()
    enrolled: int = 0

    @classmethod
    def from_matrix(
        cls,
        scores: np.ndarray,
        truth: np.ndarray,
        sources: Sequence[str] | np.ndarray,
        data: str = "",
        names: Sequence[str] | np.ndarray = (),
    ) -> IdentificationTrials:
        """Read the answers off scores [S, T].

        Args:
            truth: [T] each clip's row, or -1 for a source that is not enrolled.
            sources: T true sources.
            names: of the S rows, where the answers are to have them.
        """
        best = scores.max(axis=0)
        second = np.partition(scores, -2, axis=0)[-2] if len(scores) > 1 else np.full_like(best, -np.inf)
        rows = scores.argmax(axis=0)
        answers = np.asarray(names, dtype=object)[rows] if len(names) else ()
        return cls(best, best - second, rows == truth, sources, data, answers, len(scores))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, selection: np.ndarray) -> IdentificationTrials:
        """The clips that a mask [K], or indices, select."""
        parts = {name: getattr(self, name)[selection] for name in ("scores", "leads", "correct")}
        names = {
            name: np.asarray(getattr(self, name), dtype=object)[selection]
            for name in ("sources", "answers")
            if len(getattr(self, name))
        }
        return replace(self, **parts, **names)

    @property
    def weights(self) -> np.ndarray:
        """[K], the same for every source in sum, and 1 in all."""
        _, owner, counts = np.unique(self.sources, return_inverse=True, return_counts=True)
        return 1.0 / (len(counts) * counts[owner])

    @property
    def count(self) -> TrialCount:
        """How many clips and sources."""
        return TrialCount(len(self.scores), len(set(self.sources)), self.data)
