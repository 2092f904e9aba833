"""How error rates, and the cost of likelihood ratios, grow as a clip gets worse: a figure for each degradation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthprint import files
from synthprint.figures.canvas import blank, save
from synthprint.measuring.degraded_files import level_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from synthprint.measuring.degrading import DegradedFigures

Curves = Mapping[str, Sequence[float | None]]  # by name, a value for each level; None: not measured


RATES = {"EER": "eer", "false rejection": "false_rejection", "false acceptance": "false_acceptance"}
BITS = {"Cllr": "cllr_bits", "of which calibration": "calibration_bits"}


def draw_degradations(figures: DegradedFigures, folder: Path) -> None:
    """Draw the curves of each degradation, as SVG and PNG called by its name, all or none.

    Raises:
        MissingDependency: matplotlib is not installed.
        OutputError: one of them cannot be written.
    """
    with files.together(folder) as place:
        for name, curve in figures.curves().items():
            points = [figures.clean, *curve]
            rates, bits = (
                {
                    label: [getattr(point, key) for point in points]
                    for label, key in kind.items()
                    if getattr(figures.clean, key) is not None
                }
                for kind in (RATES, BITS)
            )  # fmt: skip
            levels = ["clean", *map(level_name, curve)]
            for ending in ("svg", "png"):
                path = place / f"{name}.{ending}"
                degradation_figure(name.replace("_", " "), curve[0].unit, levels, rates, bits, path)


def degradation_figure(
    title: str, axis: str, levels: Sequence[str], rates: Curves, bits: Curves, path: str | os.PathLike[str]
) -> None:
    """Draw the figures of one degradation over its levels, mildest first, evenly spaced as they are named.

    Args:
        title: of the figure.
        axis: what the levels are, with their unit.
        levels: their names.
        rates: in 0 ... 1.
        bits: costs of likelihood ratios, drawn below; none where they were not measured.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=3.6, height_in=4.2 if bits else 2.8)
    panels = figure.subplots(2 if bits else 1, 1, sharex=True, squeeze=False, height_ratios=[3, 2] if bits else None)
    upper, lower = panels[0, 0], panels[-1, 0]
    percent = {name: [None if rate is None else 100 * rate for rate in values] for name, values in rates.items()}
    _draw(upper, percent, "%")
    if bits:
        _draw(lower, bits, "bits")
        lower.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":")  # the cost of saying nothing
    lower.set_xticks(range(len(levels)), list(levels))
    lower.tick_params(axis="x", labelsize="small")
    lower.set_xlabel(axis)
    upper.set_title(title, fontsize="medium")
    save(figure, Path(path))


def _draw(axes: Axes, curves: Curves, unit: str) -> None:
    for name, values in curves.items():
        drawn = [float("nan") if value is None else value for value in values]
        axes.plot(range(len(drawn)), drawn, marker="o", markersize=3, label=name)
    axes.set(ylabel=unit, ylim=(0, None))
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.legend(fontsize="x-small")
