"""Results in, pictures and pages out: the same input gives the same file."""

from __future__ import annotations

from synthprint.figures.confusion import confusion_figure
from synthprint.figures.det import det_figure
from synthprint.figures.map_page import map_page
from synthprint.figures.scatter import map_figure

__all__ = ["confusion_figure", "det_figure", "map_figure", "map_page"]
