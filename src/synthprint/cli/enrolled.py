"""What an enrolment did, as `enrol`, `gallery import` and `gallery merge` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from synthprint.cli.tables import print_json, print_notes, report_left_out, say
from synthprint.wording import counted, printable

if TYPE_CHECKING:
    from synthprint.gallery.additions import Enrolled


def report_enrolled(enrolled: Enrolled, summary: str, as_json: bool) -> None:
    """Show it, and exit with 1 if a clip was left out."""
    if as_json:
        print_json(enrolled.to_dict())
    else:
        show_enrolled(enrolled, summary)
    if enrolled.failures:
        raise typer.Exit(1)


def show_enrolled(enrolled: Enrolled, summary: str) -> None:
    """Say how many clips were added, what is odd about some, and which were left out."""
    already = f", {len(enrolled.already)} there already" if enrolled.already else ""
    say(f"{counted(len(enrolled.added), 'clip')} added{already}; {summary}")
    for path, notes in enrolled.remarks.items():
        print_notes(f"{printable(path)}: {note}" for note in notes)
    report_left_out(enrolled.failures.items())
