"""A likelihood ratio in words: the verbal scale of the ENFSI guideline for evaluative reporting (2015).

Between two classes the weaker word is used: an LR of exactly 100 is "moderate". From 1 to 2 the findings support
neither side. A calibrated LR lies within the calibration's bounds, and so do its words.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

SCALE = ("no", "weak", "moderate", "moderately strong", "strong", "very strong", "extremely strong")
EDGES = (float(np.log10(2)), 1.0, 2.0, 3.0, 4.0, 6.0)  # log10 LR up to which each but the last goes
SAME_OR_DIFFERENT = ("the same source", "different sources")


def strength(log10_lr: float) -> str:
    """The word for an LR in either direction: "no", "weak" … "extremely strong"."""
    return SCALE[bisect_left(EDGES, abs(log10_lr) - 1e-9)]  # what rounding adds makes no word stronger


def verbal(log10_lr: float, propositions: tuple[str, str] = SAME_OR_DIFFERENT) -> str:
    """In words: "strong support for the same source over different sources"."""
    word = strength(log10_lr)
    if word == SCALE[0]:
        return f"no support for {propositions[0]} over {propositions[1]}, nor the other way round"
    favoured, other = propositions if log10_lr > 0 else propositions[::-1]
    return f"{word} support for {favoured} over {other}"


def times(log10_lr: float) -> str:
    """An LR as a number to be read: "320", "1/320", "1.4"; two figures, rounded towards 1."""
    size = abs(log10_lr) + 1e-9
    digits = max(0, 1 - int(size))
    value = np.floor(10 ** (size + digits)) / 10**digits if size < 2 else _two_figures(size)
    text = f"{value:,.{digits}f}"
    return text if log10_lr >= 0 or value == 1 else f"1/{text}"


def _two_figures(size: float) -> float:
    unit = 10.0 ** (int(size) - 1)
    return float(np.floor(10**size / unit) * unit)
