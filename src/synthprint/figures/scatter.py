"""The map of embeddings as a picture, coloured by source, with a legend that names every one."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint.exploring.map import EmbeddingMap
from synthprint.figures.canvas import blank, save, short
from synthprint.figures.legend import Legend, Marked, legend
from synthprint.figures.palette import MARKS, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SIDE_IN = 9.0
LEGEND_ROWS = 54
LEGEND_COLUMN_IN = 3.2
LEGEND_PT = 9.0
LAYERS = 4  # every source is drawn in so many parts, by turns: the last one does not bury the others
RASTER_FROM = 3_000  # points: an .svg with more holds them as a picture
NEUTRAL = "#777777"
EMPTY = ("", None)


def map_figure(embedding_map: EmbeddingMap, path: str | os.PathLike[str], marked: Marked | None = None) -> None:
    """Draw a map: a colour for each source, a hue for each family, and marks that tell neighbours in colour apart.

    Args:
        embedding_map: the map.
        path: ends in .png or .svg.
        marked: what the marks stand for instead.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    shown = legend(embedding_map, marked)
    rows = _in_columns(_rows(shown))
    columns = math.ceil(len(rows) / LEGEND_ROWS)
    figure = blank(SIDE_IN + LEGEND_COLUMN_IN * columns, SIDE_IN, extra="map")
    axes = figure.add_subplot()
    _draw_points(axes, embedding_map, shown)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(embedding_map.caption, fontsize=LEGEND_PT)
    _draw_legend(figure, rows, columns)
    save(figure, Path(path))


def _draw_points(axes: Axes, embedding_map: EmbeddingMap, shown: Legend) -> None:
    from matplotlib.path import Path as Outline

    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, (u, mark) in enumerate(zip(embedding_map.utterances, shown.point_marks, strict=True)):
        alike[u.source, mark].append(index)
    area = float(np.clip(60_000 / len(embedding_map.utterances), 8, 40))
    for layer in range(LAYERS):
        for (source, mark), indices in alike.items():
            part = embedding_map.coordinates[indices[layer::LAYERS]]
            axes.scatter(
                part[:, 0], part[:, 1], s=area, color=shown.looks[source].colour, marker=Outline(MARKS[mark]),
                alpha=0.8, linewidths=0, zorder=2, rasterized=len(embedding_map.utterances) > RASTER_FROM,
            )  # fmt: skip


def _rows(shown: Legend) -> Iterator[tuple[str, Look | None]]:
    """The lines of the legend; a heading has no look."""
    for family, sources in shown.groups.items():
        if family is not None:
            yield family, None
        elif len(shown.groups) > 1:
            yield "alone in their family", None
        for source in sources:
            yield source, shown.looks[source]
    if shown.marked is not None:
        yield f"marks: {shown.marked}", None
        for value, mark in shown.marks.items():
            yield value, Look(NEUTRAL, mark)


def _in_columns(rows: Iterable[tuple[str, Look | None]]) -> list[tuple[str, Look | None]]:
    """Rows with empty ones put in: no heading at the foot of a column, and where there are several, all are full."""
    placed: list[tuple[str, Look | None]] = []
    for row in rows:
        if row[1] is None and len(placed) % LEGEND_ROWS == LEGEND_ROWS - 1:
            placed.append(EMPTY)
        placed.append(row)
    if len(placed) > LEGEND_ROWS:
        placed += [EMPTY] * (-len(placed) % LEGEND_ROWS)
    return placed


def _draw_legend(figure: Figure, rows: list[tuple[str, Look | None]], columns: int) -> None:
    # Names are set afterwards: matplotlib leaves out of a legend what begins with an underscore.
    drawn = figure.legend(
        [_handle(look) for _, look in rows], ["name"] * len(rows), loc="outside right upper", ncols=columns,
        fontsize=LEGEND_PT, frameon=False, handletextpad=0.3, columnspacing=1.2, labelspacing=0.3, handlelength=1.2,
    )  # fmt: skip
    for text, (name, look) in zip(drawn.get_texts(), rows, strict=True):
        text.set_text(short(name))
        if look is None:
            text.set_fontweight("bold")


def _handle(look: Look | None) -> Line2D:
    from matplotlib.lines import Line2D
    from matplotlib.path import Path as Outline

    if look is None:
        return Line2D([], [], linestyle="")
    return Line2D(
        [], [], linestyle="", marker=Outline(MARKS[look.mark]), color=look.colour, markeredgewidth=0, markersize=7
    )
