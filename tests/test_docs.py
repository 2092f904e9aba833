"""The documents say what is true: the command line page, the links, and the rooms of the house."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import synthprint

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for pattern in ("*.md", "docs/*.md", "models/*.md") for path in ROOT.glob(pattern))


@pytest.mark.parametrize("script", ["docs/generate_cli.py", "models/card.py"])
def test_a_generated_page_is_up_to_date(script: str) -> None:
    result = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = Path(synthprint.__file__).parent
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert not [room for room in rooms - {"__init__", "__main__"} if f"`{room}" not in page]
