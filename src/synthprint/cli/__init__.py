"""The command line: each command opens files, calls one thing, and shows the result.

A command stands in the file of its name, or in that of its group. The others help: `options` (what several commands
are given), `labelled` (opens what a command is given), `enrolled`, `rules` and `intervals` (show what several have to
show), `tables` and `terminal` (write), `renamed` (old names). Command modules import what they need inside their
functions, so that `synthprint --help` stays quick.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from typing import Annotated, cast

import typer

import synthprint
from synthprint.cli import (
    bulk,
    cluster,
    compare,
    corpus,
    embed,
    enrol,
    evaluate,
    gallery,
    grid,
    lint,
    model,
    monitor,
    probe,
    report,
    search,
    serve,
    terminal,
    timeline,
    trace,
    train,
    watch,
)
from synthprint.cli import map as map_
from synthprint.cli.renamed import Commands
from synthprint.errors import SynthprintError
from synthprint.wording import printable

EXIT_STATUSES = {
    (DONE := 0): "it is done",
    (LEFT_OUT := 1): "it is done, but some clips could not be read and are left out",
    (FAILED := 2): "it could not be done; one line on stderr says why",
    (UNFORESEEN := 70): "a fault of synthprint; please report the traceback",
    (INTERRUPTED := 130): "it was interrupted by Ctrl-C",
}

EXAMINE, GALLERIES, MEASURE = "Examine clips", "Enrol sources", "Train and measure"  # sections of the help
MODELS, DATA = "Models", "Data"

app = typer.Typer(
    name="synthprint",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
corpus_app = typer.Typer(cls=Commands, help="Make, and check, what is trained and tested on.", no_args_is_help=True)
corpus_app.command()(corpus.engines)
corpus_app.command()(corpus.build)
corpus_app.command()(corpus.split)
corpus_app.command()(lint.lint)

app.command(rich_help_panel=EXAMINE)(trace.trace)
app.command(rich_help_panel=EXAMINE)(compare.compare)
app.command(rich_help_panel=EXAMINE)(timeline.timeline)
app.command(rich_help_panel=EXAMINE)(cluster.cluster)
app.command(rich_help_panel=EXAMINE)(report.report)
app.command(rich_help_panel=EXAMINE)(watch.watch)
app.command(rich_help_panel=EXAMINE)(monitor.monitor)
app.add_typer(bulk.app, name="bulk", rich_help_panel=EXAMINE)
app.add_typer(serve.app, name="serve", rich_help_panel=EXAMINE)
app.command(rich_help_panel=GALLERIES)(enrol.enrol)
app.add_typer(gallery.app, name="gallery", rich_help_panel=GALLERIES)
app.command(rich_help_panel=MEASURE)(train.train)
app.command(rich_help_panel=MEASURE)(embed.embed)
app.command(rich_help_panel=MEASURE)(evaluate.evaluate)
app.command(rich_help_panel=MEASURE)(probe.probe)
app.command("map", rich_help_panel=MEASURE)(map_.map_)
app.command(rich_help_panel=MEASURE)(grid.grid)
model.app.command()(search.search)
app.add_typer(model.app, name="model", rich_help_panel=MODELS)
app.add_typer(corpus_app, name="corpus", rich_help_panel=DATA)


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
    """Run the command line; see `EXIT_STATUSES` for what it ends with."""
    terminal.prepare()
    sys.exit(_status())


def _status() -> int:
    """Run the command; what is foreseen ends in one line on stderr, anything else in a traceback."""
    commands = cast("Commands", typer.main.get_command(app))
    try:
        status = _called(commands)
        sys.stdout.flush()
        return status
    except SynthprintError as error:
        words = commands.words(error.parameter) if error.parameter else None
        text = f"{error} ({words})" if words else str(error)
        return _failed(f"{text}; see 'synthprint {error.command} --help'" if error.command else text)
    except OSError as error:
        return _failed(f"{error.filename or 'the system'}: {error.strerror or error}")
    except MemoryError:
        return _failed("there is not enough memory for this; give fewer or shorter clips at a time")
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return UNFORESEEN


def _called(commands: Commands) -> int:
    try:
        status = commands(standalone_mode=False)
    except SystemExit as leaving:  # by a library: what it means by its status is not what ours mean
        if isinstance(leaving.__context__, OSError):
            raise leaving.__context__ from None
        return FAILED if leaving.code else DONE
    except Exception as error:
        if not (hasattr(error, "show") and hasattr(error, "message")):  # as errors of usage have
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # whose message is the help
            error.show()
            return FAILED
        told = error.format_message() if hasattr(error, "format_message") else str(error.message)
        reason = "; ".join(line.strip() for line in told.splitlines() if line.strip()).rstrip(".")
        command = getattr(getattr(error, "ctx", None), "command_path", "synthprint")
        return _failed(f"{reason}; see '{command} --help'")
    return status if isinstance(status, int) else DONE


def _failed(reason: str) -> int:
    with suppress(SynthprintError):
        sys.stdout.flush()
    print(f"error: {printable(reason)}", file=sys.stderr)  # noqa: T201
    return FAILED
