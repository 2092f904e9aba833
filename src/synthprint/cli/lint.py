"""`synthprint corpus lint`: what a corpus gets wrong or hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import DataArgument, JsonOption, ProtocolOption, per_source_option
from synthprint.cli.tables import print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from synthprint.linting.findings import Severity
    from synthprint.linting.linter import Report
    from synthprint.linting.shortcuts import Shortcuts

COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "cyan"}


def lint(
    data: DataArgument,
    protocol: ProtocolOption = None,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Look at the files too.")] = True,
    per_source: Annotated[int | None, per_source_option("decoded", show_default="100")] = None,
    as_json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
) -> None:
    """Look for what is wrong with a corpus, or would mislead who measures on it.

    Exits with 1 on errors.
    """
    from synthprint.linting import linter as linting
    from synthprint.manifests.opening import open_manifest

    manifest = open_manifest(data, protocol)
    report = linting.lint(manifest, audio=audio, clips_per_source=per_source or linting.CLIPS_PER_SOURCE)
    if as_json:
        print_json(report.to_dict(), ascii_only=False)
    else:
        _show(report)
    if report.count("error") or (strict and report.count("warning")):
        raise typer.Exit(1)


def _show(report: Report) -> None:
    from rich.console import Console

    from synthprint.wording import counted

    console = Console(highlight=False)
    splits = ", ".join(f"{name or 'no split'} {n:,}" for name, n in report.splits.items())
    say(f"{report.manifest}: {counted(report.utterances, 'utterance')} ({splits}), {counted(report.sources, 'source')}")
    if report.findings:
        console.print(_findings(report))
    for shortcuts in (*([report.shortcuts] if report.shortcuts else []), *report.publishers):
        console.print(_shortcuts(shortcuts))
    for remark in report.remarks:
        say(f"- {remark}")
    say(", ".join(counted(report.count(severity), severity) for severity in COLOURS))


def _findings(report: Report) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from synthprint.wording import printable

    table = Table("finding", "what", box=box.SIMPLE_HEAD, title_justify="left")
    for finding in report.findings:
        name = Text(f"{finding.severity}\n{finding.code}", style=COLOURS[finding.severity])
        examples = "".join(f"\n  {printable(example)}" for example in finding.examples)
        table.add_row(name, Text(printable(finding.message)).append(examples, style="dim"))
    return table


def _shortcuts(shortcuts: Shortcuts) -> Table:
    from rich import box
    from rich.table import Table

    from synthprint.wording import printable

    title = (
        f"The {shortcuts.target} guessed from trivial features, over {shortcuts.clips:,} clips"
        f"{f' of {printable(shortcuts.within)}' if shortcuts.within else ''} of {shortcuts.sources:,} "
        f"{shortcuts.target}s (chance {shortcuts.chance:.1%})"
    )
    table = Table("features", "which", box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("balanced accuracy", justify="right")
    for shortcut in shortcuts.groups:
        names = "" if shortcut is shortcuts.groups[-1] else ", ".join(shortcut.features)
        table.add_row(shortcut.group, names, f"{shortcut.balanced_accuracy:.1%}")
    return table
