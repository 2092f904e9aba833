"""All pairs of exhibits as a map of shades, the groups along the diagonal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint.figures.canvas import blank, save, short

if TYPE_CHECKING:
    from synthprint.casework.groups import Clustering

CELL_IN, LEAST_IN, MOST_IN = 0.28, 2.4, 14.0
MARGINS_IN = 3.2
MOST_NAMES = 60
EDGE = "#b3541e"


def linkage_figure(clustering: Clustering, path: Path) -> None:
    """Draw the log10 LR of every pair of clips, or their cosine without a calibration; groups are framed.

    Args:
        clustering: what is drawn.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    order = [i for group in clustering.groups for i in group.members]
    log10_lr = clustering.log10_lr
    values = (clustering.cosines if log10_lr is None else log10_lr)[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(values, np.nan)
    side = float(np.clip(CELL_IN * len(order), LEAST_IN, MOST_IN))
    figure = blank(side + MARGINS_IN, side + 0.8)
    axes = figure.add_subplot()
    most = 1.0 if log10_lr is None else max(float(np.nanmax(np.abs(values))), 0.1) if len(order) > 1 else 1.0
    image = axes.imshow(values, cmap="PuOr_r", vmin=-most, vmax=most, interpolation="nearest")
    start = 0
    for group in clustering.groups:
        size = len(group.members)
        corner = (start - 0.5, start - 0.5)
        axes.add_patch(_frame(corner, size))
        start += size
    names = [short(Path(clustering.exhibits[i].path).name, 28) for i in order] if len(order) <= MOST_NAMES else []
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    what = "cosine" if log10_lr is None else "log10 LR: one source, against two"
    figure.colorbar(image, ax=axes, label=what, shrink=0.7)
    save(figure, path)


def _frame(corner: tuple[float, float], size: int):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle(corner, size, size, fill=False, edgecolor=EDGE, linewidth=1.4)
