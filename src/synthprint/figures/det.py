"""The detection error tradeoff."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist

import numpy as np

from synthprint.figures.canvas import blank, save
from synthprint.metrics import Det, crossing

DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
DET_LIMITS = (0.0005, 0.75)


def det_figure(curves: Mapping[str, Det], path: str | os.PathLike[str]) -> None:
    """Draw detection error tradeoff curves over normal-deviate axes, each with its equal error rate marked.

    (Martin et al., "The DET curve in assessment of detection task performance", 1997.) Where both kinds of scores
    are normally distributed, the curve is a straight line.

    Args:
        curves: by name, as of `metrics.det`.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=5.2, height_in=5.2)
    axes = figure.add_subplot()
    low, high = (_deviate(np.array([limit]))[0] for limit in DET_LIMITS)
    axes.plot([low, high], [low, high], color="0.8", linewidth=0.8, zorder=0)
    for name, curve in curves.items():
        eer = crossing(curve.p_miss, curve.p_fa).eer
        (line,) = axes.plot(_deviate(curve.p_fa), _deviate(curve.p_miss), label=f"{name}: {100 * eer:.2f} %")
        at = _deviate(np.array([eer]))
        axes.plot(at, at, marker="o", markersize=4, color=line.get_color())
    ticks, labels = _deviate(np.array(DET_TICKS)), [f"{100 * tick:g}" for tick in DET_TICKS]
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="false alarms (%)", ylabel="misses (%)", aspect="equal")
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(title="equal error rate", fontsize="small", title_fontsize="small")
    save(figure, Path(path))


def _deviate(p: np.ndarray) -> np.ndarray:
    """The standard normal's quantiles; 0 and 1 are moved to where they are off the axes, but finite."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(value) for value in np.clip(p, 1e-9, 1 - 1e-9).tolist()])
