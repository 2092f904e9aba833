"""An empty figure, and how one is written: matplotlib without its global state."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from synthprint import files
from synthprint.errors import MissingDependency
from synthprint.wording import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160


def blank(width_in: float, height_in: float, extra: str = "evaluate") -> Figure:
    """A figure of this size whose parts make room for each other.

    Raises:
        MissingDependency: matplotlib, which the optional `extra` brings, is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency.extra("matplotlib", extra) from error
    return Figure(figsize=(width_in, height_in), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a .png or .svg without dates, versions and random ids, which would differ from run to run.

    Text is drawn as it is: a source may be called `$x$`, or in letters that the font lacks.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))
    metadata = {"Software": None} if path.suffix == ".png" else {"Date": None, "Creator": None}
    rules = {"svg.hashsalt": "synthprint", "text.parse_math": False}
    with rc_context(rules), files.atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(temporary, dpi=DPI, metadata=metadata)


def short(name: str, most: int = 40) -> str:
    """`name` as it may be shown, its middle left out where it is longer than `most` characters: both ends tell."""
    name = printable(name)
    if len(name) <= most:
        return name
    tail = (most - 1) * 2 // 3
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"
