"""What a map's colours and marks stand for: worked out once, drawn by the picture and by the page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from synthprint.exploring.map import EmbeddingMap
from synthprint.figures.palette import OTHER, Look, frequent_marks, grouped, looks

Marked = Literal["family", "language"]
PLAIN = "circle"


@dataclass(frozen=True)
class Legend:
    """How a map is drawn.

    Attributes:
        groups: family -> its sources; None -> those that are alone in theirs.
        looks: source -> how its name is shown, in the order of `groups`.
        marked: what the marks stand for; None: for the source, along with the colour.
        marks: family or language -> mark, where they stand for that.
        point_marks: the mark of each of the N points.
    """

    groups: dict[str | None, list[str]]
    looks: dict[str, Look]
    marked: Marked | None
    marks: dict[str, str]
    point_marks: tuple[str, ...]


def legend(embedding_map: EmbeddingMap, marked: Marked | None = None) -> Legend:
    """The legend of a map whose colours stand for sources, and whose marks stand for `marked`."""
    groups = grouped(embedding_map.families)
    by_source = looks(groups)
    if marked is None:
        return Legend(groups, by_source, None, {}, tuple(by_source[u.source].mark for u in embedding_map.utterances))
    if marked == "family":
        of_source = embedding_map.families
        values = [of_source[u.source] for u in embedding_map.utterances]
    else:
        of_source = {}
        values = [u.language for u in embedding_map.utterances]
    marks = frequent_marks(values)

    def mark(value: str | None) -> str:
        return marks[value] if value in marks else marks[OTHER]

    shown = {
        source: replace(look, mark=mark(of_source[source]) if of_source else PLAIN)
        for source, look in by_source.items()
    }
    return Legend(groups, shown, marked, marks, tuple(map(mark, values)))
