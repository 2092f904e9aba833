"""Open-set identification: utterances of enrolled sources named rightly, those of unknown ones refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthprint.errors import MetricError
from synthprint.metrics.detection import auroc
from synthprint.metrics.inputs import checked_scores


def oscr(enrolled: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> float:
    """Area under the open-set classification rate curve (Dhamija et al., "Reducing network agnostophobia", 2018).

    The curve: correct classification rate (utterances of enrolled sources that are identified rightly and score >=
    threshold) over false positive rate (unknown utterances that score >= threshold), over all thresholds, ties
    together, joined by straight lines. At most the closed-set accuracy.

    Args:
        enrolled: [K] scores of utterances of enrolled sources, such as the score of the best source.
        correct: [K] bool, whether each was identified rightly.
        unknown: [U] scores of utterances of sources that are not enrolled.

    Raises:
        MetricError: a side is empty, lengths differ, or a score is NaN.
    """
    enrolled, right, unknown = _checked(enrolled, correct, unknown)
    if not right.any():
        return 0.0
    # The area is the chance that one of an enrolled source is identified rightly and scores above an unknown one.
    return auroc(enrolled[right], unknown) * float(right.mean())


def oscr_curve(enrolled: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The curve whose area is `oscr`: (false positive rate, correct classification rate), from rejecting all.

    Raises:
        MetricError: as for `oscr`.
    """
    enrolled, right, unknown = _checked(enrolled, correct, unknown)
    thresholds = np.unique(np.concatenate([enrolled, unknown]))[::-1]
    accepted_right, accepted_unknown = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, "left") for scores in (enrolled[right], unknown)
    )
    return np.append(0, accepted_unknown / len(unknown)), np.append(0, accepted_right / len(enrolled))


def identification_rate(enrolled: ArrayLike, correct: ArrayLike, unknown: ArrayLike, far: float = 0.05) -> float:
    """Open-set identification rate: enrolled sources identified rightly and accepted, at a false alarm rate.

    The detection and identification rate at rank 1 (Phillips, Grother and Micheals, "Evaluation methods in face
    recognition", 2011), at the lowest threshold that accepts at most `far` of the unknown utterances. Nothing is
    interpolated.

    Args:
        enrolled, correct, unknown: as for `oscr`.
        far: the largest fraction of unknown utterances that may be accepted.

    Raises:
        MetricError: as for `oscr`; `far` is not in 0 ... 1 (1 out).
    """
    if not 0 <= far < 1:
        raise MetricError(f"the false alarm rate must be in 0 ... 1 (1 out), not {far}")
    p_fa, rate = oscr_curve(enrolled, correct, unknown)
    return float(rate[np.flatnonzero(p_fa <= far + 1e-12)[-1]])


def _checked(enrolled: ArrayLike, correct: ArrayLike, unknown: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scores of enrolled sources [K], whether each was identified rightly [K], and the unknown ones' [U]."""
    scores, right = checked_scores(enrolled, "enrolled"), np.asarray(correct)
    if scores.shape != right.shape:
        raise MetricError(
            f"{len(scores)} scores of enrolled sources need as many marks of right or wrong, not {list(right.shape)}"
        )
    return scores, np.asarray(correct, dtype=bool), checked_scores(unknown, "unknown")
