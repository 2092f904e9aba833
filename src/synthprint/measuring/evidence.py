"""What likelihood ratios fitted on clean clips are worth where the clip examined is not clean.

*Conventions.* Sources are dealt into folds, and a trial is read by the calibration that was fitted on the clean clips
of all other folds: no calibration has seen the sources that it is tested on. So a trial counts where both its sources
are in one fold, as in `calibration.fitting.cross_fitted`; sources weigh alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthprint.calibration.calibration import Quality
from synthprint.calibration.fitting import FOLDS, CrossFitted, deal_folds, fit
from synthprint.calibration.trials import calibratable, clip_pairs
from synthprint.types import Labelled, ScoredTrials

WEIGHTING = "sources"


class Folds:
    """Calibrations of clip against clip, each fitted without the sources of one fold.

    Args:
        clean: clips as they are, and whose they are.

    Raises:
        CalibrationError: there are too few sources, or clips of them.
    """

    def __init__(self, clean: Labelled) -> None:
        trials = clip_pairs(clean)
        n_folds = max(1, min(FOLDS, len(trials.names) // 2))
        self._sources, self._fold = trials.names, deal_folds(trials, n_folds)
        first, second = (self._fold[side] for side in trials.owners)
        self._calibrations = [
            fit(trials[(first != held) & (second != held)], weighting=WEIGHTING) for held in range(n_folds)
        ]

    def quality(
        self, scores: np.ndarray, counted: np.ndarray, clean: Sequence[str], degraded: Sequence[str]
    ) -> Quality:
        """How good the LRs of these scores are.

        Args:
            scores: of each clean clip with each degraded one, [N, M].
            counted: [N, M] bool: which of these trials are.
            clean, degraded: their sources.

        Raises:
            CalibrationError: no target or no nontarget trial lies within a fold.
        """
        at = {name: i for i, name in enumerate(self._sources)}
        first, second = (np.array([at.get(name, -1) for name in side]) for side in (clean, degraded))
        folds = [np.where(side >= 0, self._fold[side], -1) for side in (first, second)]
        both = (folds[0] >= 0)[:, None] & (folds[0][:, None] == folds[1])
        rows, columns = np.nonzero(counted & both)
        first, second, scores = first[rows], second[columns], scores[rows, columns]
        trials = calibratable(
            ScoredTrials(scores, first == second, first, second, self._sources, "clean clip against degraded clip")
        )
        log10_lr, clipped = np.empty(len(trials)), np.empty(len(trials), np.int8)
        for held, calibration in enumerate(self._calibrations):
            here = self._fold[first] == held
            log10_lr[here], clipped[here] = calibration.apply(scores[here]), calibration.clipped(scores[here])
        crossed = CrossFitted(trials, np.arange(len(trials)), log10_lr, clipped, len(self._calibrations))
        return crossed.quality(WEIGHTING)
