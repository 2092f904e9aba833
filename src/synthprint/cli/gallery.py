"""`synthprint enrol` and `synthprint gallery …`: the sources that clips are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.cli.trace import Channel, Model, Threads
from synthprint.linting.findings import counted

if TYPE_CHECKING:
    from synthprint.extractors import Extractor
    from synthprint.tracing.enrolment import Destination
    from synthprint.tracing.gallery import Enrolled, Gallery
    from synthprint.tracing.openset import OperatingPoint, Rule
    from synthprint.types import Manifest

app = typer.Typer(
    name="gallery",
    help="Look at a gallery of enrolled sources, and change it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Argument(help="The gallery's folder.")]
Readable = Annotated[
    Path | None, typer.Argument(help="The gallery's folder (default: the one that comes with synthprint).")
]
StartFrom = Annotated[
    Path | None,
    typer.Option(
        "--from", help="Start a new gallery as a copy of this one; 'default' is the one that comes with synthprint."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Also enrol files that stand for another source already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Split = Annotated[str | None, typer.Option(help="train, dev or test.")]
Protocol = Annotated[str | None, typer.Option(help="How to read the data's folder; by default found out.")]


def enrol(
    gallery: Annotated[Path, typer.Argument(help="The gallery's folder; it is made where there is none.")],
    source: Annotated[str, typer.Argument(help="The name of the system that made the clips.")],
    clips: Annotated[list[Path], typer.Argument(help="Audio files, or folders: all audio below them. One will do.")],
    family: Annotated[str | None, typer.Option(help="The family, or architecture, that the source belongs to.")] = None,
    kind: Annotated[str | None, typer.Option(help="What the source is: tts, copysyn, codec or human.")] = None,
    vocoder: Annotated[str | None, typer.Option(help="The vocoder that the source uses.")] = None,
    start_from: StartFrom = None,
    model: Model = None,
    force: Force = False,
    as_json: Json = False,
    threads: Threads = None,
    channel: Channel = "auto",
) -> None:
    """Add clips of a source to a gallery, from one clip up; nothing is trained. Exits with 1 if a clip was left out."""
    from synthprint.tracing.enrolment import from_files
    from synthprint.tracing.gallery_files import Source

    extractor, place = writable(gallery, start_from, model, threads)
    enrolment = from_files(extractor, source, clips, Source(family, kind, vocoder), channel)
    with place.opened() as chosen:
        enrolled = enrolment.into(chosen, force)
        count = chosen.clip_counts().get(source, 0)
    report_enrolled(enrolled, f"{source!r} has {counted(count, 'clip')} in {gallery}", as_json)


@app.command("add")
def add(
    gallery: Annotated[Path, typer.Argument(help="The gallery's folder; it is made where there is none.")],
    data: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet manifest, or a data set's folder.")],
    split: Split = None,
    protocol: Protocol = None,
    per_source: Annotated[int | None, typer.Option(min=1, help="Clips of each source, at most (default: all).")] = None,
    seed: Annotated[int, typer.Option(help="Which clips, where there are more.")] = 0,
    start_from: StartFrom = None,
    model: Model = None,
    force: Force = False,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Enrol all sources of a data set, with their families. Exits with 1 if a clip was left out."""
    import numpy as np

    from synthprint.tracing.enrolment import at_most, from_manifest

    manifest = open_split(data, protocol, split)
    if per_source:
        manifest = at_most(manifest, per_source, np.random.default_rng(seed))
    extractor, place = writable(gallery, start_from, model, threads)
    enrolment = from_manifest(extractor, manifest)
    with place.opened() as chosen:
        enrolled = enrolment.into(chosen, force)
        count = len(chosen.names)
    report_enrolled(enrolled, f"{counted(count, 'source')} in {gallery}", as_json)


def writable(
    gallery: Path, start_from: Path | None, model: Path | None, threads: int | None
) -> tuple[Extractor, Destination]:
    """An extractor, and where its embeddings may be enrolled."""
    from synthprint.extractors import load_extractor
    from synthprint.tracing.enrolment import destination
    from synthprint.tracing.shipped import gallery_folder, model_folder, own_gallery_folder

    folder = own_gallery_folder(gallery)
    extractor = load_extractor(model_folder(model), threads=threads)
    return extractor, destination(folder, extractor.digest, gallery_folder(start_from) if start_from else None)


@app.command("list")
def list_sources(gallery: Readable = None, as_json: Json = False) -> None:
    """The enrolled sources."""
    opened = _open(gallery)
    counts = opened.clip_counts()
    header = ("source", "family", "kind", "vocoder", "clips", "alias of")
    rows = [
        (name, known.family, known.kind, known.vocoder, counts[name], opened.index.aliases.get(name))
        for name, known in sorted(opened.index.sources.items())
    ]
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_table(header, [["" if cell is None else str(cell) for cell in row] for row in rows], numbers=("clips",))


@app.command()
def show(
    gallery: Readable = None,
    source: Annotated[str | None, typer.Argument(help="Show the clips of this source.")] = None,
    as_json: Json = False,
) -> None:
    """What a gallery is: its extractor, its size and its thresholds; or the clips of one source."""
    from dataclasses import asdict

    opened = _open(gallery)
    if source is not None:
        _show_clips(opened, source, as_json)
        return
    rules = {name: setting.rule for name, setting in opened.index.backends.items() if setting.rule}
    if as_json:
        print_json({
            "folder": str(opened.folder), "extractor": opened.index.extractor, "backend": opened.index.backend,
            "sources": len(opened.names), "clips": len(opened.clips),
            "rules": {name: asdict(rule) for name, rule in rules.items()},
        })  # fmt: skip
        return
    say(f"{opened.folder}: {counted(len(opened.clips), 'clip')} of {counted(len(opened.names), 'source')}")
    say(f"extractor {opened.index.extractor[:12]}")
    _show_rules(opened)


@app.command()
def remove(
    gallery: Folder,
    sources: Annotated[list[str], typer.Argument(help="Names of enrolled sources.")],
) -> None:
    """Take sources out of a gallery. They can be enrolled anew."""
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    for source in sources:
        say(f"{source!r}: removed, with {counted(opened.remove(source), 'clip')}")


@app.command()
def alias(
    gallery: Folder,
    source: Annotated[str, typer.Argument(help="An enrolled source: the name that answers.")],
    others: Annotated[list[str], typer.Argument(help="Enrolled sources that are the same system.")],
) -> None:
    """Declare that sources are one system under several names: from now on they are answered as one."""
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    opened.declare_aliases(source, others)
    name = opened.identity(source)
    say(f"{name!r} is also known as {', '.join(map(repr, opened.aliases_of(name)))}")


@app.command()
def unalias(
    gallery: Folder,
    aliases: Annotated[list[str], typer.Argument(help="Names that were declared aliases.")],
) -> None:
    """Take back that sources are aliases of another: each answers by itself again."""
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import own_gallery_folder

    Gallery.load(own_gallery_folder(gallery)).separate(aliases)


@app.command()
def merge(
    gallery: Folder,
    others: Annotated[list[Path], typer.Argument(help="Galleries whose sources are added to it.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Add what other galleries have enrolled; they stay as they are, and the thresholds are those of the first."""
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import gallery_folder, own_gallery_folder

    opened = Gallery.load(own_gallery_folder(gallery))
    for other in others:
        enrolled = opened.merge(Gallery.load(gallery_folder(other)), force)
        report_enrolled(enrolled, f"{other} merged; {counted(len(opened.names), 'source')} in {opened.folder}", as_json)


@app.command()
def threshold(
    gallery: Folder,
    data: Annotated[
        Path | None,
        typer.Option(help="Development clips, of enrolled sources and of others: a manifest or a data set's folder."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the data (default: dev, where it has splits).")] = None,
    protocol: Protocol = None,
    false_rejection: Annotated[
        float | None, typer.Option(help="Share of clips of enrolled sources that may be answered 'unknown': 0.05.")
    ] = None,
    false_acceptance: Annotated[
        float | None, typer.Option(help="Share of clips of other sources that may be given a source: 0.05.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="The backend that answers from now on.")] = None,
    model: Model = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Set the score below which a clip is unknown, and what a score is worth as evidence, on development data.

    By default both errors are equally likely. Without data, enrolled clips are left out in turn.
    """
    from dataclasses import asdict

    from synthprint.extractors import load_extractor
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import model_folder, own_gallery_folder
    from synthprint.tracing.thresholds import development_of, set_threshold

    point = _operating_point(false_rejection, false_acceptance)
    opened = Gallery.load(own_gallery_folder(gallery))
    development = None
    if data is not None:
        manifest = open_split(data, protocol, split, "dev")
        development = development_of(load_extractor(model_folder(model), threads=threads), opened, manifest)
    rules = set_threshold(opened, development, point, default=backend)
    if as_json:
        print_json({name: asdict(rule) for name, rule in rules.items()})
        return
    _show_rules(opened)


def _operating_point(false_rejection: float | None, false_acceptance: float | None) -> OperatingPoint:
    from synthprint.tracing.openset import OperatingPoint

    if false_rejection is not None and false_acceptance is not None:
        raise typer.BadParameter("give --false-rejection or --false-acceptance, not both")
    if false_rejection is not None:
        return OperatingPoint("false rejection", false_rejection)
    if false_acceptance is not None:
        return OperatingPoint("false acceptance", false_acceptance)
    return OperatingPoint()


def open_split(data: Path, protocol: str | None, split: str | None, preferred: str | None = None) -> Manifest:
    from synthprint.manifests import open_manifest

    manifest = open_manifest(data, protocol)
    if split is None and any(u.split == preferred for u in manifest):
        split = preferred
    return manifest.split(split) if split else manifest


def _open(gallery: Path | None) -> Gallery:
    from synthprint.tracing.gallery import Gallery
    from synthprint.tracing.shipped import gallery_folder

    return Gallery.load(gallery_folder(gallery))


def _show_clips(gallery: Gallery, source: str, as_json: bool) -> None:
    from dataclasses import asdict

    from synthprint.errors import GalleryError

    clips = gallery.clips_of(source)
    if not clips:
        raise GalleryError(f"{gallery.folder}: {source!r} is not enrolled; see 'synthprint gallery list'")
    if as_json:
        print_json([asdict(clip) for clip in clips])
        return
    rows = [[c.id, "" if c.duration_s is None else f"{c.duration_s:.1f}", c.sha256[:12]] for c in clips]
    print_table(("clip", "seconds", "sha256"), rows, numbers=("seconds",))


def _show_rules(gallery: Gallery) -> None:
    """The rule in use in words, and the others beside it."""
    rules = {name: setting.rule for name, setting in gallery.index.backends.items() if setting.rule}
    name = gallery.index.backend
    if name in rules:
        say(f"\nanswers by {name}: {_in_words(rules[name])}")
        if rules[name].enrolled != len(gallery.names):
            say(f"  measured with {rules[name].enrolled} sources enrolled; now there are {len(gallery.names)}")
    else:
        say(f"\nanswers by {name}: no threshold is set; see 'synthprint gallery threshold'")
    rows = [
        (other, f"{r.threshold:.3f}", f"{r.false_rejection:.1%}", f"{r.false_acceptance:.1%}", f"{r.accuracy:.1%}")
        for other, r in rules.items()
        if other != name
    ]
    if rows:
        header = ("other backend", "threshold", "false rejection", "false acceptance", "best is right")
        print_table(header, rows, numbers=header[1:])


def _in_words(rule: Rule) -> str:
    known, unknown = rule.known, rule.unknown
    return (
        f"threshold {rule.threshold:.3f} ({rule.operating_point})\n"
        f"  enrolled sources: {rule.false_rejection:.1%} of their clips are answered 'unknown', "
        f"{rule.accuracy:.1%} score best with the right source\n"
        f"    ({counted(known.clips, 'clip')} of {counted(known.sources, 'source')}: {known.data})\n"
        f"  other sources: {rule.false_acceptance:.1%} of their clips are given a source\n"
        f"    ({counted(unknown.clips, 'clip')} of {counted(unknown.sources, 'source')}: {unknown.data})\n"
        f"  margin {rule.margin:.3f}: {rule.ambiguous:.1%} of the named clips have a second source within it; "
        f"{rule.wrong:.1%} of the others are given a wrong one"
    )


def report_enrolled(enrolled: Enrolled, summary: str, as_json: bool) -> None:
    from synthprint.wording import printable

    if as_json:
        failures = [{"path": path, "error": reason} for path, reason in enrolled.failures.items()]
        remarks = {path: list(notes) for path, notes in enrolled.remarks.items()}
        print_json({"added": enrolled.added, "already": enrolled.already, "failures": failures, "remarks": remarks})
    else:
        already = f", {len(enrolled.already)} there already" if enrolled.already else ""
        say(f"{counted(len(enrolled.added), 'clip')} added{already}; {summary}")
        for path, notes in enrolled.remarks.items():
            print_notes(f"{printable(path)}: {note}" for note in notes)
        for path, reason in enrolled.failures.items():
            say(f"left out: {printable(path)}: {reason}", err=True)
    if enrolled.failures:
        raise typer.Exit(1)
