"""`synthprint trace`: where clips come from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING

import typer

from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    ClipsArgument,
    GalleryOption,
    JsonOption,
    ModelOption,
    NearestOption,
    ThreadsOption,
    TopOption,
)
from synthprint.cli.tables import print_json, print_notes, print_table, report_left_out, say
from synthprint.wording import printable

if TYPE_CHECKING:
    from synthprint.tracing.tracer import Tracer
    from synthprint.tracing.traces import Failure, Trace

WIDEST_NAME = 40  # characters that a line leaves for a source


def trace(
    clips: ClipsArgument,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    top: TopOption = 5,
    nearest: NearestOption = 3,
    as_json: JsonOption = False,
    threads: ThreadsOption = None,
    channel: ChannelOption = "auto",
) -> None:
    """Which enrolled source made each clip, or none of them.

    With --json an object a line for each clip. Exits with 1 if a clip could not be read.
    """
    from synthprint.stores.listing import listed
    from synthprint.tracing.tracer import Tracer

    tracer = Tracer.load(gallery, model, backend, threads, channel, top=top, nearest=nearest)
    stored = listed(clips)  # as they come: a bucket may have any number
    first = list(islice(stored, 2))
    answers, count = tracer.trace_many(chain(first, stored)), 1
    if as_json:
        failures = _print_json(answers)
    elif len(first) == 1:
        failures = _print_one(answers)
    else:
        failures, count = _print_lines(answers, tracer)
    if failures and not as_json:
        report_left_out([(failure.path, failure.error) for failure in failures], count)
    if failures:
        raise typer.Exit(1)


def _print_json(answers: Iterable[Trace | Failure]) -> list[Failure]:
    from synthprint.tracing.traces import Failure

    failures = []
    for answer in answers:
        print_json(answer.to_dict(), indent=None)
        failures += [answer] if isinstance(answer, Failure) else []
    return failures


def _print_lines(answers: Iterable[Trace | Failure], tracer: Tracer) -> tuple[list[Failure], int]:
    """One line a clip, as they are answered; returns the failures, and how many clips there were."""
    from synthprint.tracing.traces import Failure

    width = min(max([7, *map(len, tracer.gallery.names)]), WIDEST_NAME)
    print_notes(tracer.warnings)
    failures, count = [], 0
    for answer in answers:
        count += 1
        if isinstance(answer, Failure):
            failures.append(answer)
            score, name, human = "-", "failed", ""
        else:
            score, name, human = f"{answer.score:.2f}", answer.name, answer.human.answer if answer.human else ""
        heard = f"{human:<9}  " if tracer.model.detector else ""
        say(f"{heard}{score:>5}  {name:<{width}}  {printable(answer.path)}")
    return failures, count


def _print_one(answers: Iterable[Trace | Failure]) -> list[Failure]:
    """Everything about a single clip."""
    from synthprint.tracing.traces import Failure

    (answer,) = answers
    if isinstance(answer, Failure):
        return [answer]
    duration = f"  {answer.duration_s:.1f} s" if answer.duration_s is not None else ""
    say(f"{printable(answer.path)}{duration}\n{answer.verdict()}")
    human = answer.human.statement if answer.human else None
    for sentence in filter(None, (human, answer.component_sentence(), *answer.statements)):
        say(f"  {sentence}")
    header, numbers = ["enrolled source", "family", "score", "log10 LR"], ["score", "log10 LR"]
    rows = [[c.label, c.family or "", f"{c.score:.3f}", str(c.lr or "")] for c in answer.candidates]
    if any(c.lr_same_publisher for c in answer.candidates):
        for cells, c in zip([header, *rows], [None, *answer.candidates], strict=True):
            cells.append("same publisher" if c is None else str(c.lr_same_publisher or ""))
        numbers.append("same publisher")
    if any(c.publishers for c in answer.candidates):
        for cells, c in zip([header, *rows], [None, *answer.candidates], strict=True):
            cells.insert(2, "publishers" if c is None else str(len(c.publishers) or ""))
        numbers.append("publishers")
    print_table(header, rows, numbers)
    if answer.nearest:
        clips = [(n.id, n.source, f"{n.score:.3f}") for n in answer.nearest]
        print_table(("nearest enrolled clip", "source", "cosine"), clips, numbers=("cosine",))
    if answer.human:
        say(f"Human against synthetic speech is calibrated on {answer.human.calibrated_on}.")
    if answer.calibrated_on:
        own_page = any(c.lr_same_publisher for c in answer.candidates)
        alternative = "any other, in the last column one of the same publisher and format" if own_page else "another"
        say(f"An LR weighs a source against {alternative}; it is calibrated on {answer.calibrated_on}.")
    print_notes(answer.warnings)
    return []
