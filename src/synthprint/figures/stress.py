"""How error rates grow as a clip gets worse."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthprint.figures.canvas import blank, save


def stress_figure(
    title: str,
    axis: str,
    levels: Sequence[str],
    curves: Mapping[str, Sequence[float | None]],
    path: str | os.PathLike[str],
) -> None:
    """Draw the rates of one degradation over its levels, mildest first, evenly spaced as they are named.

    Args:
        title: of the figure.
        axis: what the levels are, with their unit.
        levels: their names.
        curves: by name, a rate in 0 ... 1 for each level (None: not measured).
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=3.6, height_in=2.8)
    axes = figure.add_subplot()
    for name, rates in curves.items():
        percent = [float("nan") if rate is None else 100 * rate for rate in rates]
        axes.plot(range(len(levels)), percent, marker="o", markersize=3, label=name)
    axes.set_xticks(range(len(levels)), list(levels))
    axes.tick_params(axis="x", labelsize="small")
    axes.set(xlabel=axis, ylabel="%", ylim=(0, None))
    axes.set_title(title, fontsize="medium")
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.legend(fontsize="x-small")
    save(figure, Path(path))
