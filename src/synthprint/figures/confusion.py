"""The confusion matrix of many sources, ordered so that it can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint.figures.canvas import blank, save, short
from synthprint.figures.ordering import reading_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_IN = 0.2
LETTER_IN = 0.08  # of a name, about
MARGIN_IN = 1.1  # labels, brackets and the colour bar
NAME_PT, COUNT_PT = 9.0, 6.5
COLOURS = "BuPu"
TICKS = (0, 0.05, 0.2, 0.5, 1)
FAMILY_COLOURS = ("#1b5e8c", "#b3541e")  # by turns, down the axis


def confusion_figure(
    confusion: np.ndarray, sources: Sequence[str], families: Sequence[str | None], path: str | os.PathLike[str]
) -> None:
    """Draw how often utterances of a row's source were taken for a column's; families stand together, in brackets.

    Within a family, sources that are confused with each other stand close (see `ordering.reading_order`). Colour is the
    share of the row, the figures are counts.

    Args:
        confusion: [S, S] counts, truth by row.
        sources: S names.
        families: of each source; None where not known.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    # A source without a family is a group of its own, which no name of a family can be.
    groups = [f"s{i}" if family is None else f"f{family}" for i, family in enumerate(families)]
    order = reading_order(confusion, groups)
    counts = confusion[np.ix_(order, order)]
    names = [short(sources[i]) for i in order]
    names_in, families_in = (LETTER_IN * max(map(len, texts)) for texts in (names, [short(f or "") for f in families]))
    side_in = CELL_IN * len(order) + names_in + MARGIN_IN
    figure = blank(side_in + families_in, side_in)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Colour goes by the square root, in which a few clips among many can be seen.
    image = axes.imshow(np.sqrt(shares), cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    _write_counts(axes, counts, shares)
    edges = np.arange(len(order) + 1) - 0.5
    axes.set(xlabel="taken for", ylabel="source", xlim=(edges[0], edges[-1]), ylim=(edges[-1], edges[0]))
    axes.set_xticks(range(len(order)), names, rotation=90, fontsize=NAME_PT)
    axes.set_yticks(range(len(order)), names, fontsize=NAME_PT)
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.tick_params(length=2, pad=2)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color="0.9", linewidth=0.4)
    _bracket_families(axes, [families[i] for i in order], [sources[i] for i in order])
    bar = figure.colorbar(image, ax=axes, location="top", fraction=0.02, aspect=40, shrink=0.5, pad=0.02)
    bar.set_ticks([share**0.5 for share in TICKS], labels=[f"{100 * share:g} %" for share in TICKS])
    bar.set_label("share of the source's clips (figures: clips)", fontsize=NAME_PT)
    bar.ax.tick_params(labelsize=NAME_PT)
    save(figure, Path(path))


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.argwhere(counts):
        dark = shares[row, column] > 0.3
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=COUNT_PT, color="white" if dark else "0.15")


def _bracket_families(axes: Axes, families: Sequence[str | None], sources: Sequence[str]) -> None:
    """Bracket the sources of each family on the right and on top, name it on the right, and colour its names."""
    edge = len(families) - 0.5
    for number, (first, last) in enumerate(_runs(families)):
        colour = FAMILY_COLOURS[number % 2]
        for label in (*axes.get_xticklabels()[first : last + 1], *axes.get_yticklabels()[first : last + 1]):
            label.set_color(colour)
        family = families[first]
        if family is None or (first == last and family == sources[first]):
            continue
        along, across = [first - 0.35, last + 0.35], [edge + 0.5, edge + 0.5]
        axes.plot(across, along, color=colour, linewidth=2, clip_on=False, solid_capstyle="butt")
        axes.plot(along, [-1, -1], color=colour, linewidth=2, clip_on=False, solid_capstyle="butt")
        middle = (first + last) / 2
        axes.text(edge + 0.9, middle, short(family), color=colour, fontsize=NAME_PT, va="center", clip_on=False)


def _runs(families: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """First and last index of each stretch of one family; a source without one stands alone."""
    first = 0
    for family, members in groupby(families):
        after = first + len(list(members))
        yield from ((i, i) for i in range(first, after)) if family is None else [(first, after - 1)]
        first = after
