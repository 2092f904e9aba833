"""The crossed evaluation of a model: on the publishers that training never met, split by split."""

from __future__ import annotations

from typing import Any

from synthprint.measuring.held_out_clips import HeldOutClips
from synthprint.measuring.rounding import rounded
from synthprint.types import Labelled
from synthprint.validation.bootstrap import REPLICATES
from synthprint.validation.crossed import crossed_evaluation

DECIMALS = 5
WITHIN, AMONG_ALL = "within", "among_all"


def crossed_measurements(clips: HeldOutClips, replicates: int = REPLICATES) -> dict[str, Any]:
    """EERs by whether one publisher put both clips out, and known systems from new publishers.

    Args:
        replicates: of the bootstrap over publishers; 0 for no intervals.

    Returns:
        Split -> "within", its clips against each other, and "among_all", its clips against all others: what
        `validation.crossed_result.CrossedEvaluation.to_dict` gives. Nothing where publishers are not at hand.
    """
    if not clips.by_publisher:
        return {}
    embedded = set(clips.embeddings.ids)
    manifest = clips.manifest.filter(lambda u: u.id in embedded)
    labelled = Labelled.from_manifest(clips.embeddings, manifest)
    figures = {
        split: {
            WITHIN: crossed_evaluation(labelled, split, split, replicates=replicates).to_dict(),
            AMONG_ALL: crossed_evaluation(labelled, split, None, replicates=replicates).to_dict(),
        }
        for split in clips.splits
    }
    return dict(rounded(figures, DECIMALS))
