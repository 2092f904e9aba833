"""Figures of identification: which enrolled source made this clip, or none of them? With intervals over sources.

A *known* clip's source is enrolled, an *unknown* one's is not. A clip is given its best source where that scores at
least a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint import weighted_metrics as weighted
from synthprint.calibration.left_out import left_out_scores
from synthprint.errors import MetricError
from synthprint.shelves import Backend
from synthprint.validation.bootstrap import Figure, binned, intervals
from synthprint.validation.verification import TPR, Settings

FALSE_ALARMS = 0.05  # at which the open-set identification rate is given
WRONG, RIGHT, UNKNOWN = range(3)  # kinds of clips


@dataclass(frozen=True, eq=False)
class Answers:
    """The best source of clips, before any threshold.

    Attributes:
        known_source, known_answer: [K] the true source of each known clip, and the best one.
        known_score: [K] its score.
        unknown_source, unknown_score: [U] the true source of each unknown clip, and the score of its best one.
        enrolled: number of enrolled sources.
        how: how known and unknown clips came about, in words.
    """

    known_source: Sequence[str] | np.ndarray
    known_answer: Sequence[str] | np.ndarray
    known_score: np.ndarray
    unknown_source: Sequence[str] | np.ndarray
    unknown_score: np.ndarray
    enrolled: int
    how: str


@dataclass(frozen=True, eq=False)
class Identification:
    """What was found of answers: figures by name, numbers of clips, and the OSCR curve (see `metrics.oscr_curve`)."""

    figures: Mapping[str, Figure]
    known: int
    unknown: int
    known_sources: int
    unknown_sources: int
    enrolled: int
    how: str
    curve: tuple[np.ndarray, np.ndarray]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the curve."""
        counts = ("known", "unknown", "known_sources", "unknown_sources", "enrolled", "how")
        return {name: getattr(self, name) for name in counts} | {
            name: figure.to_dict() for name, figure in self.figures.items()
        }


def against_enrolled(
    vectors: np.ndarray, sources: Sequence[str], enrolled: np.ndarray, enrolled_sources: Sequence[str], backend: Backend
) -> Answers:
    """Clips [T, D] and their sources against other clips [N, D], which are enrolled."""
    names, owners = np.unique(np.asarray(enrolled_sources, dtype=object), return_inverse=True)
    scores = backend.enrol(enrolled, owners)(vectors)
    whose, answer, best = np.asarray(sources, dtype=object), names[scores.argmax(axis=0)], scores.max(axis=0)
    known = np.isin(whose, names)
    return Answers(
        whose[known], answer[known], best[known], whose[~known], best[~known], len(names), "other clips are enrolled"
    )


def left_out(vectors: np.ndarray, sources: Sequence[str], backend: Backend) -> Answers:
    """Clips [N, D] against each other: known with the clip itself left out, unknown with its whole source."""
    names, owners = np.unique(np.asarray(sources, dtype=object), return_inverse=True)
    scores, without = left_out_scores(vectors, owners, backend)
    known = np.isfinite(scores[owners, np.arange(len(owners))])
    whose = names[owners]
    answer, best, other = names[scores.argmax(axis=0)], scores.max(axis=0), without.max(axis=0)
    there = np.isfinite(other)
    how = "every clip is asked twice: with itself left out of the enrolment, and with its whole source left out"
    return Answers(whose[known], answer[known], best[known], whose[there], other[there], len(names), how)


def identification(answers: Answers, settings: Settings) -> Identification:
    """All figures of answers.

    Raises:
        MetricError: there is no known or no unknown clip.
    """
    if not len(answers.known_score) or not len(answers.unknown_score):
        missing = "known" if not len(answers.known_score) else "unknown"
        raise MetricError(f"no clip is {missing}: nothing can be said of open-set identification")
    true, answer = (np.asarray(side, dtype=object) for side in (answers.known_source, answers.known_answer))
    names, index = np.unique(
        np.concatenate([true, answer, np.asarray(answers.unknown_source, dtype=object)]), return_inverse=True
    )
    true_at, answer_at, unknown_at = np.split(index, np.cumsum([len(true), len(answer)]))
    right = true_at == answer_at
    known, unknown = (np.asarray(side, np.float64) for side in (answers.known_score, answers.unknown_score))
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (true_at, answer_at), 1)
    values: dict[str, float | None] = {
        "accuracy": float(right.mean()),
        "macro_f1": macro_f1_present(confusion, np.ones(len(names))),
        "auroc": metrics.auroc(known, unknown),
        "fpr95_known_positive": metrics.fpr_at_tpr(known, unknown, TPR),
        "fpr95_unknown_positive": metrics.fpr_at_tpr(-unknown, -known, TPR),
        "oscr": metrics.oscr(known, right, unknown),
        "identification_rate": metrics.identification_rate(known, right, unknown, FALSE_ALARMS),
    }
    owners = np.concatenate([true_at, unknown_at])
    kind = np.concatenate([right.astype(int), np.full(len(unknown), UNKNOWN)])
    bins = binned(np.concatenate([known, unknown]), kind, owners, owners, len(names))

    def replicate(times: np.ndarray) -> dict[str, float] | None:
        wrong_n, right_n, unknown_n = bins.counts(times)
        known_n = wrong_n + right_n
        if not known_n.any() or not unknown_n.any():
            return None
        share = float(right_n.sum() / known_n.sum())
        return {
            "accuracy": share,
            "macro_f1": macro_f1_present(confusion, times),
            "auroc": weighted.auroc(known_n, unknown_n),
            "fpr95_known_positive": weighted.fpr_at_tpr(known_n, unknown_n, TPR),
            "fpr95_unknown_positive": weighted.fpr_at_tpr(unknown_n[::-1], known_n[::-1], TPR),
            "oscr": share * weighted.auroc(right_n, unknown_n) if right_n.any() else 0.0,
            "identification_rate": weighted.identification_rate(right_n, float(known_n.sum()), unknown_n, FALSE_ALARMS),
        }

    figures = intervals(replicate, values, np.unique(owners), len(names), settings.replicates, settings.seed)
    return Identification(
        figures=figures,
        known=len(known),
        unknown=len(unknown),
        known_sources=len(np.unique(true_at)),
        unknown_sources=len(np.unique(unknown_at)),
        enrolled=answers.enrolled,
        how=answers.how,
        curve=metrics.oscr_curve(known, right, unknown),
    )


def macro_f1_present(confusion: np.ndarray, times: np.ndarray) -> float:
    """F1, averaged over the sources that occur in the truth; each source weighs as often as it was drawn.

    Args:
        confusion: [S, S] clips of the row's source that were answered with the column's.
        times: [S] how often each source was drawn.
    """
    drawn = confusion * times[:, None]
    true, answered, hits = drawn.sum(axis=1), drawn.sum(axis=0), drawn.diagonal()
    there = true > 0
    f1 = 2 * hits[there] / (true[there] + answered[there])
    return float((f1 * times[there]).sum() / times[there].sum())
