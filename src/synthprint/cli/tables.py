"""Tables, and notes, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print rows of plain text; the columns named in `numbers` are set to the right. Nothing is cut off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold", justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*map(Text, row))  # text as it is: a name in [brackets] is no markup
    Console().print(table)


def print_notes(notes: Iterable[str]) -> None:
    """Print on stderr what makes an answer less sure, or less whole."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)
