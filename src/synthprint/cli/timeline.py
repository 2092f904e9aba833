"""`synthprint timeline`: where in a clip the source changes, and what each part comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    out_file,
)
from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.wording import printable

if TYPE_CHECKING:
    from synthprint.tracing.changes import ChangePoint
    from synthprint.tracing.timeline import TracedPart


def timeline(
    clip: Annotated[Path, typer.Argument(help="Clip: an audio file.")],
    gallery: GalleryOption = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    out: Annotated[Path | None, out_file("a picture: ends in .svg or .png")] = None,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """Where in a clip the source changes, and what made each part."""
    from synthprint.errors import OutputError
    from synthprint.figures.timeline import timeline_figure
    from synthprint.files import check_place
    from synthprint.tracing.tracer import Tracer

    if out and out.suffix not in (".svg", ".png"):
        raise OutputError(out, "its name must end in .svg or .png", "name such a file")
    if out:
        check_place(out)
    found = Tracer.load(gallery, model, backend, threads, channel).timeline(clip)
    if out:
        timeline_figure(found, out)
    if as_json:
        print_json(found.to_dict(), indent=None)
        return
    say(f"{printable(found.path)}  {found.duration_s:.1f} s\n{found.summary()}")
    rows = [_row(part, change) for part, change in zip(found.parts, [None, *found.changes], strict=True)]
    numbers = ("from (s)", "to (s)", "change", "score")
    print_table(("from (s)", "to (s)", "change", "answer", "closest", "score"), rows, numbers)
    notes = [note for part in found.parts for note in part.trace.warnings]
    print_notes(dict.fromkeys([*found.warnings, *notes]))


def _row(part: TracedPart, change: ChangePoint | None) -> tuple[str, ...]:
    """A part of the clip, and how strong the change is that it starts with."""
    trace = part.trace
    strength = f"{change.strength:.1f}" if change else ""
    times = (f"{part.start_s:.1f}", f"{part.end_s:.1f}")
    return (*times, strength, trace.name, trace.candidates[0].source, f"{trace.score:.3f}")
