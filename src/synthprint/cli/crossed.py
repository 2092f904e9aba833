"""What `synthprint evaluate` says of sources crossed with their publishers, and beside published results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synthprint.cli.tables import print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synthprint.scoring.all_pairs import Evaluation
    from synthprint.types import Labelled
    from synthprint.validation.crossed_result import CrossedEvaluation

MLAAD = "mlaad"  # the protocol whose manifests have no publishers


def cross(
    clips: Labelled, enrolled: Labelled | None = None, replicates: int = 0, seed: int = 1
) -> dict[str, CrossedEvaluation]:
    """Sources crossed with what a manifest has: publishers; of MLAAD's lists languages and training data.

    Args:
        clips: that are asked.
        enrolled: further clips, of which none is asked.
        replicates, seed: of the bootstrap.
    """
    from synthprint.calibration.relations import joined
    from synthprint.errors import MetricError
    from synthprint.validation.crossed import crossed_evaluation
    from synthprint.validation.crossed_clips import TRAITS

    traits = ["publisher"] if any(u.publisher for u in clips.utterances) else []
    if not traits and is_mlaad(clips):
        traits = [by for by in ("language", "training_data") if any(TRAITS[by](u) for u in clips.utterances)]
    everyone = clips if enrolled is None else joined(enrolled, clips)
    asked = everyone.embeddings.ids[-len(clips) :]
    crossed = {}
    for by in traits:
        try:
            crossed[by] = crossed_evaluation(everyone, asked, None, by, False, replicates, seed)
        except MetricError as error:
            say(f"warning: sources are not crossed by {by}: {error}", err=True)
    return crossed


def is_mlaad(clips: Labelled) -> bool:
    """Whether the clips come from MLAAD's lists, as `Labelled.data` says it."""
    return clips.data.partition("/")[0] == MLAAD


def published_beside(clips: Labelled, split: str | None, evaluation: Evaluation) -> dict[str, Any]:
    """For JSON: the results published for a split of MLAAD's lists, each with the figure here that is defined alike."""
    if split is None or not is_mlaad(clips):
        return {}
    from synthprint.experiments.published import published_json

    published = published_json(split, {"pooled": evaluation.pooled.eer})
    return {"published": published} if published else {}


def crossed_json(crossed: Mapping[str, CrossedEvaluation]) -> dict[str, Any]:
    """For JSON: nothing where nothing is crossed."""
    return {"crossed": {by: one.to_dict() for by, one in crossed.items()}} if crossed else {}


def show_crossed(crossed: CrossedEvaluation) -> None:
    """Print its tables."""
    from synthprint.figures.crossed_tables import TRAIT_WORDS, crossed_tables

    say(f"Crossed by {TRAIT_WORDS[crossed.by][0]}:")
    for sentences, header, rows in crossed_tables(crossed):
        for sentence in sentences:
            say(sentence)
        print_table(header, rows, header[1:])


def show_published(results: Sequence[Mapping[str, Any]]) -> None:
    """Published results, and beside those that are defined alike the figure of these embeddings."""
    rows = [
        (
            result["system"],
            result["figure"],
            f"{result['value']:g} {result['unit']}".rstrip(),
            "-" if result["measured"] is None else f"{result['measured']:.2f} {result['unit']}",
            result["definition"],
        )
        for result in results
    ]
    if not rows:
        return
    say("Published for this list, each by its own definition; 'here' only where ours is the same:")
    print_table(("published", "figure", "value", "here", "over"), rows, ("value", "here"))
