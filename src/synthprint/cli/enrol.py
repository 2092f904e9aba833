"""`synthprint enrol`: clips, or a group of them, into a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.enrolled import report_enrolled
from synthprint.cli.options import (
    ChannelOption,
    ClipsArgument,
    ForceOption,
    FromOption,
    JsonOption,
    ModelOption,
    NewGalleryArgument,
    ThreadsOption,
)
from synthprint.wording import counted

if TYPE_CHECKING:
    from synthprint.addresses import Address
    from synthprint.model.model import Model


def enrol(
    gallery: NewGalleryArgument,
    source: Annotated[str, typer.Argument(help="Source: the name of the system that made the clips.")],
    clips: ClipsArgument,
    group: Annotated[
        int | None,
        typer.Option(
            "--group", min=1, help="Group: its number; CLIPS is the folder that 'synthprint cluster --out' wrote."
        ),
    ] = None,
    family: Annotated[str | None, typer.Option(help="Family: the architecture that the source belongs to.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the source: tts, copysyn, codec or human.")] = None,
    vocoder: Annotated[str | None, typer.Option(help="Vocoder: the one that the source uses.")] = None,
    title: Annotated[
        str | None, typer.Option(help="Title: what people call the source, where its name is a label.")
    ] = None,
    publisher: Annotated[
        str | None, typer.Option(help="Publisher: who put the clips out: a page, a repository, an account.")
    ] = None,
    start_from: FromOption = None,
    model: ModelOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """Enrol clips as a source of a gallery; one clip will do. Nothing is trained.

    With --group the clips are a group that 'synthprint cluster --out' found. Exits with 1 if a clip was left out.
    """
    from synthprint.gallery.enrolment import enrol as enrol_clips
    from synthprint.model.model import open_model

    if group is not None and len(clips) != 1:
        raise typer.BadParameter("--group goes with one folder, which 'synthprint cluster --out' wrote")
    opened = open_model(model, threads)
    enrolled = enrol_clips(
        gallery, source, clips if group is None else _grouped(Path(clips[0]), group, opened), family=family, kind=kind,
        vocoder=vocoder, title=title, publisher=publisher, model=opened, start_from=start_from, force=force,
        threads=threads, channel=channel,
    )  # fmt: skip
    count = enrolled.clip_counts.get(source, 0)
    report_enrolled(enrolled, f"{source!r} has {counted(count, 'clip')} in {gallery}", as_json)


def _grouped(folder: Path, group: int, model: Model) -> list[Address]:
    from synthprint.casework.record import group_clips
    from synthprint.cli.cluster import GROUPS

    return group_clips(folder / GROUPS, group, model.digest)
