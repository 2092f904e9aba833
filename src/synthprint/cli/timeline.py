"""`synthprint timeline`: where in a clip the source changes, and what each part comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.cli.trace import Backend, Channel, Enrolled, Model, Threads, shown

if TYPE_CHECKING:
    from synthprint.tracing.timeline import ChangePoint, Segment


def timeline(
    clip: Annotated[Path, typer.Argument(help="An audio file.")],
    gallery: Enrolled = None,
    model: Model = None,
    backend: Backend = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw a picture: ends in .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
    channel: Channel = "auto",
) -> None:
    """Where in a clip the source changes, as at a splice, and which enrolled source made each part."""
    from synthprint.errors import OutputError
    from synthprint.figures.timeline import timeline_figure
    from synthprint.files import check_place
    from synthprint.tracing.timeline import timeline as trace_over_time
    from synthprint.tracing.tracer import Tracer

    if out and out.suffix not in (".svg", ".png"):
        raise OutputError(out, "its name must end in .svg or .png", "name such a file")
    if out:
        check_place(out)
    found = trace_over_time(Tracer.load(gallery, model, backend, threads, channel), clip)
    if out:
        timeline_figure(found, out)
    if as_json:
        print_json(found.to_dict(), indent=None)
        return
    say(f"{shown(found.path)}  {found.duration_s:.1f} s\n{found.summary()}")
    rows = [_row(segment, change) for segment, change in zip(found.segments, [None, *found.changes], strict=True)]
    numbers = ("from (s)", "to (s)", "change", "score")
    print_table(("from (s)", "to (s)", "change", "answer", "closest", "score"), rows, numbers)
    notes = [note for segment in found.segments for note in segment.trace.warnings]
    print_notes(dict.fromkeys([*found.warnings, *notes]))


def _row(segment: Segment, change: ChangePoint | None) -> tuple[str, ...]:
    """A part of the clip, and how strong the change is that it starts with."""
    trace = segment.trace
    strength = f"{change.strength:.1f}" if change else ""
    times = (f"{segment.start_s:.1f}", f"{segment.end_s:.1f}")
    return (*times, strength, trace.name, trace.candidates[0].source, f"{trace.score:.3f}")
