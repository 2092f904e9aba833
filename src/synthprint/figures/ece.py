"""Empirical cross-entropy: what likelihood ratios are worth at every prior."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from synthprint.figures.canvas import blank, save
from synthprint.metrics import ece, pool_adjacent_violators

LOG10_ODDS = np.linspace(-2.5, 2.5, 101)


def ece_figure(target_log10_lr: np.ndarray, nontarget_log10_lr: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Draw the empirical cross-entropy over prior odds: of the LRs, of the same after PAV, and of saying nothing.

    (Ramos and Gonzalez-Rodriguez, "Reliable support: measuring calibration of likelihood ratios", 2013.) At odds of 1
    the solid curve is Cllr and the dashed one Cllr_min; what lies between them is calibration.

    Args:
        target_log10_lr, nontarget_log10_lr: [T], [N].
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    figure = blank(width_in=5.2, height_in=4.0)
    axes = figure.add_subplot()
    sides = [np.log(10) * values for values in (target_log10_lr, nontarget_log10_lr)]
    odds = np.log(10) * LOG10_ODDS
    nothing = ece([0.0], [0.0], odds)
    for name, both, style in (
        ("likelihood ratios", sides, "-"),
        ("after PAV", optimal_llr(*sides), "--"),
        ("saying nothing (LR 1)", [np.zeros(1)] * 2, ":"),
    ):
        axes.plot(LOG10_ODDS, ece(both[0], both[1], odds), style, label=name)
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="log10 prior odds", ylabel="empirical cross-entropy (bits)", ylim=(0, 1.3 * nothing.max()))
    axes.set_xlim(LOG10_ODDS[0], LOG10_ODDS[-1])
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize="small")
    save(figure, Path(path))


def optimal_llr(target: np.ndarray, nontarget: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The natural log-LRs of the best rising map on these trials, kept finite: what `metrics.cllr_min` costs."""
    scores, index = np.unique(np.concatenate([target, nontarget]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(scores)) for part in np.split(index, [len(target)])]
    blocks = pool_adjacent_violators(*counts)
    ends = np.searchsorted(np.cumsum(counts[0] + counts[1]), np.cumsum(blocks[0] + blocks[1]))
    with np.errstate(divide="ignore"):
        llr = np.log(blocks[0] / len(target)) - np.log(blocks[1] / len(nontarget))
    of_score = np.clip(llr, -1e3, 1e3)[np.searchsorted(ends, np.arange(len(scores)))]
    return of_score[index[: len(target)]], of_score[index[len(target) :]]
