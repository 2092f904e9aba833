"""Write docs/command-line.md from the commands' own help. `--check` only says whether it is up to date."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "command-line.md"
INTRODUCTION = """# The command line

Generated from the help texts by `make docs`; a test keeps it true.
What holds for every output stands in [outputs.md](outputs.md).

| exit status | meaning |
|---|---|
"""
OLD_NAMES = """## Old names

A command that is called by its old name answers with the new one.

| it was | it is |
|---|---|
"""


def render() -> str:
    """The whole page."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LINES": "40"}
    import typer

    from synthprint.cli import EXIT_STATUSES, app
    from synthprint.cli.renamed import RENAMED

    sections = [INTRODUCTION + "".join(f"| {status} | {meaning} |\n" for status, meaning in EXIT_STATUSES.items())]

    def add(command: Any, name: str, parent: Any) -> None:
        context = type(command).context_class(command, info_name=name, parent=parent)
        if parent is not None:
            sections.append(f"## {context.command_path}\n\n```\n{command.get_help(context).strip()}\n```\n")
        for child, sub in getattr(command, "commands", {}).items():  # in the order of the help
            add(sub, child, context)

    add(typer.main.get_command(app), "synthprint", None)
    sections.append(OLD_NAMES + "".join(f"| `{old}` | `{new}` |\n" for old, new in RENAMED.items()))
    return "\n".join(sections)


if __name__ == "__main__":
    page = render()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page else "docs/command-line.md is stale: make docs")
    PAGE.write_text(page, encoding="utf-8")
