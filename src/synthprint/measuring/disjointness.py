"""What the clips that a model is measured on have in common with those that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synthprint.types import HELD_OUT_SPLITS, Manifest, Utterance

TRAITS: dict[str, Callable[[Utterance], str | None]] = {
    "publishers": lambda u: u.publisher,
    "systems": lambda u: u.source,
    "sentences": lambda u: u.text_id,
    "speakers": lambda u: u.speaker,
}


def disjointness(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Of each held-out split, how many publishers, systems, sentences and speakers there are, and which training met.

    Human speech does not count.

    Returns:
        Split -> trait -> "here", how many there are; "met", how many of them are in the train split; "clips_of_new",
        the share of clips whose own is not. A trait that no clip has on record is left out.
    """
    clips = [u for u in manifest if not u.human]
    figures: dict[str, dict[str, Any]] = {}
    for split in HELD_OUT_SPLITS:
        of_split = [u for u in clips if u.split == split]
        for name, trait in TRAITS.items():
            values = [value for u in of_split if (value := trait(u))]
            if values:
                met = {trait(u) for u in clips if u.split == "train"}
                figures.setdefault(split, {})[name] = {
                    "here": len(set(values)), "met": len(set(values) & met),
                    "clips_of_new": sum(value not in met for value in values) / len(values),
                }  # fmt: skip
    return figures
