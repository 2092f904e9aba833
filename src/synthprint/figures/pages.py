"""What the pages share: files of this folder that go into them, and what their security policy calls these."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def part(name: str) -> str:
    """A file of this folder: a page, its style or its script."""
    return resources.files("synthprint.figures").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """As a content security policy names what it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
