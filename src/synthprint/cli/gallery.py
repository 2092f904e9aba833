"""`synthprint gallery …`: the sources that clips are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.alias import alias
from synthprint.cli.enrolled import report_enrolled, show_enrolled
from synthprint.cli.export import export
from synthprint.cli.labelled import open_split
from synthprint.cli.options import (
    DATA_SET,
    DataArgument,
    DevSplitOption,
    ForceOption,
    FromOption,
    GalleryArgument,
    JsonOption,
    ModelOption,
    NewGalleryArgument,
    OwnGalleryArgument,
    ProtocolOption,
    SeedOption,
    SplitOption,
    ThreadsOption,
    backend_option,
    per_source_option,
)
from synthprint.cli.renamed import Commands
from synthprint.cli.rules import show_rules
from synthprint.cli.search import choose_search
from synthprint.cli.tables import print_json, print_table, report_left_out, say
from synthprint.cli.undo import undo
from synthprint.cli.unpack import unpack
from synthprint.wording import counted

if TYPE_CHECKING:
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.rules import OperatingPoint

app = typer.Typer(
    name="gallery",
    cls=Commands,
    help="Look at a gallery of enrolled sources, and change it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_sources(gallery: GalleryArgument = None, as_json: JsonOption = False) -> None:
    """The enrolled sources."""
    opened = _open(gallery)
    counts = opened.clip_counts()
    published = dict(zip(opened.names, opened.publisher_counts, strict=True))
    header = ("source", "title", "family", "kind", "vocoder", "clips", "publishers", "alias of")
    rows = [
        (
            name, known.title, known.family, known.kind, known.vocoder, counts[name],
            len(published.get(name, ())) or None, opened.index.aliases.get(name),
        )
        for name, known in sorted(opened.index.sources.items())
    ]  # fmt: skip
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_table(
            header, [["" if cell is None else str(cell) for cell in row] for row in rows], ("clips", "publishers")
        )


@app.command()
def show(
    gallery: GalleryArgument = None,
    source: Annotated[str | None, typer.Argument(help="Source: show its clips.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What a gallery holds and how it answers, or a source's clips."""
    from dataclasses import asdict

    opened = _open(gallery)
    if source is not None:
        _show_clips(opened, source, as_json)
        return
    rules = {name: setting.rule for name, setting in opened.index.backends.items() if setting.rule}
    if as_json:
        print_json({
            "folder": str(opened.folder), "extractor": opened.index.extractor, "backend": opened.index.backend,
            "sources": len(opened.names), "clips": len(opened.clips), "publishers": len(opened.clips.publishers),
            "from_one_publisher": _from_one(opened),
            "rules": {name: asdict(rule) for name, rule in rules.items()},
        })  # fmt: skip
        return
    say(f"{opened.folder}: {counted(len(opened.clips), 'clip')} of {counted(len(opened.names), 'source')}")
    say(f"extractor {opened.index.extractor[:12]}")
    if opened.clips.publishers:
        say(
            f"{counted(len(opened.clips.publishers), 'publisher')}; "
            f"{counted(_from_one(opened), 'source')} from one publisher only: a likeness may be of the page"
        )
    show_rules(opened)


@app.command("import")
def import_(
    gallery: NewGalleryArgument,
    data: DataArgument,
    split: SplitOption = None,
    protocol: ProtocolOption = None,
    per_source: Annotated[int | None, per_source_option("enrolled", show_default="all")] = None,
    seed: SeedOption = 0,
    start_from: FromOption = None,
    model: ModelOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Enrol all sources of a data set, with their families. Exits with 1 if a clip was left out."""
    import numpy as np

    from synthprint.gallery.enrolment import at_most, enrol_manifest

    manifest = open_split(data, protocol, split)
    if per_source:
        manifest = at_most(manifest, per_source, np.random.default_rng(seed))
    enrolled = enrol_manifest(gallery, manifest, model=model, start_from=start_from, force=force, threads=threads)
    report_enrolled(enrolled, f"{counted(enrolled.sources, 'source')} in {gallery}", as_json)


@app.command()
def calibrate(
    gallery: OwnGalleryArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", help=f"Data: development clips, of enrolled sources and of others; {DATA_SET}."),
    ] = None,
    split: DevSplitOption = None,
    protocol: ProtocolOption = None,
    false_rejection: Annotated[
        float | None, typer.Option(help="False rejection: share of clips of enrolled sources answered 'unknown'.")
    ] = None,
    false_acceptance: Annotated[
        float | None, typer.Option(help="False acceptance: share of clips of other sources that are given one.")
    ] = None,
    backend: Annotated[str | None, backend_option("what the gallery answers by from now on", "the gallery's")] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Set a gallery's threshold, and what its scores are worth.

    A clip that scores below the threshold is unknown. By default both errors are equally likely. Without --data,
    enrolled clips are left out in turn. Exits with 1 if some clips could not be embedded.
    """
    # Long: its options.
    from dataclasses import asdict

    from synthprint.extractor.runtime import load_extractor
    from synthprint.gallery.calibrating import embed_development, set_threshold
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import own_gallery_folder
    from synthprint.model.shipped import model_folder

    point = _operating_point(false_rejection, false_acceptance)
    opened = Gallery.load(own_gallery_folder(gallery))
    development, failures = None, dict[str, str]()
    if data is not None:
        manifest = open_split(data, protocol, split, "dev")
        extractor = load_extractor(model_folder(model), threads=threads)
        development, failures = embed_development(extractor, opened, manifest)
    rules = set_threshold(opened, development, point, default=backend)
    if as_json:
        print_json({name: asdict(rule) for name, rule in rules.items()})
    else:
        show_rules(opened)
    report_left_out(failures.items())
    if failures:
        raise typer.Exit(1)


def _operating_point(false_rejection: float | None, false_acceptance: float | None) -> OperatingPoint:
    from synthprint.gallery.rules import OperatingPoint

    if false_rejection is not None and false_acceptance is not None:
        raise typer.BadParameter("give --false-rejection or --false-acceptance, not both")
    if false_rejection is not None:
        return OperatingPoint("false rejection", false_rejection)
    if false_acceptance is not None:
        return OperatingPoint("false acceptance", false_acceptance)
    return OperatingPoint()


@app.command()
def remove(
    gallery: OwnGalleryArgument,
    sources: Annotated[list[str], typer.Argument(help="Sources: their names.")],
    as_json: JsonOption = False,
) -> None:
    """Take sources out of a gallery. They can be enrolled anew."""
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    removed = []
    for source in sources:
        clips = opened.remove(source)
        removed.append({"source": source, "clips": clips})
        if not as_json:
            say(f"{source!r}: removed, with {counted(clips, 'clip')}")
    if as_json:
        print_json(removed)


app.command()(alias)


@app.command()
def merge(
    gallery: OwnGalleryArgument,
    others: Annotated[list[Path], typer.Argument(help="Galleries: folders of those whose sources are added.")],
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add what other galleries have enrolled. They stay as they are; the thresholds are those of the first.

    With --json an object for one gallery, a list of them for several.
    """
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import gallery_folder, own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    merged = []
    for other in others:
        enrolled = opened.merge(Gallery.load(gallery_folder(other)), force)
        merged.append(enrolled.to_dict())
        if not as_json:
            show_enrolled(enrolled, f"{other} merged; {counted(len(opened.names), 'source')} in {opened.folder}")
    if as_json:
        print_json(merged if len(merged) > 1 else merged[0])


app.command("search")(choose_search)
for command in (undo, export, unpack):
    app.command()(command)


def _open(gallery: Path | None) -> Gallery:
    from synthprint.gallery.gallery import Gallery
    from synthprint.gallery.shipped import gallery_folder

    return Gallery.load(gallery_folder(gallery))


def _from_one(gallery: Gallery) -> int:
    """How many sources are known from one publisher only."""
    return sum(len(published) == 1 for published in gallery.publisher_counts)


def _show_clips(gallery: Gallery, source: str, as_json: bool) -> None:
    from dataclasses import asdict

    from synthprint.errors import GalleryError

    clips = gallery.source_clips(source)
    if not clips:
        raise GalleryError(f"{gallery.folder}: {source!r} is not enrolled; see 'synthprint gallery list'")
    if as_json:
        print_json([asdict(clip) for clip in clips])
        return
    known = gallery.index.sources[source]
    details = (known.title, known.family, known.kind, known.vocoder)
    say(f"{source}: {', '.join(filter(None, details)) or 'nothing is on record of it'}")
    if source in gallery.names and (published := gallery.publisher_counts[gallery.names.index(source)]):
        say("publishers: " + ", ".join(f"{name} ({counted(count, 'clip')})" for name, count in published.items()))
    rows = [
        [c.id, c.publisher or "", "" if c.duration_s is None else f"{c.duration_s:.1f}", c.sha256[:12]] for c in clips
    ]
    print_table(("clip", "publisher", "seconds", "sha256"), rows, numbers=("seconds",))
