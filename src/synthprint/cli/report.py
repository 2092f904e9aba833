"""`synthprint report`: a case on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.tables import say
from synthprint.cli.trace import Backend, Channel, Enrolled, Model, Threads, shown
from synthprint.linting.findings import counted


def report(
    clips: Annotated[list[Path], typer.Argument(help="Audio files, or folders: all audio below them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write: ends in .html.")],
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write all of it as JSON, to this file.")] = None,
    case: Annotated[str, typer.Option(help="What the case is called: the title.")] = "",
    question: Annotated[str, typer.Option(help="What was asked.")] = "",
    analyst: Annotated[str, typer.Option(help="Who examined.")] = "",
    date: Annotated[str, typer.Option(help="The date, as it is to stand there.")] = "",
    gallery: Enrolled = None,
    model: Model = None,
    backend: Backend = None,
    threads: Threads = None,
    channel: Channel = "auto",
) -> None:
    """Examine clips and write a report that can be printed and repeated. Exits with 1 if a clip could not be read."""
    from synthprint import files
    from synthprint.errors import OutputError
    from synthprint.reporting.case import Question, examine
    from synthprint.reporting.page import report_page
    from synthprint.tracing.tracer import Tracer

    if out.suffix != ".html":
        raise OutputError(out, "its name must end in .html", "name such a file")
    for file in filter(None, (out, json_out)):
        files.check_place(file)
    named = {"--case": case, "--question": question, "--analyst": analyst, "--date": date,
             "--gallery": gallery, "--model": model, "--backend": backend, "--json": json_out,
             "--channel": channel if channel != "auto" else None}  # fmt: skip
    options = [word for name, value in named.items() if value for word in (name, str(value))]
    words = ["synthprint", "report", "-o", str(out), *options]
    command = shlex.join(
        [*words, *(["--"] if any(str(clip).startswith("-") for clip in clips) else []), *map(str, clips)]
    )
    tracer = Tracer.load(gallery, model, backend, threads, channel)
    found = examine(tracer, clips, Question(case, question, analyst, date), command)
    with files.atomic(out) as page:  # it takes its place when the other file has
        page.write_text(report_page(found), encoding="utf-8", errors="backslashreplace")
        if json_out:
            files.write_json(json_out, found.to_dict())
    say(f"{out}: {counted(len(found.clips), 'clip')} examined")
    for path, unread in found.failures.items():
        say(f"left out: {shown(path)}: {unread.reason}", err=True)
    if found.failures:
        raise typer.Exit(1)
