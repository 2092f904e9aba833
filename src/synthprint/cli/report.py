"""`synthprint report`: a case on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from synthprint.addresses import placed, shown
from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    ClipsArgument,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    out_file,
)
from synthprint.cli.tables import print_json, report_left_out, say
from synthprint.wording import counted


def report(
    clips: ClipsArgument,
    out: Annotated[Path, out_file("the page: ends in .html")],
    record: Annotated[Path | None, typer.Option("--record", help="A file for the whole record, as JSON.")] = None,
    case: Annotated[str, typer.Option(help="Case: its title.")] = "",
    question: Annotated[str, typer.Option(help="Question: what was asked.")] = "",
    analyst: Annotated[str, typer.Option(help="Analyst: who examined.")] = "",
    date: Annotated[str, typer.Option(help="Date: as it is to stand on the page.")] = "",
    notes: Annotated[str, typer.Option(help="Notes: what else is to be said.")] = "",
    gallery: GalleryOption = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """Examine clips and write a report that can be printed and repeated.

    CLIPS may be the folder of a case, with its case.json: title, question, notes, analyst and date are those of the
    case, unless they are given here, and clips are shown by their names in it. Exits with 1 if a clip could
    not be read.
    """
    # Long: its options.
    from synthprint.casework.report import report as write_report

    if as_json and any(clip.endswith(".json") for clip in clips):  # as this was called before
        raise typer.BadParameter("--json prints the record, and names no file; to write it, give --record FILE")
    named = {"--case": case, "--question": question, "--analyst": analyst, "--date": date,
             "--notes": notes, "--gallery": gallery, "--model": model, "--backend": backend, "--record": record,
             "--channel": channel if channel != "auto" else None}  # fmt: skip
    options = [word for name, value in named.items() if value for word in (name, str(value))]
    words = ["synthprint", "report", "-o", str(out), *options]
    named_clips = [shown(placed(clip)) for clip in clips]
    command = shlex.join([*words, *(["--"] if any(c.startswith("-") for c in named_clips) else []), *named_clips])
    found = write_report(
        clips, out, gallery, model, case=case, question=question, analyst=analyst, date=date, notes=notes,
        record=record, backend=backend, threads=threads, channel=channel, command=command,
    )  # fmt: skip
    if as_json:
        print_json(found.to_dict())
    else:
        say(f"{out}: {counted(len(found.clips), 'clip')} examined")
        report_left_out((path, unread.reason) for path, unread in found.failures.items())
    if found.failures:
        raise typer.Exit(1)
