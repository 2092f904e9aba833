"""`synthprint trace` and `synthprint compare`: where clips come from, and whether two are alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.tables import print_json, print_notes, print_table, say
from synthprint.linting.findings import counted

if TYPE_CHECKING:
    from synthprint.tracing.comparison import Comparison
    from synthprint.tracing.tracer import Tracer
    from synthprint.tracing.traces import Failure, Trace

Enrolled = Annotated[
    Path | None,
    typer.Option("--gallery", "-g", help="The enrolled sources (default: those that come with synthprint)."),
]
Backend = Annotated[
    str | None, typer.Option(help="centroid, cosine, energy, knn or mahalanobis (default: the gallery's).")
]
Model = Annotated[
    Path | None,
    typer.Option("--model", help="The extractor's checkpoint (default: the one that comes with synthprint)."),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads that embed (default: one per core).")]
Channel = Annotated[
    str,
    typer.Option(
        help="Of files with several: auto (the average, unless it loses what a channel carries), mean, side, 1, 2, …"
    ),
]
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
    channel: Channel = "auto",
) -> None:
    """Which enrolled source made each clip, or none of them. Exits with 1 if a clip could not be read."""
    from synthprint.tracing.examining import clips_in
    from synthprint.tracing.tracer import Tracer

    tracer = Tracer.load(gallery, model, backend, threads, channel)
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
        say(f"{len(failures)} of {counted(len(paths), 'clip')} could not be traced:", err=True)
        for failure in failures:
            say(f"  {shown(failure.path)}: {failure.error}", err=True)
    if failures:
        raise typer.Exit(1)


def compare(
    a: Annotated[Path, typer.Argument(help="An audio file, or a folder: all audio below it as one set.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    model: Model = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Threads = None,
    channel: Channel = "auto",
) -> None:
    """How strongly two clips, or two sets of clips, speak for one source. Exits with 1 if a clip was left out."""
    from synthprint.conditions import Limits
    from synthprint.extractors import load_extractor
    from synthprint.tracing.calibrations import ComparisonCalibrations
    from synthprint.tracing.comparison import compare as compare_sets
    from synthprint.tracing.shipped import model_folder

    folder = model_folder(model)
    extractor = load_extractor(folder, threads=threads)
    calibrations = ComparisonCalibrations.load(folder, extractor.digest)
    found = compare_sets(extractor, a, b, calibrations, Limits.load(folder, extractor.digest), channel)
    if as_json:
        print_json(found.to_dict(), indent=None)
    else:
        _print_comparison(found)
    if found.failures:
        raise typer.Exit(1)


def _print_comparison(found: Comparison) -> None:
    if found.statement and found.calibration and found.lr:
        say(found.statement[0].upper() + found.statement[1:])
        say(f"log10 LR {found.lr.log10_lr:.2f}, supported from {found.calibration.lower:.2f} to "
                   f"{found.calibration.upper:.2f} by {found.calibration.validation}")  # fmt: skip
    sets = f"{counted(len(found.a), 'clip')} against {counted(len(found.b), 'clip')}"
    say(f"cosine similarity {found.score:.3f}, {sets} (from -1 to 1; higher means more likely the same source)")
    print_notes(found.warnings)
    print_notes(f"left out: {shown(path)}: {reason}" for path, reason in found.failures.items())


def _print_json(answers: Iterable[Trace | Failure]) -> list[Failure]:
    from synthprint.tracing.traces import Failure

    failures = []
    for answer in answers:
        print_json(answer.to_dict(), indent=None)
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
        say(f"{score:>5}  {name:<{width}}  {shown(answer.path)}")
    return failures


def _print_one(answers: Iterable[Trace | Failure]) -> list[Failure]:
    """Everything about a single clip."""
    from synthprint.tracing.traces import Failure

    (answer,) = answers
    if isinstance(answer, Failure):
        return [answer]
    duration = f"  {answer.duration_s:.1f} s" if answer.duration_s is not None else ""
    say(f"{shown(answer.path)}{duration}\n{answer.verdict()}")
    for sentence in filter(None, (answer.component_sentence(), *answer.statements)):
        say(f"  {sentence}")
    rows = [(c.source, c.family or "", f"{c.score:.3f}", str(c.lr or "")) for c in answer.candidates]
    print_table(("enrolled source", "family", "score", "log10 LR"), rows, numbers=("score", "log10 LR"))
    if answer.nearest:
        clips = [(n.id, n.source, f"{n.score:.3f}") for n in answer.nearest]
        print_table(("nearest enrolled clip", "source", "cosine"), clips, numbers=("cosine",))
    if answer.calibrated_on:
        say(f"An LR weighs the source against another source; calibrated on {answer.calibrated_on}.")
    print_notes(answer.warnings)
    return []


def shown(path: str) -> str:
    """A path as it may be printed."""
    from synthprint.wording import printable

    return printable(path)
