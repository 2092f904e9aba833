"""The command line: each command opens files, calls one thing, and shows the result.

Command modules import what they need inside their functions, so that `synthprint --help` stays quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import synthprint
from synthprint.cli import (
    calibrate,
    cluster,
    corpus,
    evaluate,
    explore,
    gallery,
    lint,
    report,
    stress,
    table1,
    timeline,
    trace,
    train,
    validate,
)
from synthprint.errors import SynthprintError

app = typer.Typer(
    name="synthprint",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
corpus_app = typer.Typer(help="Make, and check, what is trained and tested on.", no_args_is_help=True)
corpus_app.command()(corpus.engines)
corpus_app.command()(corpus.build)
corpus_app.command()(lint.lint)

app.command()(trace.trace)
app.command()(trace.compare)
app.command()(timeline.timeline)
app.command()(report.report)
app.command()(cluster.cluster)
app.command()(cluster.promote)
app.command()(gallery.enrol)
app.add_typer(gallery.app, name="gallery")
app.command()(calibrate.calibrate)
app.command()(train.train)
app.command()(train.embed)
app.command()(evaluate.evaluate)
app.command()(validate.validate)
app.command()(stress.stress)
app.command()(explore.probe)
app.command("map")(explore.map_)
app.command()(table1.table1)
app.add_typer(corpus_app, name="corpus")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"synthprint {synthprint.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which text-to-speech system made this clip, is it one we know, and are these two from the same one?"""


def main() -> None:
    """Run the command line; an error of ours is shown as one line, without a traceback, and exits with 2."""
    try:
        app()
    except SynthprintError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
