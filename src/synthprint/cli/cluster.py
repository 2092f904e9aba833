"""`synthprint cluster` and `synthprint promote`: exhibits grouped by source, and a group made a source of a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.gallery import report_enrolled, writable
from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.cli.trace import Backend, Channel, Enrolled, Model, Threads, shown
from synthprint.linting.findings import counted

if TYPE_CHECKING:
    from synthprint.clustering.exhibits import Clustering, Group

GROUPS, LINKAGE, PICTURE = "groups.json", "linkage.csv", "linkage.svg"


def cluster(
    clips: Annotated[list[Path], typer.Argument(help="Audio files, or folders: all audio below them.")],
    gallery: Enrolled = None,
    no_gallery: Annotated[bool, typer.Option("--no-gallery", help="Group only; do not say which are known.")] = False,
    model: Model = None,
    backend: Backend = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=-1.0, max=1.0, help="Mean cosine from which on groups are joined (default: the model's)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for groups.json, linkage.csv and linkage.svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
    channel: Channel = "auto",
) -> None:
    """Which clips come from one source, and which of these are new. Exits with 1 if a clip could not be read."""
    from synthprint.clustering.exhibits import cluster as grouped
    from synthprint.clustering.tuning import Tuning
    from synthprint.conditions import Limits
    from synthprint.extractors import load_extractor
    from synthprint.files import check_place
    from synthprint.tracing.calibrations import ComparisonCalibrations
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import gallery_folder, model_folder
    from synthprint.tracing.tracer import Tracer

    if out:
        check_place(out, folder=True)
    folder = model_folder(model)
    extractor = load_extractor(folder, threads=threads)
    tuning, calibrations, limits = (
        Tuning.load(folder, extractor.digest),
        ComparisonCalibrations.load(folder, extractor.digest),
        Limits.load(folder, extractor.digest),
    )
    tracer = None if no_gallery else Tracer(extractor, Gallery.load(gallery_folder(gallery)), backend)
    found = grouped(extractor, clips, tuning, threshold, calibrations, limits, tracer, channel)
    if out:
        _write(found, extractor.digest, out)
    if as_json:
        print_json(found.to_dict(), indent=None)
    else:
        _print(found)
    if found.failures and not as_json:
        say(f"{counted(len(found.failures), 'clip')} could not be grouped:", err=True)
        for path, reason in found.failures.items():
            say(f"  {shown(path)}: {reason}", err=True)
    if found.failures:
        raise typer.Exit(1)


def promote(
    folder: Annotated[Path, typer.Argument(help="What 'synthprint cluster --out' wrote.")],
    group: Annotated[int, typer.Argument(min=1, help="The number of a group in it.")],
    source: Annotated[str, typer.Argument(help="The name that the group's system is to have.")],
    gallery: Annotated[Path, typer.Argument(help="The gallery's folder; it is made where there is none.")],
    family: Annotated[str | None, typer.Option(help="The family, or architecture, that it belongs to.")] = None,
    start_from: Annotated[
        Path | None, typer.Option("--from", help="Start a new gallery as a copy of this one, or of 'default'.")
    ] = None,
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
) -> None:
    """Enrol a group of clips as a source of a gallery. Exits with 1 if a clip was left out."""
    from synthprint.clustering.record import clips_of
    from synthprint.tracing.enrolment import from_files
    from synthprint.tracing.gallery_files import Source

    extractor, place = writable(gallery, start_from, model, threads)
    enrolment = from_files(extractor, source, clips_of(folder / GROUPS, group, extractor.digest), Source(family))
    with place.opened() as chosen:
        enrolled = enrolment.into(chosen)
        count = chosen.clip_counts().get(source, 0)
    report_enrolled(enrolled, f"{source!r} has {counted(count, 'clip')} in {gallery}", as_json)


def _write(found: Clustering, extractor: str, out: Path) -> None:
    from synthprint.clustering.record import linkage_rows, write_groups
    from synthprint.errors import MissingDependency
    from synthprint.files import csv_text, together, write_text

    with together(out) as folder:
        write_groups(folder / GROUPS, found, extractor)
        write_text(folder / LINKAGE, csv_text(linkage_rows(found)), errors="backslashreplace")
        try:
            from synthprint.figures.linkage import linkage_figure

            linkage_figure(found, folder / PICTURE)
        except MissingDependency as error:
            print_notes([f"{PICTURE} was not drawn: {error}"])


def _print(found: Clustering) -> None:
    clips = counted(len(found.exhibits), "clip")
    say(f"{clips} in {counted(len(found.groups), 'group')}")
    what = "cosine" if found.log10_lr is None else "log10 LR"
    header = ("group", "clips", f"mean {what}", "least", "nearest", "log10 LR", "answer")
    print_table(header, [_row(group, found.log10_lr is not None) for group in found.groups], header[:-1])
    for group in found.groups:
        say(f"group {group.number}: " + ", ".join(shown(found.exhibits[i].path) for i in group.members))
    if found.tuning:
        say(f"Groups are {found.tuning.sentence()}.")
    if found.population:
        say(f"An LR weighs one source against two; calibrated on {found.population}.")
    print_notes(f"one file under several names: {', '.join(map(shown, paths))}" for paths in found.repeated())
    print_notes(f"{shown(clip.path)}: {warning}" for clip in found.exhibits for warning in clip.warnings)
    print_notes(found.warnings)


def _row(group: Group, calibrated: bool) -> tuple[str, ...]:
    within = (group.mean_log10_lr, group.least_log10_lr) if calibrated else (group.mean_cosine, group.least_cosine)
    lr = group.nearest_lr.log10_lr if group.nearest_lr else None
    cells: tuple[Any, ...] = (*within, group.nearest, lr)
    told = ("" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return (str(group.number), str(len(group.members)), *told, group.verdict)
