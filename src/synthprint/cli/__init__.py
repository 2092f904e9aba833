"""The command line: each command opens files, calls one thing, and shows the result.

Command modules import what they need inside their functions, so that `synthprint --help` stays quick.
"""

from __future__ import annotations

import sys

import typer

from synthprint.errors import SynthprintError

app = typer.Typer(
    name="synthprint",
    help="Which text-to-speech system made this clip, is it one we know, and are these two from the same one?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line; an error of ours is shown as one line, without a traceback, and exits with 2."""
    try:
        app()
    except SynthprintError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
