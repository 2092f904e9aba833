"""`synthprint monitor`: answers over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import GalleryOption, JsonOption, ModelOption, out_file, threshold_option
from synthprint.cli.tables import print_json, print_notes, print_table, say

if TYPE_CHECKING:
    from synthprint.monitoring.monitor import Monitoring


def monitor(
    answers: Annotated[
        list[Path], typer.Argument(metavar="FOLDERS", help="Folders of answers: what 'bulk trace' and 'watch' write.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Reference: a folder of answers that the windows are compared with, such as those to the validation "
            "clips.",
            show_default="the first windows",
        ),
    ] = None,
    first: Annotated[int, typer.Option(min=1, help="First: how many windows are the reference.")] = 1,
    by: Annotated[
        str,
        typer.Option(
            help="By: day or hour of the answer (UTC), or a pattern whose first group, found in the address, names the "
            "window."
        ),
    ] = "day",
    rate: Annotated[
        float,
        typer.Option(min=1e-9, max=0.5, help="Rate: of reports with an alarm, where nothing has changed, at most."),
    ] = 0.01,
    effect: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Effect: how large a difference must be for an alarm.")
    ] = 0.1,
    threshold: Annotated[float | None, threshold_option("groups of unknown clips")] = None,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    out: Annotated[Path | None, out_file("the page (.html)")] = None,
    as_json: JsonOption = False,
) -> None:
    """What changes in answers over time, and which groups of unknown clips grow.

    Needs the extra monitor. Exits with 1 if there is an alarm.
    """
    # Long: its options.
    from synthprint.files import check_place
    from synthprint.monitoring.opening import monitor as monitored

    if out:
        check_place(out)
    found = monitored(
        answers, reference, first, by, rate=rate, least_effect=effect, threshold=threshold, gallery=gallery, model=model
    )
    if out:
        from synthprint.figures.monitoring_page import monitoring_page

        monitoring_page(found, out, "Answers over time")
    if as_json:
        print_json(found.to_dict(), indent=None)
    else:
        _print(found)
    if found.alarms:
        raise typer.Exit(1)


def _print(found: Monitoring) -> None:
    from synthprint.monitoring.tables import GROUPS, WINDOWS, group_rows, sentences, window_rows

    print_table(WINDOWS, window_rows(found), WINDOWS[1:])
    for alarm in found.alarms:
        say(f"alarm: {alarm.sentence()}")
    if found.groups:
        print_table(GROUPS, group_rows(found), GROUPS[1:5])
    for sentence in sentences(found):
        say(sentence)
    print_notes(found.notes)
