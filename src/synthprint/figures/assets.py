"""Files of this folder that go into pages."""

from __future__ import annotations

from importlib import resources


def asset(name: str) -> str:
    """A file of this folder: a page, its style or its script."""
    return resources.files("synthprint.figures").joinpath(name).read_text(encoding="utf-8")
