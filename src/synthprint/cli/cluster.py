"""`synthprint cluster`: exhibits grouped by source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    ClipsArgument,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    out_folder,
    threshold_option,
)
from synthprint.cli.tables import print_json, print_notes, print_table, report_left_out, say
from synthprint.wording import counted, printable

if TYPE_CHECKING:
    from synthprint.casework.groups import Clustering, Group

GROUPS, LINKAGE, PICTURE = "groups.json", "linkage.csv", "linkage.svg"


def cluster(
    clips: ClipsArgument,
    gallery: GalleryOption = None,
    no_gallery: Annotated[bool, typer.Option("--no-gallery", help="Group only: do not say which are known.")] = False,
    model: ModelOption = None,
    backend: BackendOption = None,
    threshold: Annotated[float | None, threshold_option()] = None,
    out: Annotated[Path | None, out_folder(f"{GROUPS}, {LINKAGE} and {PICTURE}")] = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """Which clips come from one source, and which of these are new. Exits with 1 if a clip could not be read."""
    # Long: its options.
    from synthprint.casework.clusters import cluster as grouped
    from synthprint.files import check_place

    if out:
        check_place(out, folder=True)
    enrolled = None if no_gallery else gallery or "default"
    found = grouped(clips, model, enrolled, threshold, backend=backend, threads=threads, channel=channel)
    if out:
        _write(found, out)
    if as_json:
        print_json(found.to_dict(), indent=None)
    else:
        _print(found)
    if found.failures and not as_json:
        report_left_out(found.failures.items(), len(found.exhibits) + len(found.spoken) + len(found.failures))
    if found.failures:
        raise typer.Exit(1)


def _write(found: Clustering, out: Path) -> None:
    from synthprint.casework.record import linkage_rows, write_groups
    from synthprint.errors import MissingDependency
    from synthprint.files import csv_text, together, write_text

    with together(out) as folder:
        write_groups(folder / GROUPS, found)
        write_text(folder / LINKAGE, csv_text(linkage_rows(found)), errors="backslashreplace")
        if not found.exhibits:
            return
        try:
            from synthprint.figures.linkage import linkage_figure

            linkage_figure(found, folder / PICTURE)
        except MissingDependency as error:
            print_notes([f"{PICTURE} was not drawn: {error}"])


def _print(found: Clustering) -> None:
    for exhibit in found.spoken:
        say(f"human speech: {printable(exhibit.path)}, {exhibit.human.statement if exhibit.human else ''}")
    if found.exhibits:
        _print_groups(found)
    print_notes(f"one file under several names: {', '.join(map(printable, paths))}" for paths in found.repeated())
    exhibits = (*found.exhibits, *found.spoken)
    print_notes(f"{printable(clip.path)}: {warning}" for clip in exhibits for warning in clip.warnings)
    print_notes(found.warnings)


def _print_groups(found: Clustering) -> None:
    clips = counted(len(found.exhibits), "clip")
    say(f"{clips} in {counted(len(found.groups), 'group')}")
    what = "cosine" if found.log10_lr is None else "log10 LR"
    header = ("group", "clips", f"mean {what}", "least", "nearest", "log10 LR", "answer")
    print_table(header, [_row(group, found.log10_lr is not None) for group in found.groups], header[:-1])
    for group in found.groups:
        say(f"group {group.number}: " + ", ".join(printable(found.exhibits[i].path) for i in group.members))
    if found.tuning:
        say(f"Groups are {found.tuning.sentence()}.")
    if found.population:
        say(f"An LR weighs one source against two; calibrated on {found.population}.")


def _row(group: Group, calibrated: bool) -> tuple[str, ...]:
    within = (group.mean_log10_lr, group.least_log10_lr) if calibrated else (group.mean_cosine, group.least_cosine)
    lr = group.nearest_lr.log10_lr if group.nearest_lr else None
    cells: tuple[Any, ...] = (*within, group.nearest, lr)
    told = ("" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return (str(group.number), str(len(group.members)), *told, group.verdict)
