"""Markdown: rows, tables and paragraphs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120


def percent(value: float) -> str:
    """A rate, as "12.3 %"."""
    return f"{100 * value:.1f} %"


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join([row(header), "|" + "---|" * len(header), *map(row, rows)])


def filled(text: str, indent: str = "") -> str:
    """A paragraph in lines of at most WIDTH characters; `indent` stands before all lines but the first."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
