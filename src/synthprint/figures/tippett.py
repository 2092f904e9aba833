"""The Tippett plot: how large the likelihood ratios of each kind of trial are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from synthprint.figures.canvas import blank, save

POINTS = 1000  # of a curve, at most


def tippett_figure(target_log10_lr: np.ndarray, nontarget_log10_lr: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Draw the share of trials whose log10 LR is at least x, of targets and of nontargets.

    Where the two curves cross x = 0: the share of targets rightly, and of nontargets wrongly, supported as targets.

    Args:
        target_log10_lr, nontarget_log10_lr: [T], [N].
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=5.2, height_in=4.0)
    axes = figure.add_subplot()
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for name, values in (("same source", target_log10_lr), ("different sources", nontarget_log10_lr)):
        axes.step(*share_at_least(values), where="pre", label=name)
    axes.set(xlabel="log10 likelihood ratio", ylabel="trials with at least this LR (%)", ylim=(0, 100))
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize="small")
    save(figure, Path(path))


def share_at_least(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x rising, and the percentage of values >= x; at most `POINTS` of the distinct values, ends included."""
    ordered = np.sort(values)
    x = np.unique(ordered)
    x = x[np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))]
    x = np.append(x, np.nextafter(x[-1], np.inf))
    return x, 100 * (1 - np.searchsorted(ordered, x, "left") / len(ordered))
