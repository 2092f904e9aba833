"""What others published on MLAAD's lists for source tracing, to stand beside a figure of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("mlaad_results.toml")


@dataclass(frozen=True)
class PublishedResult:
    """One figure of a paper.

    Attributes:
        system: what was measured, and by whom.
        split: "dev" or "test".
        figure, value, unit: as published; percent where the unit is "%".
        definition: over which trials or clips, as far as the authors say it.
        here: the figure of `scoring.evaluate_all_pairs` that is defined alike, such as "pooled"; None if there is none.
    """

    system: str
    split: str
    figure: str
    value: float
    unit: str
    definition: str
    here: str | None = None

    @property
    def text(self) -> str:
        """The value with its unit."""
        return f"{self.value:g} {self.unit}".rstrip()


@cache
def published_results() -> tuple[PublishedResult, ...]:
    """All of them, in the order of the table."""
    table = tomllib.loads(RESULTS.read_text(encoding="utf-8"))
    return tuple(PublishedResult(**result) for result in table["result"])


def beside(split: str, figures: Mapping[str, float]) -> list[tuple[PublishedResult, float | None]]:
    """The published results of a split, each with the figure of `figures` that is defined alike, in its unit."""
    return [
        (result, 100 * figures[result.here] if result.here is not None and result.here in figures else None)
        for result in published_results()
        if result.split == split
    ]


def published_json(split: str, figures: Mapping[str, float]) -> list[dict[str, Any]]:
    """The same for JSON."""
    return [asdict(result) | {"measured": measured} for result, measured in beside(split, figures)]
