"""The map of embeddings as one HTML file that works without a network: hover, zoom, hide, search."""

from __future__ import annotations

import json
import re
from typing import Any

from synthprint.exploring.map import EmbeddingMap
from synthprint.figures.assets import asset
from synthprint.figures.legend import Marked, legend
from synthprint.figures.palette import MARKS
from synthprint.markup import digest, escaped


def map_page(embedding_map: EmbeddingMap, title: str, marked: Marked | None = None) -> str:
    """The page of a map: `map.html` with its style, its script and the data set in.

    Ids, names and paths are strangers' text. They stand in the page as JSON that cannot end its element, the script
    sets them as text alone, and the page's policy allows no other script, and nothing from anywhere else.

    Args:
        embedding_map: the map.
        title: of the page.
        marked: what the marks stand for; None: for the source, along with the colour.
    """
    style, script = asset("map.css"), asset("map.js")
    parts = {
        "title": escaped(title),
        "style": style,
        "style digest": digest(style),
        "script": script,
        "script digest": digest(script),
        "data": _json_in_html(_data(embedding_map, marked)),
    }
    return re.sub(r"\{\{(.+?)\}\}", lambda match: parts[match[1]], asset("map.html"))


def _json_in_html(value: Any) -> str:
    """JSON in ASCII, in which nothing opens or closes an element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(embedding_map: EmbeddingMap, marked: Marked | None) -> dict[str, Any]:
    """What `map.js` reads: sources by their place in the legend, points as columns."""
    shown, families = legend(embedding_map, marked), embedding_map.families
    place = {source: index for index, source in enumerate(shown.looks)}
    utterances = embedding_map.utterances
    return {
        "caption": embedding_map.caption,
        "marked": shown.marked,
        "marks": list(shown.marks.items()),
        "shapes": MARKS,
        "groups": [[family, [place[source] for source in sources]] for family, sources in shown.groups.items()],
        "sources": [
            {"name": source, "family": families[source], "colour": look.colour, "mark": look.mark}
            for source, look in shown.looks.items()
        ],
        "points": {
            "x": [round(x, 4) for x in embedding_map.coordinates[:, 0].tolist()],
            "y": [round(y, 4) for y in embedding_map.coordinates[:, 1].tolist()],
            "source": [place[u.source] for u in utterances],
            "mark": shown.point_marks,
            "id": [u.id for u in utterances],
            "path": [None if u.path == u.id else u.path for u in utterances],
            "language": [u.language for u in utterances],
            "split": [u.split for u in utterances],
        },
    }
