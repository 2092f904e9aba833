"""Figures with the digits that are worth recording."""

from __future__ import annotations

from typing import Any


def rounded(figures: Any, decimals: int) -> Any:
    """The same figures, in tables of tables too, with so many decimals: noise of the last bits does not show."""
    if isinstance(figures, dict):
        return {key: rounded(value, decimals) for key, value in figures.items()}
    return round(figures, decimals) if isinstance(figures, float) else figures
