"""How well scores tell targets from nontargets, and decisions right from wrong; a task is a file.

Scores or labels in, one number (or a curve) out: `metrics.eer(target, nontarget)`. `weighted` has the same figures of
weighted counts.

Conventions
    A higher score always means more likely the same source (or more likely the class named positive).
    A trial is accepted where score >= threshold. Trials with equal scores are accepted together.
    Rates and areas are fractions in 0 ... 1, not percent. `cllr`, `cllr_min` and `ece` are in bits.
    Scores are one-dimensional; none may be missing or NaN. `docs/conventions.md` compares with other tools.

Metrics
    det, eer, eer_threshold, min_dcf             verification
    cllr, cllr_min, ece                          likelihood ratios
    auroc, fpr_at_tpr                            detection
    oscr, oscr_curve, identification_rate        open-set identification
    accuracy, balanced_accuracy, macro_f1        identification
"""

from __future__ import annotations

from synthprint.metrics.detection import auroc as auroc
from synthprint.metrics.detection import fpr_at_tpr as fpr_at_tpr
from synthprint.metrics.identification import accuracy as accuracy
from synthprint.metrics.identification import balanced_accuracy as balanced_accuracy
from synthprint.metrics.identification import macro_f1 as macro_f1
from synthprint.metrics.likelihood_ratios import cllr as cllr
from synthprint.metrics.likelihood_ratios import cllr_min as cllr_min
from synthprint.metrics.likelihood_ratios import ece as ece
from synthprint.metrics.likelihood_ratios import pool_adjacent_violators as pool_adjacent_violators
from synthprint.metrics.open_set import identification_rate as identification_rate
from synthprint.metrics.open_set import oscr as oscr
from synthprint.metrics.open_set import oscr_curve as oscr_curve
from synthprint.metrics.verification import Crossing as Crossing
from synthprint.metrics.verification import Det as Det
from synthprint.metrics.verification import crossing as crossing
from synthprint.metrics.verification import det as det
from synthprint.metrics.verification import eer as eer
from synthprint.metrics.verification import eer_threshold as eer_threshold
from synthprint.metrics.verification import min_dcf as min_dcf
from synthprint.metrics.verification import rates as rates
from synthprint.metrics.verification import threshold_at as threshold_at
