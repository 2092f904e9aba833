"""Documents whose end is written from what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_end(page: Path, script: str, parts: Iterable[str]) -> None:
    """Write everything below the mark of `script` anew: paragraphs and tables."""
    mark = f"<!-- below: written by models/{script} -->\n"
    above, found, _ = page.read_text(encoding="utf-8").partition(mark)
    assert found, f"{page} has no line {mark}"
    page.write_text(above + mark + "\n" + "\n\n".join(parts) + "\n", encoding="utf-8")
