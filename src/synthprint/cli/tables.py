"""Answers on the terminal: sentences, tables, notes, JSON. Names in them are strangers' text."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from synthprint.wording import counted, printable


def say(text: str, err: bool = False) -> None:
    """Print lines of text, with a mark in place of what the terminal would act on."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=err)


def print_json(value: Any, indent: int | None = 2, ascii_only: bool = True) -> None:
    """Print JSON; in ASCII alone if `ascii_only`, or where the terminal's encoding is not Unicode.

    What a terminal would act on, and what is no text in Unicode, is escaped.
    """
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only or not unicode)
    typer.echo(
        re.sub(r"[^ -~\n]", lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
    )


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print rows of plain text; the columns named in `numbers` are set to the right. Nothing is cut off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from synthprint.cli.terminal import fitting

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold", justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*(Text(fitting(printable(cell))) for cell in row))  # a name in [brackets] is no markup
    Console().print(table)


def print_notes(notes: Iterable[str]) -> None:
    """Print on stderr what makes an answer less sure, or less whole."""
    for note in notes:
        say(f"note: {printable(note)}", err=True)


def report_left_out(failures: Iterable[tuple[str, str]], clips: int | None = None, most: int | None = None) -> None:
    """List on stderr the clips that were left out, a line each.

    Args:
        failures: the name of each, and the reason.
        clips: how many there were in all; with it a last line counts.
        most: lines at most; by default all.
    """
    failures = list(failures)
    for name, reason in failures[:most]:
        say(f"left out: {printable(name)}: {reason}", err=True)
    if hidden := len(failures[len(failures) if most is None else most :]):
        say(f"left out: {hidden:,} more", err=True)
    if failures and clips is not None:
        say(f"{len(failures):,} of {counted(clips, 'clip')} left out", err=True)
