"""How good a detector of human speech is: by kind of synthetic speech, over all pages and within a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthprint import metrics
from synthprint.measuring.rounding import rounded
from synthprint.metrics import weighted
from synthprint.types import HUMAN
from synthprint.validation.bootstrap import CONFIDENCE, draws

REPLICATES = 1000  # of the bootstrap over publishers
DECIMALS = 4
LN10 = float(np.log(10))


@dataclass(frozen=True, eq=False)
class JudgedClips:
    """N clips that a detector judged.

    Attributes:
        human: [N] bool, whether a person spoke.
        publishers, kinds: [N] names.
        scores: [N] of the detector.
        log10_lr: [N] human against synthetic speech.
        shares: [N] what each weighs over all kinds together.
    """

    human: np.ndarray
    publishers: np.ndarray
    kinds: np.ndarray
    scores: np.ndarray
    log10_lr: np.ndarray
    shares: np.ndarray

    def __getitem__(self, selection: np.ndarray) -> JudgedClips:
        """Those that a mask [N] selects."""
        parts = (self.human, self.publishers, self.kinds, self.scores, self.log10_lr, self.shares)
        return JudgedClips(*(part[selection] for part in parts))


def figures(clips: JudgedClips, least_log10_lr: float) -> dict[str, Any]:
    """What a detector does on some clips, for JSON.

    Returns:
        "all", and "kinds": kind -> figures of human speech against synthetic speech of all kinds in their shares, and
        of one kind, publishers counting alike; "human": how human clips are answered. See docs/human.md.
    """
    kinds = sorted(set(clips.kinds.tolist()) - {HUMAN})
    weighing = clips[clips.shares > 0]
    by_kind = {}
    for kind in kinds:
        some = clips[clips.human | (clips.kinds == kind)]
        by_kind[kind] = _against(some, publisher_shares(some)) | _answers(some[~some.human], least_log10_lr)
    people = clips[clips.human]
    found = {
        "all": {} if weighing.human.all() else _against(weighing, weighing.shares) | {"cllr": _cllr(weighing)},
        "human": {"clips": len(people.scores), "publishers": _count(people)} | _answers(people, least_log10_lr),
        "kinds": by_kind,
    }
    table: dict[str, Any] = rounded(found, DECIMALS)
    return table


def _count(clips: JudgedClips) -> int:
    return len(set(clips.publishers.tolist()))


def publisher_shares(clips: JudgedClips) -> np.ndarray:
    """[N] the same for every publisher in sum, on either side."""
    shares = np.zeros(len(clips.scores))
    for side in (clips.human, ~clips.human):
        _, owner, counts = np.unique(clips.publishers[side], return_inverse=True, return_counts=True)
        shares[side] = 1.0 / (len(counts) * counts[owner])
    return shares


def _against(clips: JudgedClips, shares: np.ndarray) -> dict[str, Any]:
    """Human against synthetic speech: over all pages, with an interval over publishers, and within a page."""
    names, owner = np.unique(clips.publishers, return_inverse=True)
    order = weighted.Ordered(clips.scores, clips.human)
    drawn = []
    for times in draws(len(names), REPLICATES, seed=0):
        weights = shares * times[owner]
        if weights[clips.human].any() and weights[~clips.human].any():
            drawn.append(weighted.auroc(*order.sides(weights)))
    tail = 50 * (1 - CONFIDENCE)
    within = list(_within_pages(clips))
    synthetic = clips[~clips.human]
    return {
        "clips": len(synthetic.scores),
        "publishers": _count(synthetic),
        "auroc": weighted.auroc(*order.sides(shares)),
        "auroc_interval": [round(float(bound), DECIMALS) for bound in np.percentile(drawn, [tail, 100 - tail])],
        "eer": weighted.eer(*order.sides(shares)),
        "within_pages": {"pages": len(within), "auroc": float(np.mean(within)) if within else None},
    }


def _within_pages(clips: JudgedClips) -> Iterator[float]:
    """AUROC of each publisher's own human against its own synthetic clips."""
    for publisher in sorted(set(clips.publishers.tolist())):
        own = clips[clips.publishers == publisher]
        if 0 < own.human.sum() < len(own.human):
            yield metrics.auroc(own.scores[own.human], own.scores[~own.human])


def _cllr(clips: JudgedClips) -> float:
    """In bits, by the shares."""
    bits = np.logaddexp(0, np.where(clips.human, -1, 1) * clips.log10_lr * LN10) / np.log(2)
    return float(bits @ clips.shares) / 2


def _answers(clips: JudgedClips, least_log10_lr: float) -> dict[str, Any]:
    """How often clips of one side are called human, synthetic, or neither; publishers count alike."""
    shares = publisher_shares(clips)
    clear = np.abs(clips.log10_lr) >= least_log10_lr
    told = {"human": clear & (clips.log10_lr > 0), "synthetic": clear & (clips.log10_lr <= 0), "unclear": ~clear}
    return {"answers": {name: float(shares[mask].sum()) for name, mask in told.items()}}
