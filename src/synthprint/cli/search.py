"""`synthprint model search`: heads on the statistics of `spectral_statistics`, tried one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.options import JsonOption, MainCorpusOption, ProtocolOption
from synthprint.cli.tables import print_json, print_table


def search(
    work: Annotated[Path, typer.Argument(help="A folder for statistics and what was tried.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data: with train and dev splits; without, what was tried is shown.")
    ] = None,
    configurations: Annotated[
        Path | None,
        typer.Option("--configurations", help="Configurations: a TOML file, a table for each, of what differs."),
    ] = None,
    protocol: ProtocolOption = None,
    corpus: MainCorpusOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train heads of the statistical backbone on statistics computed once, and look at them on the dev split.

    Configurations that are on record in the folder are not tried again. docs/earlier-searches.md says what is measured.
    """
    from synthprint.errors import RecipeError
    from synthprint.manifests.opening import open_manifest
    from synthprint.reading import doors
    from synthprint.training.head_search import FIGURES, search_heads

    manifest = None if data is None else open_manifest(data, protocol)
    tables = None
    if manifest is not None and configurations is not None:
        with doors.ending_in(RecipeError, configurations):
            tables = doors.parse_toml(doors.decoded(doors.read_bytes(configurations, 1 << 20, "configurations")))
    rows = search_heads(work, manifest, tables, corpus)
    if as_json:
        print_json(rows, ascii_only=False)
        return
    header = ("configuration", "seeds", *(f"{name} %" for name in FIGURES), "criterion from", "to")
    columns = (*FIGURES, "least", "most")
    cells = [(row["name"], str(row["seeds"]), *(f"{100 * row[name]:.1f}" for name in columns)) for row in rows]
    print_table(header, cells, header[1:])
