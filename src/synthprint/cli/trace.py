"""`synthprint trace` and `synthprint compare`: where clips come from, and whether two are alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.tables import print_notes, print_table
from synthprint.linting.findings import counted

if TYPE_CHECKING:
    from synthprint.tracing.tracer import Tracer
    from synthprint.tracing.traces import Failure, Trace

Enrolled = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="The enrolled sources (default: those that come with synthprint)."),
]
Backend = Annotated[str | None, typer.Option(help="centroid, knn or cosine (default: the gallery's).")]
Model = Annotated[
    Path | None,
    typer.Option("--model", help="The extractor's checkpoint (default: the one that comes with synthprint)."),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads that embed (default: one per core).")]
WIDEST_NAME = 40  # characters that a line leaves for a source


def trace(
    clips: Annotated[list[Path], typer.Argument(help="Audio files, or folders: all audio below them.")],
    gallery: Enrolled = None,
    model: Model = None,
    backend: Backend = None,
    top: Annotated[int, typer.Option(min=1, help="How many sources to list.")] = 5,
    nearest: Annotated[int, typer.Option(min=0, help="How many enrolled clips to list.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each clip.")] = False,
    threads: Threads = None,
) -> None:
    """Which enrolled source made each clip, or none of them. Exits with 1 if a clip could not be read."""
    from synthprint.tracing.enrolment import clips_in
    from synthprint.tracing.tracer import Tracer

    tracer = Tracer.load(gallery, model, backend, threads)
    tracer.top, tracer.nearest = top, nearest
    paths = [path for _, path in clips_in(clips)]
    answers = tracer.trace_many(paths)
    if as_json:
        failures = _print_json(answers)
    elif len(paths) == 1:
        failures = _print_one(answers)
    else:
        failures = _print_lines(answers, tracer)
    if failures and not as_json:
        typer.echo(f"{len(failures)} of {counted(len(paths), 'clip')} could not be traced:", err=True)
        for failure in failures:
            typer.echo(f"  {shown(failure.path)}: {failure.error}", err=True)
    if failures:
        raise typer.Exit(1)


def compare(
    a: Annotated[Path, typer.Argument(help="An audio file.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
) -> None:
    """How alike two clips are: the cosine similarity of their embeddings, from -1 to 1. It is no probability."""
    import json

    from synthprint.extractors import load_extractor
    from synthprint.tracing import tracer
    from synthprint.tracing.shipped import model_folder

    comparison = tracer.compare(load_extractor(model_folder(model), threads=threads), a, b)
    if as_json:
        typer.echo(json.dumps(comparison.to_dict()))
        return
    typer.echo(f"cosine similarity {comparison.score:.3f} (from -1 to 1; higher means more likely the same source)")
    print_notes(comparison.warnings)


def _print_json(answers: Iterable[Trace | Failure]) -> list[Failure]:
    import json

    from synthprint.tracing.traces import Failure

    failures = []
    for answer in answers:
        typer.echo(json.dumps(answer.to_dict()))
        failures += [answer] if isinstance(answer, Failure) else []
    return failures


def _print_lines(answers: Iterable[Trace | Failure], tracer: Tracer) -> list[Failure]:
    """One line a clip, as they are answered."""
    from synthprint.tracing.traces import Failure

    width = min(max([7, *map(len, tracer.gallery.names)]), WIDEST_NAME)
    print_notes(tracer.doubts)
    failures = []
    for answer in answers:
        if isinstance(answer, Failure):
            failures.append(answer)
            score, name = "-", "failed"
        else:
            score, name = f"{answer.score:.2f}", answer.name
        typer.echo(f"{score:>5}  {name:<{width}}  {shown(answer.path)}")
    return failures


def _print_one(answers: Iterable[Trace | Failure]) -> list[Failure]:
    """Everything about a single clip."""
    from synthprint.tracing.traces import Failure

    (answer,) = answers
    if isinstance(answer, Failure):
        return [answer]
    duration = f"  {answer.duration_s:.1f} s" if answer.duration_s is not None else ""
    typer.echo(f"{shown(answer.path)}{duration}\n{answer.verdict()}")
    rows = [(c.source, c.family or "", f"{c.score:.3f}") for c in answer.candidates]
    print_table(("enrolled source", "family", "score"), rows, numbers=("score",))
    if answer.nearest:
        rows = [(n.id, n.source, f"{n.score:.3f}") for n in answer.nearest]
        print_table(("nearest enrolled clip", "source", "cosine"), rows, numbers=("cosine",))
    print_notes(answer.warnings)
    return []


def shown(path: str) -> str:
    """A path as it may be printed."""
    from synthprint.tracing.gallery_files import printable

    return printable(path)
