"""Write the tables at the end of the pages on the shipped model, and its card, from what was measured of it.

`--check` only says whether they are up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from synthprint import files
from synthprint.measuring.card import CARD, render_card
from synthprint.model.shipped import shipped_folder
from tables.clusters import cluster_tables
from tables.limits import limits_tables
from tables.open_set import open_set_tables
from tables.pages import with_end
from tables.timeline import timeline_tables

DOCS = Path(__file__).parent
RECORDED = DOCS.parent / "models"


def read(path: Path) -> Any:
    """What was recorded."""
    return json.loads(path.read_text(encoding="utf-8"))


def render() -> dict[Path, str]:
    """Page -> its text."""
    model = shipped_folder()
    clusters = read(model / "clusters.json")
    extractor = clusters["extractor"]
    return {
        model / CARD: render_card(model),
        DOCS / "limits.md": with_end(DOCS / "limits.md", limits_tables(read(RECORDED / "stress.json"), extractor)),
        DOCS / "clustering.md": with_end(
            DOCS / "clustering.md", cluster_tables(read(RECORDED / "clusters.json"), clusters)
        ),
        DOCS / "open-set.md": with_end(
            DOCS / "open-set.md", open_set_tables(read(RECORDED / "open_set.json"), extractor)
        ),
        DOCS / "timeline.md": with_end(DOCS / "timeline.md", timeline_tables(read(model / "splices.json"))),
    }


if __name__ == "__main__":
    pages = render()
    if "--check" in sys.argv:
        stale = [page.name for page, text in pages.items() if page.read_text(encoding="utf-8") != text]
        sys.exit(f"stale: {', '.join(stale)}: make docs" if stale else 0)
    for page, text in pages.items():
        files.write_text(page, text)
