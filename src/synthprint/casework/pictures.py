"""Small pictures for a page, as SVG that stands in it: no library, no script, real text."""

from __future__ import annotations

import unicodedata

import numpy as np

from synthprint.markup import escaped
from synthprint.tracing.timeline import Timeline
from synthprint.tracing.traces import Trace

WIDTH = 640
BAR, GAP, NAMES = 16, 8, 220
NARROW, WIDE = 7.6, 12.0  # of a letter, with some room to spare
LANE, FOOT = 34, 26


def short(name: str, most: int = 32) -> str:
    """`name`, its middle left out where it is longer than `most` characters."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most - most // 2) :]}"


def _name(text: str, y: float) -> str:
    """A name at the left of a bar or lane, squeezed where it might be wider than its room, whatever the font."""
    text = short(text)
    width = sum(WIDE if unicodedata.east_asian_width(c) in "WF" or c in "MW@mw%" else NARROW for c in text)
    fitted = f' textLength="{NAMES - 12}" lengthAdjust="spacingAndGlyphs"' if width > NAMES - 12 else ""
    return f'<text x="{NAMES - 8}" y="{y}" text-anchor="end"{fitted}>{escaped(text)}</text>'


def scores(trace: Trace) -> str:
    """The candidates' scores as bars, and the threshold as a line. Scores lie between 0 and 1; below counts as 0."""
    room = WIDTH - NAMES - 60
    height = len(trace.candidates) * (BAR + GAP) + FOOT
    parts, labels = [], []  # labels last: the line does not cross them
    for row, candidate in enumerate(trace.candidates):
        y = row * (BAR + GAP)
        length = room * float(np.clip(candidate.score, 0.0, 1.0))
        shade = "below" if trace.threshold is None or candidate.score < trace.threshold else "reached"
        parts.append(
            _name(candidate.source, y + BAR - 4)
            + f'<rect class="{shade}" x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}"/>'
        )
        labels.append(f'<text x="{NAMES + length + 6:.1f}" y="{y + BAR - 4}">{candidate.score:.2f}</text>')
    if trace.threshold is not None:
        x = NAMES + room * float(np.clip(trace.threshold, 0.0, 1.0))
        parts.append(
            f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="-2" y2="{height - FOOT + 4}"/>'
            f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">threshold {trace.threshold:.2f}</text>'
        )
    names = ", ".join(f"{candidate.source} {candidate.score:.2f}" for candidate in trace.candidates)
    limit = "" if trace.threshold is None else f"; the threshold is {trace.threshold:.2f}"
    return _svg(height, f"Scores of the best sources: {names}{limit}", "".join(parts + labels))


def lanes(timeline: Timeline, threshold: float | None) -> str:
    """The leading sources' scores over time, a lane each; changes of source are dashed lines."""
    names = timeline.leading()
    room, bottom = WIDTH - NAMES - 16, len(names) * LANE

    def at(time_s: float) -> float:
        return NAMES + room * time_s / timeline.duration_s

    parts = []
    for lane, name in enumerate(names):
        base = (lane + 1) * LANE - 4
        parts.append(_name(name, base - 6))
        parts.append(f'<line class="base" x1="{NAMES}" x2="{NAMES + room}" y1="{base}" y2="{base}"/>')
        heights = (LANE - 8) * np.clip(timeline.scores[timeline.sources.index(name)], 0.0, 1.0)
        if threshold is not None:
            y = base - (LANE - 8) * float(np.clip(threshold, 0.0, 1.0))
            parts.append(f'<line class="limit" x1="{NAMES}" x2="{NAMES + room}" y1="{y:.1f}" y2="{y:.1f}"/>')
        for start, stop in timeline.runs():
            points = [
                (at(t), base - h) for t, h in zip(timeline.centres_s[start:stop], heights[start:stop], strict=True)
            ]
            outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(points[0][0], base), *points, (points[-1][0], base)])
            parts.append(f'<polygon class="lane" points="{outline}"/>')
    for change in timeline.changes:
        x = at(change.time_s)
        parts.append(f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{change.time_s:.1f} s</text>')
    parts.append(f'<text x="{NAMES}" y="{bottom + 18}">0 s</text>')
    end = f"{timeline.duration_s:.1f} s"
    parts.append(f'<text x="{NAMES + room}" y="{bottom + 18}" text-anchor="end">{end}</text>')
    return _svg(bottom + FOOT, f"Scores over time of {', '.join(names)}", "".join(parts))


def _svg(height: float, title: str, content: str) -> str:
    return f'<svg viewBox="0 -4 {WIDTH} {height + 4}" role="img" aria-label="{escaped(title)}">{content}</svg>'
