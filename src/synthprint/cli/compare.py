"""`synthprint compare`: how strongly two clips, or two sets, speak for one source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import ChannelOption, JsonOption, ModelOption, ThreadsOption
from synthprint.cli.tables import print_json, print_notes, report_left_out, say
from synthprint.wording import counted, printable

if TYPE_CHECKING:
    from synthprint.tracing.comparison import Comparison


def compare(
    a: Annotated[Path, typer.Argument(help="Clip, or set of clips: an audio file, or a folder.")],
    b: Annotated[Path, typer.Argument(help="The other clip, or set.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """How strongly two clips, or two sets, speak for one source.

    Exits with 1 if a clip was left out.
    """
    from synthprint.tracing.comparison import compare as compare_sets

    found = compare_sets(a, b, model, channel, threads)
    if as_json:
        print_json(found.to_dict(), indent=None)
    else:
        _print_comparison(found)
    if found.failures:
        raise typer.Exit(1)


def _print_comparison(found: Comparison) -> None:
    for path, human in found.human.items():
        say(f"{printable(path)}: {human.words}, {human.statement}")
    for weighed in found.weighed:
        say(weighed.statement[0].upper() + weighed.statement[1:])
        fitted = weighed.calibration
        say(f"log10 LR {weighed.lr.log10_lr:.2f}, supported from {fitted.lower:.2f} to {fitted.upper:.2f} "
                   f"by {fitted.validation}")  # fmt: skip
    sets = f"{counted(len(found.a), 'clip')} against {counted(len(found.b), 'clip')}"
    say(f"cosine similarity {found.score:.3f}, {sets} (from -1 to 1; higher means more likely the same source)")
    print_notes(found.warnings)
    report_left_out(found.failures.items())
