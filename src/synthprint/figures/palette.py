"""Colours and marks by which some hundred sources can be told apart, on white and on black.

Sources are ordered by family, and their hues go once around most of the circle: a family's hues are related.
Neighbours differ in lightness and in mark. Two sources alike in both are 24 apart, which with 64 sources is 120° of
hue, or stand at the two ends, which do not meet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

LIGHTNESS = (0.55, 0.78, 0.66)
CHROMA = 0.17
HUES_DEG = 320
OTHER = "other"


def _star(points: int, inner: float, turned: float = 0.0) -> list[Point]:
    """The corners of a star, the first on top; with `inner` 1, of a polygon."""
    corners = []
    for index in range(2 * points):
        radius, angle = (inner if index % 2 else 1.0), math.pi * (index / points + turned)
        corners.append((round(radius * math.sin(angle), 3), round(radius * math.cos(angle), 3)))
    return corners


def _scaled(corners: Sequence[Point], factor: float) -> list[Point]:
    return [(round(factor * x, 3), round(factor * y, 3)) for x, y in corners]


_TRIANGLE = [(0.0, 1.0), (0.95, -0.7), (-0.95, -0.7)]
_PLUS = [(x, y) for x, y in (
    (-.33, 1), (.33, 1), (.33, .33), (1, .33), (1, -.33), (.33, -.33),
    (.33, -1), (-.33, -1), (-.33, -.33), (-1, -.33), (-1, .33), (-.33, .33),
)]  # fmt: skip
# Corners within -1 … 1, y upwards, of about the same area.
MARKS: dict[str, list[Point]] = {
    "circle": _scaled(_star(10, 1.0), 0.85),
    "square": [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)],
    "triangle": _TRIANGLE,
    "diamond": [(0.0, 1.1), (0.8, 0.0), (0.0, -1.1), (-0.8, 0.0)],
    "plus": _PLUS,
    "triangle down": [(x, -y) for x, y in _TRIANGLE],
    "star": _scaled(_star(5, 0.45), 1.2),
    "cross": [(round(0.78 * (x - y), 3), round(0.78 * (x + y), 3)) for x, y in _PLUS],
}


@dataclass(frozen=True)
class Look:
    """How a source is drawn: `colour` as #rrggbb, `mark` by its name in `MARKS`."""

    colour: str
    mark: str


def grouped(families: Mapping[str, str | None]) -> dict[str | None, list[str]]:
    """Sources by family, sorted; those that are alone in theirs, or in none, come last, together under None.

    Args:
        families: source -> family.
    """
    sizes = Counter(families.values())
    groups: dict[str | None, list[str]] = {}
    for family in sorted(name for name, size in sizes.items() if name is not None and size > 1):
        groups[family] = sorted(source for source, its in families.items() if its == family)
    alone = [(family or "", source) for source, family in families.items() if family not in groups]
    if alone:
        groups[None] = [source for _, source in sorted(alone)]
    return groups


def looks(groups: Mapping[str | None, Sequence[str]]) -> dict[str, Look]:
    """The look of every source, in the order of `grouped`."""
    ordered = [source for sources in groups.values() for source in sources]
    marks = list(MARKS)
    return {
        source: Look(oklch(LIGHTNESS[i % len(LIGHTNESS)], CHROMA, HUES_DEG * i / len(ordered)), marks[i % len(marks)])
        for i, source in enumerate(ordered)
    }


def frequent_marks(values: Collection[str | None]) -> dict[str, str]:
    """A mark for each of the most frequent values; the rest, and what is not known, share the last one as `OTHER`."""
    counts = Counter(value for value in values if value is not None)
    common = sorted(counts, key=lambda value: (-counts[value], value))
    marks = list(MARKS)
    all_fit = len(common) <= len(marks) and None not in values
    marked = common if all_fit else common[: len(marks) - 1]
    named = dict(zip(marked, marks, strict=False))
    return named if all_fit else named | {OTHER: marks[-1]}


def oklch(lightness: float, chroma: float, hue_deg: float) -> str:
    """#rrggbb of a colour in OKLCH (Ottosson, "A perceptual color space for image processing", 2020).

    Chroma gives way where sRGB does not hold the colour.
    """
    while True:
        a, b = chroma * math.cos(math.radians(hue_deg)), chroma * math.sin(math.radians(hue_deg))
        l_, m_, s_ = (
            (lightness + x * a + y * b) ** 3
            for x, y in ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
        )
        linear = (
            4.0767416621 * l_ - 3.3077115913 * m_ + 0.2309699292 * s_,
            -1.2684380046 * l_ + 2.6097574011 * m_ - 0.3413193965 * s_,
            -0.0041960863 * l_ - 0.7034186147 * m_ + 1.7076147010 * s_,
        )
        if all(-1e-4 <= value <= 1.0001 for value in linear):
            return "#" + "".join(f"{round(255 * _gamma(min(max(value, 0.0), 1.0))):02x}" for value in linear)
        chroma -= 0.005


def _gamma(linear: float) -> float:
    return float(12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)
