"""Pages of this folder whose end is written from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from synthprint.types import HELD_OUT_SPLITS

MARK = "<!-- below: written by docs/generate_tables.py -->\n"


def with_end(page: Path, parts: Iterable[str]) -> str:
    """The text of a page with everything below its MARK written anew: paragraphs and tables.

    Raises:
        ValueError: it has no such mark.
    """
    above, mark, _ = page.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{page}: it has no line {MARK.strip()}; add it where the tables are to begin")
    return above + mark + "\n" + "\n\n".join(parts) + "\n"


def extractor_sentence(measured: str, shipped: str) -> str:
    """Of which extractor the tables are, by its digest, and where it is not the shipped one that."""
    named = f"Extractor `{measured[:12]}`"
    if measured == shipped:
        return f"{named}."
    return f"{named}, shipped before the present one (`{shipped[:12]}`), for which this was not measured anew."


def measured_splits(report: Mapping[str, object]) -> list[str]:
    """The held-out splits that a report has figures of: dev, or dev and test."""
    return [split for split in HELD_OUT_SPLITS if report.get(split)]


def percent_figure(value: float | None) -> str:
    """A rate in per cent, without the sign; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"
