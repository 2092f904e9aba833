"""The command line: each command opens files, calls one thing, and shows the result.

Command modules import what they need inside their functions, so that `synthprint --help` stays quick.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
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
    terminal,
    timeline,
    trace,
    train,
    validate,
)
from synthprint.errors import SynthprintError
from synthprint.wording import printable

EXIT_STATUSES = {
    (DONE := 0): "it is done",
    (LEFT_OUT := 1): "it is done, but some clips could not be read and are left out",
    (FAILED := 2): "it could not be done; one line on stderr says why",
    (UNFORESEEN := 70): "a fault of synthprint; please report the traceback",
    (INTERRUPTED := 130): "it was interrupted by Ctrl-C",
}

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
    """Run the command line; see `EXIT_STATUSES` for what it ends with."""
    terminal.prepare()
    sys.exit(_status())


def _status() -> int:
    """Run the command; what is foreseen ends in one line on stderr, anything else in a traceback."""
    try:
        status = _called()
        sys.stdout.flush()
        return status
    except SynthprintError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename or 'the system'}: {error.strerror or error}")
    except MemoryError:
        return _failed("there is not enough memory for this; give fewer or shorter clips at a time")
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return UNFORESEEN


def _called() -> int:
    try:
        status = app(standalone_mode=False)
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
