"""`synthprint model …`: a model made of a trained checkpoint, measured, and described."""

# Long: six commands, with the options of each.
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthprint.cli.human import human
from synthprint.cli.labelled import open_split
from synthprint.cli.options import (
    DataOption,
    DevSplitOption,
    JsonOption,
    MainCorpusOption,
    ModelArgument,
    ProtocolOption,
    SeedOption,
    SplitOption,
    ThreadsOption,
    backend_option,
    out_folder,
    per_source_option,
)
from synthprint.cli.renamed import Commands
from synthprint.cli.tables import print_json, print_notes, print_table, report_left_out, say

if TYPE_CHECKING:
    from synthprint.measuring.building import BuiltModel
    from synthprint.measuring.degrading import DegradedFigures
    from synthprint.measuring.limits import DerivedLimits

app = typer.Typer(
    name="model",
    cls=Commands,
    help="Make a model of a trained checkpoint, measure it, and see what it has.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(human)
FolderArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="Model: its folder; what is measured is stored in it.")
]
EachOption = Annotated[
    int, typer.Option("--each", min=1, help="Spliced waves: how many of every kind and length to tune on.")
]


@app.command()
def build(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint: its folder, or a training run's.")],
    data: DataOption,
    out: Annotated[Path, out_folder("the model")],
    protocol: ProtocolOption = None,
    backend: Annotated[str, backend_option("what its gallery answers by from now on")] = "mahalanobis",
    per_source: Annotated[int, per_source_option("enrolled")] = 30,
    never_enrol: Annotated[
        list[str] | None,
        typer.Option("--never-enrol", help="Source: one that is never enrolled, to stay unknown (may be repeated)."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", help="Alias: SOURCE=OTHER, two names of one system (may be repeated)."),
    ] = None,
    names: Annotated[
        Path | None, typer.Option("--names", help="Names: a TOML file of what people call the sources.")
    ] = None,
    human: Annotated[bool, typer.Option("--human", help="Also enrol human speech, as a source.")] = False,
    per_publisher: Annotated[
        int | None, typer.Option("--per-publisher", min=1, help="Clips enrolled of a source and a publisher, at most.")
    ] = None,
    corpus: MainCorpusOption = None,
    tune: Annotated[bool, typer.Option("--tune", help="Also tune the timeline and clustering.")] = False,
    each: EachOption = 8,
    limits: Annotated[
        Path | None, typer.Option("--limits", help="Also derive limits: a folder for their work, where it can go on.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="A folder for figures of limits, clusters, backends compared.")
    ] = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Make a model of a checkpoint and a manifest with train, dev and test splits.

    Gallery, rules, calibrations, measurements, card. Exits with 1 if some clips could not be embedded.
    """
    # Long: the options of a whole model, and the objects that they become.
    from synthprint import files
    from synthprint.manifests.opening import distinct, open_manifest
    from synthprint.measuring.building import Building
    from synthprint.measuring.building import build as build_model
    from synthprint.measuring.enrolling import EnrolmentPlan
    from synthprint.measuring.source_names import SourceNames
    from synthprint.measuring.tuning import FurtherMeasurements, measure_further

    for place in filter(None, (out, limits, figures)):
        files.check_place(place, folder=True)
    manifest = distinct(open_manifest(data, protocol))
    plan = EnrolmentPlan(
        tuple(never_enrol or ()), per_source, aliases=_aliases(alias or []), human=human,
        most_per_publisher=per_publisher, names=SourceNames.load(names) if names else SourceNames(),
    )  # fmt: skip
    building = Building(plan, backend, corpus, threads)
    built = build_model(checkpoint, manifest, out, building)
    measure_further(built, manifest, building, FurtherMeasurements(tune, each, limits, figures))
    if as_json:
        print_json(built.measurements, ascii_only=False)
    else:
        _show_built(built)
    _end_with_left_out(built.failures)


def _aliases(pairs: list[str]) -> dict[str, list[str]]:
    aliases: dict[str, list[str]] = {}
    for pair in pairs:
        source, equals, other = pair.partition("=")
        if not (source and equals and other):
            raise typer.BadParameter(f"{pair!r} is not SOURCE=OTHER", param_hint="--alias")
        aliases.setdefault(source, []).append(other)
    return aliases


def _show_built(built: BuiltModel) -> None:
    splits = list(built.measurements["eer"])
    rows = [
        (name, *(f"{100 * by_split[name]['eer']:.1f}" if name in by_split else "-" for by_split in eers))
        for eers in [list(built.measurements["eer"].values())]
        for name in dict.fromkeys(name for by_split in eers for name in by_split)
    ]
    header = ("clips", *(f"EER %, {split}" for split in splits))
    print_table(header, rows, header[1:])
    say(f"{built.folder}: {len(built.gallery.clips):,} clips of {len(built.gallery.names)} sources enrolled")


def _end_with_left_out(failures: dict[str, str]) -> None:
    """List the clips that could not be embedded; where there are some, the status is 1."""
    report_left_out(failures.items())
    if failures:
        raise typer.Exit(1)


@app.command()
def calibrate(
    model: FolderArgument,
    data: DataOption,
    split: DevSplitOption = None,
    unseen: Annotated[bool, typer.Option(help="Only sources that the data say were not seen in training.")] = False,
    protocol: ProtocolOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Fit what 'synthprint compare' needs to answer with likelihood ratios.

    The data are development clips, of sources that the model was not trained on, if possible. Exits with 1 if some
    clips could not be embedded.
    """
    from synthprint.measuring.tuning import store_calibrations
    from synthprint.model.calibrations import COMPARISONS
    from synthprint.model.model import Model

    _check_folder(model)
    manifest = open_split(data, protocol, split, "dev")
    if unseen:
        manifest = manifest.filter(lambda u: u.source_seen is False)
    fitted, failures = store_calibrations(Model.load(model, threads=threads, measured=False), manifest)
    rows = [
        (f"{a} and {b}", f"{one.quality.cllr:.3f}", f"{one.quality.eer:.1%}", f"{one.lower:.2f}", f"{one.upper:.2f}")
        for (a, b), one in fitted.by_clips.items()
    ]
    header = ("clips", "Cllr", "EER", "least log10 LR", "most log10 LR")
    print_table(header, rows, header)
    say(f"{model / COMPARISONS} written")
    _end_with_left_out(failures)


def _check_folder(model: Path) -> None:
    """Only a model of one's own is written to."""
    from synthprint.errors import CheckpointError

    if not model.is_dir():
        raise CheckpointError(f"{model}: is no checkpoint's folder; the model that comes with synthprint is measured")


@app.command()
def limits(
    model: ModelArgument,
    data: DataOption,
    out: Annotated[Path, out_folder("the results; an unfinished run in it goes on")],
    protocol: ProtocolOption = None,
    split: SplitOption = None,
    gallery: Annotated[
        Path | None, typer.Option("--gallery", "-g", help='Also identify: a gallery of this model, or "default".')
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Degradation: one to apply (may be repeated).", show_default="all"),
    ] = None,
    per_source: Annotated[int | None, per_source_option("degraded", least=2, show_default="all")] = None,
    eer_rise: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="EER rise: the most within the limits, as a share; 0.05 is 5 points."),
    ] = 0.05,
    rejection_rise: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="False rejection rise: the most within the limits, as a share; with --gallery."
        ),
    ] = 0.20,
    accuracy_fall: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Accuracy fall: the most within the limits, as a share; with --gallery."),
    ] = 0.10,
    calibration_rise: Annotated[
        float, typer.Option(min=0.0, help="Calibration cost rise: the most within the limits, in bits.")
    ] = 0.05,
    install: Annotated[bool, typer.Option("--install", help="Also store the limits in the model's folder.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Degrade clips in many ways and measure the answers. Exits with 1 if some clips could not be embedded.

    Writes stress.json, stress.csv, limits.json and a figure for each degradation. docs/limits.md says what is done.
    """
    # Long: its options.
    from synthprint.files import check_place
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import gallery_folder
    from synthprint.manifests.opening import distinct, open_manifest
    from synthprint.measuring.degraded_files import failure_lines
    from synthprint.measuring.degrading import Allowed
    from synthprint.measuring.limits import LimitsPlan, store_experiment
    from synthprint.model.model import Model

    check_place(out, folder=True)
    if install:
        _check_folder(Path(model))
    opened, manifest = Model.load(model, threads=threads), distinct(open_manifest(data, protocol))
    enrolled = None if gallery is None else Gallery.load(gallery_folder(gallery))
    allowed = Allowed(eer_rise, rejection_rise, accuracy_fall, calibration_rise)
    plan = LimitsPlan(split, per_source, tuple(only or ()), allowed, seed, threads)
    derived = store_experiment(opened, manifest, out, plan, enrolled, Path(data).name, install)
    _draw(derived.figures, out / "figures")
    if as_json:
        print_json(derived.to_dict(), ascii_only=False)
    else:
        _show_limits(derived)
    print_notes(f"{name} was left out: {reason}" for name, reason in derived.figures.left_out.items())
    failed = list(failure_lines(derived.figures))
    for line in failed:
        say(line, err=True)
    if failed:
        raise typer.Exit(1)


def _draw(figures: DegradedFigures, folder: Path) -> None:
    """The pictures, where they can be drawn; the results stand whether or not they can."""
    from synthprint.errors import MissingDependency
    from synthprint.figures.degradations import draw_degradations

    try:
        draw_degradations(figures, folder)
    except MissingDependency as error:
        print_notes([f"{folder.name} were not drawn: {error}"])


def _show_limits(derived: DerivedLimits) -> None:
    from synthprint.measuring.degraded_files import level_table
    from synthprint.measuring.description import limits_line

    header, lines = level_table(derived.figures)
    print_table(header, lines, header[2:])
    say(limits_line(derived.limits.to_dict()))


@app.command()
def tune(
    model: FolderArgument,
    data: DataOption,
    protocol: ProtocolOption = None,
    timeline: Annotated[
        bool, typer.Option("--timeline/--no-timeline", help="Timeline: tune when a change of source counts.")
    ] = True,
    clusters: Annotated[
        bool, typer.Option("--clusters/--no-clusters", help="Clusters: tune when clips are grouped.")
    ] = True,
    each: EachOption = 8,
    corpus: MainCorpusOption = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Tune the timeline and clustering on the dev split of a manifest, and measure them on its test split."""
    from synthprint.manifests.opening import distinct, open_manifest
    from synthprint.measuring.tuning import store_clusters, store_timeline
    from synthprint.model.model import Model

    _check_folder(model)
    manifest = distinct(open_manifest(data, protocol))
    opened = Model.load(model, threads=threads, measured=False)
    reports: dict[str, Any] = {}
    if timeline:
        reports["timeline"] = store_timeline(opened, manifest, each, corpus)
    if clusters:
        reports["clusters"] = store_clusters(opened, manifest, main=corpus)
    if as_json:
        print_json(reports, ascii_only=False)
        return
    if timeline:
        tuning = reports["timeline"]["tuning"]
        say(f"timeline: a change from strength {tuning['threshold']:.2f} on, to within {tuning['accuracy_s']:.2f} s")
    if clusters:
        say(f"clusters: joined from a mean cosine of {reports['clusters']['threshold']:.2f} on")


@app.command()
def card(model: FolderArgument) -> None:
    """Write the card of a model, README.md in its folder, from what was measured of it."""
    from synthprint.measuring.card import CARD, write_card

    _check_folder(model)
    write_card(model)
    say(f"{model / CARD} written")


@app.command()
def show(model: ModelArgument = "default", as_json: JsonOption = False) -> None:
    """What a model has, and what it lacks."""
    from synthprint.measuring.description import describe_model, description_lines

    description = describe_model(model)
    if as_json:
        print_json(description, ascii_only=False)
    else:
        for line in description_lines(description):
            say(line)
