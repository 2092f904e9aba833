"""`synthprint corpus …`: the open corpus of real synthesizers, and splits of corpora. `corpus lint` is in `lint`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from synthprint.cli.options import JsonOption, per_source_option, seed_option
from synthprint.cli.tables import print_json, say

if TYPE_CHECKING:
    from synthprint.corpus.building import Built
    from synthprint.corpus.catalogue import Entry

MAX_REASONS = 10  # kinds of failure that are shown; failures.csv has all


def engines(
    as_json: JsonOption = False,
) -> None:
    """Which synthesizers and vocoders are installed, and how to get the rest."""
    from synthprint.corpus import catalogue

    entries = catalogue.catalogue()
    command = catalogue.install_command(catalogue.missing_packages(entries))
    if as_json:
        print_json({"systems": [_entry(entry) for entry in entries], "install": command}, ascii_only=False)
        return
    _show_engines(entries)
    there = sum(entry.installed is not None for entry in entries)
    say(f"{there} of {len(entries)} systems are installed.")
    if command:
        say(f"\nThe rest (for Debian and Ubuntu; voices you do not want can be left out):\n\n{command}")


def build(
    folder: Annotated[Path, typer.Argument(help="A folder for the corpus; what is there already stays.")],
    seed: Annotated[int, seed_option(least=None)] = 0,
    engines: Annotated[
        str | None, typer.Option(help="Engines or systems, commas between.", show_default="all that are installed")
    ] = None,
    kinds: Annotated[
        str, typer.Option(help="Kinds of source, commas between: tts, copysyn, codec, human.")
    ] = "tts,copysyn,human",
    languages: Annotated[
        str | None, typer.Option(help="Languages: codes, commas between: en,de,fi.", show_default="all")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips of each source that reads text, at most.")] = 120,
    copies: Annotated[int, typer.Option(min=1, help="Clips of each vocoder, at most.")] = 60,
    limit: Annotated[int | None, typer.Option(min=1, help="Clips in all, at most.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Sentences of your own: CSV or TSV with language and text, or fi.txt.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Jobs: speech programs that run at once.", show_default="one per core")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Speak a corpus with what is installed, and write its manifest.

    Train, dev and test share no sentence; dev and test have seen and unseen sources in seen and unseen languages.
    It can be stopped at any time and goes on where it was.
    """
    # Long: its options.
    from synthprint.corpus import building

    built = building.build(
        folder,
        seed=seed,
        clips=clips,
        copies=copies,
        only=_listed(engines),
        kinds=_listed(kinds) or (),
        languages=_listed(languages),
        sentences=texts,
        limit=limit,
        jobs=jobs,
    )
    if as_json:
        print_json(_summary(built), ascii_only=False)
    else:
        _show_built(built)


def split(
    out: Annotated[Path, typer.Argument(help="A file for the manifest, as CSV.")],
    data: Annotated[
        list[str], typer.Option("--data", help="NAME=DATA: a corpus and its manifest or folder (may be repeated).")
    ],
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Sources of dev and test: a TOML file that lists them for each corpus."),
    ] = None,
    aliases: Annotated[
        Path | None, typer.Option(help='Systems that are the same: a TOML file, "alias" = "source" a line.')
    ] = None,
    by: Annotated[
        Literal["sentence", "publisher"],
        typer.Option("--by", help="What goes one way: the clips of a sentence, or of a publisher."),
    ] = "sentence",
    keep_splits: Annotated[
        list[str] | None, typer.Option(help="NAME of a corpus that keeps its splits (may be repeated).")
    ] = None,
    per_source: Annotated[int | None, per_source_option("taken", show_default="all")] = None,
    per_publisher: Annotated[
        int | None,
        typer.Option(min=1, help="Clips per publisher of a source: at most so many are taken.", show_default="all"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put data sets into one manifest with train, dev and test splits, and sources that training never meets."""
    # Long: its options.
    from synthprint import files
    from synthprint.manifests.aliases import read_aliases
    from synthprint.manifests.opening import open_manifest
    from synthprint.manifests.splits import held_out_but_met, joined, read_held_out
    from synthprint.manifests.spreading import Caps

    files.check_place(out)
    corpora = {}
    for pair in data:
        name, _, path = pair.partition("=")
        if not (name and path):
            raise typer.BadParameter(f"{pair!r} is not NAME=DATA", param_hint="--data")
        corpora[name] = open_manifest(path)
    sources = read_held_out(held_out) if held_out else {}
    manifest = joined(
        corpora,
        sources,
        aliases=read_aliases(aliases) if aliases else None,
        by=by,
        keep_splits=keep_splits or (),
        caps=Caps(per_source, per_publisher),
    )
    met = held_out_but_met(manifest, sources)
    manifest.save(out)
    counts = {part: sum(u.split == part for u in manifest) for part in ("train", "dev", "test")}
    if as_json:
        summary = {"manifest": str(out), "clips": len(manifest), "sources": len(manifest.sources), "splits": counts}
        print_json(summary | {"held_out_but_met": met})
        return
    say(f"{out}: {', '.join(f'{count:,} {part}' for part, count in counts.items())} clips")
    if met:
        say(f"Held out of one corpus, and in the train split of another: {', '.join(met)}")


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _entry(entry: Entry) -> dict[str, object]:
    from dataclasses import asdict

    languages = entry.installed.languages if entry.installed else ()
    return {
        "engine": entry.engine,
        "installed": entry.installed is not None,
        "installed_languages": languages,
        **asdict(entry.system),
    }


def _show_engines(entries: list[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "system", "kind", "family"):
        table.add_column(column, no_wrap=True)
    table.add_column("languages", overflow="fold")
    for entry in entries:
        system, here = entry.system, entry.installed
        spoken = [code if here and code in here.languages else f"({code})" for code in system.languages]
        table.add_row("yes" if here else "no", system.name, system.kind, system.family, " ".join(spoken))
    Console().print(table)
    kept = [entry.system.name for entry in entries if not entry.system.redistributable]
    if kept:
        say(f"Do not pass on the audio of {', '.join(kept)}. All licences: --json")


def _summary(built: Built) -> dict[str, object]:
    from synthprint.corpus import building

    manifest = built.manifest
    return {
        "manifest": str(built.path),
        "clips": len(manifest),
        "hours": round(sum(u.duration_s or 0.0 for u in manifest) / 3600, 3),
        "sources": len(manifest.sources),
        "languages": len({u.language for u in manifest}),
        "parts": [
            {"split": split, "source_seen": source, "language_seen": language, "clips": count}
            for (split, source, language), count in sorted(building.quadrants(manifest).items())
        ],
        "failures": len(built.failures),
    }


def _show_built(built: Built) -> None:
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from synthprint.corpus import building
    from synthprint.types import SPLITS

    counts = building.quadrants(built.manifest)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("source", "language", *SPLITS):
        table.add_column(column, justify="right" if column in SPLITS else "left")
    for source in (True, False):
        for language in (True, False):
            cells = [str(counts[split, source, language]) for split in SPLITS]
            table.add_row("seen" if source else "unseen", "seen" if language else "unseen", *cells)
    Console().print(table)
    summary = _summary(built)
    say("{clips} clips, {hours} h, {sources} sources, {languages} languages: {manifest}".format_map(summary))
    if built.failures:
        say(f"\n{len(built.failures)} clips are missing ({built.path.with_name('failures.csv')}):")
        reasons = Counter(f"{clip.system.name}: {reason.splitlines()[0]}" for clip, reason in built.failures)
        for reason, count in reasons.most_common(MAX_REASONS):
            say(f"  {count} × {reason}")
