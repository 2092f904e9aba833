"""The PAV plot: are likelihood ratios as large as they should be?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from synthprint.figures.canvas import blank, save
from synthprint.figures.ece import optimal_llr

POINTS = 2000


def pav_figure(target_log10_lr: np.ndarray, nontarget_log10_lr: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Draw LRs after pool adjacent violators over LRs before; on the diagonal they are well calibrated.

    Above it, the LRs given are too small for what these trials show, below it too large. Blocks of one kind of trial
    alone, at the ends, have no finite LR and are left out.

    Args:
        target_log10_lr, nontarget_log10_lr: [T], [N].
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=4.6, height_in=4.6)
    axes = figure.add_subplot()
    given = np.concatenate([target_log10_lr, nontarget_log10_lr])
    after = np.concatenate(optimal_llr(target_log10_lr, nontarget_log10_lr)) / np.log(10)
    x, place = np.unique(given, return_index=True)
    y = after[place]
    finite = np.abs(y) < 100
    x, y = x[finite], y[finite]
    if len(x) > POINTS:
        some = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
        x, y = x[some], y[some]
    ends = [float(given.min()) - 0.2, float(given.max()) + 0.2]
    axes.plot(ends, ends, color="0.8", linewidth=0.8, zorder=0)
    axes.plot(x, y, marker=".", markersize=2, linewidth=0.8)
    axes.set(xlabel="log10 likelihood ratio", ylabel="log10 likelihood ratio after PAV", xlim=ends)
    axes.grid(color="0.9", linewidth=0.6)
    save(figure, Path(path))
