"""The open-set classification rate curve."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from synthprint.figures.canvas import blank, save


def oscr_figure(curve: tuple[np.ndarray, np.ndarray], area: float, path: str | os.PathLike[str]) -> None:
    """Draw correct classification rate over false positive rate (Dhamija et al., 2018).

    Args:
        curve: as of `metrics.oscr_curve`.
        area: under it.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=5.2, height_in=4.0)
    axes = figure.add_subplot()
    axes.plot(100 * curve[0], 100 * curve[1], label=f"area {area:.3f}")
    axes.set(
        xlabel="unknown clips that are given a source (%)",
        ylabel="known clips rightly identified (%)",
        xlim=(0, 100),
        ylim=(0, 100),
    )
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize="small", loc="lower right")
    save(figure, Path(path))
