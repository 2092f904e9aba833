"""Figures of identification: which enrolled source made this clip, or none of them? With intervals over sources.

A *known* clip's source is enrolled, an *unknown* one's is not. A clip is given its best source where that scores at
least a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint.calibration.left_out import left_out_scores
from synthprint.errors import MetricError
from synthprint.metrics import weighted
from synthprint.shelves import Backend
from synthprint.types import IdentificationTrials, Labelled
from synthprint.validation.bootstrap import Figure, binned, intervals
from synthprint.validation.verification import TPR, Settings

FALSE_ALARMS = 0.05  # at which the open-set identification rate is given
WRONG, RIGHT, UNKNOWN = range(3)  # kinds of clips


@dataclass(frozen=True, eq=False)
class Identification:
    """How well clips are identified: figures by name, numbers of clips, and the OSCR curve (see `metrics.oscr_curve`).

    `how` says in words how known and unknown clips came about.
    """

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
    clips: Labelled, enrolled: Labelled, backend: Backend
) -> tuple[IdentificationTrials, IdentificationTrials]:
    """Clips against other clips, which are enrolled: the trials of known clips, and of unknown ones."""
    row = {name: i for i, name in enumerate(enrolled.names)}
    truth = np.array([row.get(source, -1) for source in clips.sources], np.int64)
    scores = backend.enrol(enrolled.vectors, enrolled.owners, enrolled.publishers)(clips.vectors)
    sources = np.asarray(clips.sources, dtype=object)
    trials = IdentificationTrials.from_matrix(scores, truth, sources, "other clips are enrolled", enrolled.names)
    return trials[truth >= 0], trials[truth < 0]


def left_out(clips: Labelled, backend: Backend) -> tuple[IdentificationTrials, IdentificationTrials]:
    """Clips against each other: known with the clip itself left out, unknown with its whole source."""
    owners, sources = clips.owners, np.asarray(clips.sources, dtype=object)
    scores, without = left_out_scores(clips.vectors, owners, backend, clips.publishers)
    several = np.isfinite(scores[owners, np.arange(len(owners))])  # not those that are alone in their source
    others = np.isfinite(without.max(axis=0))
    how = "every clip is asked twice: with itself left out of the enrolment, and with its whole source left out"
    nobody = np.full(int(others.sum()), -1)
    return (
        IdentificationTrials.from_matrix(scores[:, several], owners[several], sources[several], how, clips.names),
        IdentificationTrials.from_matrix(without[:, others], nobody, sources[others], how, clips.names),
    )


@dataclass(frozen=True, eq=False)
class _Clips:
    """Known and unknown clips, their sources numbered.

    Attributes:
        known, unknown: [K], [U] scores.
        correct: [K] bool.
        known_owners, unknown_owners: [K], [U] the true source.
        confusion: [S, S] known clips of the row's source that were answered with the column's.
    """

    known: np.ndarray
    unknown: np.ndarray
    correct: np.ndarray
    known_owners: np.ndarray
    unknown_owners: np.ndarray
    confusion: np.ndarray


def measure_identification(
    known_trials: IdentificationTrials, unknown_trials: IdentificationTrials, settings: Settings
) -> Identification:
    """All figures of known clips, whose trials have the names of their answers, and of unknown ones.

    Raises:
        MetricError: there is no known or no unknown clip.
    """
    if not len(known_trials) or not len(unknown_trials):
        missing = "known" if not len(known_trials) else "unknown"
        raise MetricError(f"no clip is {missing}: nothing can be said of open-set identification")
    clips = _numbered(known_trials, unknown_trials)
    return Identification(
        figures=_with_intervals(clips, settings),
        known=len(known_trials),
        unknown=len(unknown_trials),
        known_sources=len(np.unique(clips.known_owners)),
        unknown_sources=len(np.unique(clips.unknown_owners)),
        enrolled=known_trials.enrolled,
        how=known_trials.data,
        curve=metrics.oscr_curve(clips.known, clips.correct, clips.unknown),
    )


def _numbered(known: IdentificationTrials, unknown: IdentificationTrials) -> _Clips:
    true, answers, others = (np.asarray(side, dtype=object) for side in (known.sources, known.answers, unknown.sources))
    names, index = np.unique(np.concatenate([true, answers, others]), return_inverse=True)
    true_at, answer_at, other_at = np.split(index, np.cumsum([len(true), len(answers)]))
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (true_at, answer_at), 1)
    scores = [np.asarray(trials.scores, np.float64) for trials in (known, unknown)]
    return _Clips(scores[0], scores[1], true_at == answer_at, true_at, other_at, confusion)


def _values(clips: _Clips) -> dict[str, float | None]:
    known, correct, unknown = clips.known, clips.correct, clips.unknown
    return {
        "accuracy": float(correct.mean()),
        "macro_f1": macro_f1_present(clips.confusion, np.ones(len(clips.confusion))),
        "auroc": metrics.auroc(known, unknown),
        "fpr95_known_positive": metrics.fpr_at_tpr(known, unknown, TPR),
        "fpr95_unknown_positive": metrics.fpr_at_tpr(-unknown, -known, TPR),
        "oscr": metrics.oscr(known, correct, unknown),
        "identification_rate": metrics.identification_rate(known, correct, unknown, FALSE_ALARMS),
    }


def _with_intervals(clips: _Clips, settings: Settings) -> dict[str, Figure]:
    owners, n_sources = np.concatenate([clips.known_owners, clips.unknown_owners]), len(clips.confusion)
    kind = np.concatenate([clips.correct.astype(int), np.full(len(clips.unknown), UNKNOWN)])
    bins = binned(np.concatenate([clips.known, clips.unknown]), kind, owners, owners, n_sources)

    def replicate(times: np.ndarray) -> dict[str, float] | None:
        wrong_n, right_n, unknown_n = bins.counts(times)
        known_n = wrong_n + right_n
        if not known_n.any() or not unknown_n.any():
            return None
        share = float(right_n.sum() / known_n.sum())
        return {
            "accuracy": share,
            "macro_f1": macro_f1_present(clips.confusion, times),
            "auroc": weighted.auroc(known_n, unknown_n),
            "fpr95_known_positive": weighted.fpr_at_tpr(known_n, unknown_n, TPR),
            "fpr95_unknown_positive": weighted.fpr_at_tpr(unknown_n[::-1], known_n[::-1], TPR),
            "oscr": share * weighted.auroc(right_n, unknown_n) if right_n.any() else 0.0,
            "identification_rate": weighted.identification_rate(right_n, float(known_n.sum()), unknown_n, FALSE_ALARMS),
        }

    return intervals(replicate, _values(clips), np.unique(owners), n_sources, settings.replicates, settings.seed)


def macro_f1_present(confusion: np.ndarray, times: np.ndarray) -> float:
    """F1, averaged over the sources that occur in the truth; each source weighs as often as it was drawn.

    Args:
        confusion: [S, S] clips of the row's source that were answered with the column's.
        times: [S] how often each source was drawn.
    """
    drawn = confusion * times[:, None]
    true, answered, hits = drawn.sum(axis=1), drawn.sum(axis=0), drawn.diagonal()
    present = true > 0
    f1 = 2 * hits[present] / (true[present] + answered[present])
    return float((f1 * times[present]).sum() / times[present].sum())
