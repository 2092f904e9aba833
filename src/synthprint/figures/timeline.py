"""A clip's windows over time: a lane for each of the leading sources, the changes marked, the parts named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthprint.figures.canvas import blank, save, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from synthprint.tracing.timeline import Timeline

WIDTH_IN = 9.0
LANE_IN = 0.45
MARGIN_IN = 1.3
LANE = 0.9  # of the way to the next lane: a score of 1
NAME_PT = 9.0
BELOW, ABOVE, CHANGE = "#c9d3dc", "#1b5e8c", "#b3541e"


def timeline_figure(timeline: Timeline, path: str | os.PathLike[str]) -> None:
    """Draw each leading source's score over time, dark where it reaches the threshold; changes are dashed lines.

    Args:
        timeline: what is drawn.
        path: ends in .png or .svg.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    names = timeline.leading()
    figure = blank(WIDTH_IN, LANE_IN * len(names) + MARGIN_IN)
    axes = figure.add_subplot()
    threshold = timeline.parts[0].trace.threshold
    for lane, name in enumerate(reversed(names)):
        _draw_lane(axes, timeline, timeline.sources.index(name), lane, threshold)
    for change in timeline.changes:
        axes.axvline(change.time_s, color=CHANGE, linewidth=1.4, linestyle="--", zorder=3)
    for number, part in enumerate(timeline.parts):
        middle = (part.start_s + part.end_s) / 2
        room = max(8, round(110 * (part.end_s - part.start_s) / timeline.duration_s))
        height = len(names) + (0.1 if number % 2 == 0 else 0.55)  # by turns, so that long names do not meet
        axes.text(middle, height, short(part.trace.name, room), ha="center", fontsize=NAME_PT, color=CHANGE)
    axes.set(xlim=(0, timeline.duration_s), ylim=(-0.05, len(names)), xlabel="time (s)")
    axes.set_yticks(np.arange(len(names)), [short(name) for name in reversed(names)], fontsize=NAME_PT, va="bottom")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="0.85", linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    save(figure, Path(path))


def _draw_lane(axes: Axes, timeline: Timeline, source: int, lane: int, threshold: float | None) -> None:
    height = lane + LANE * np.clip(timeline.scores[source], 0.0, 1.0)
    for start, stop in timeline.runs():
        times, part = timeline.centres_s[start:stop], height[start:stop]
        axes.fill_between(times, lane, part, color=BELOW, linewidth=0)
        if threshold is not None:
            limit = lane + LANE * threshold
            axes.fill_between(times, lane, part, where=part >= limit, interpolate=True, color=ABOVE, linewidth=0)
        axes.plot(times, part, color=ABOVE, linewidth=0.9)
