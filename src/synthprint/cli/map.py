"""`synthprint map`: embeddings laid out on a plane."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from synthprint.cli.labelled import open_embeddings, open_labelled
from synthprint.cli.options import (
    EmbeddingsArgument,
    ManifestOption,
    ProtocolOption,
    SeedOption,
    SplitOption,
    out_folder,
    per_source_option,
)
from synthprint.cli.tables import say

if TYPE_CHECKING:
    from synthprint.exploring.map import EmbeddingMap
    from synthprint.figures.legend import Marked


class Mark(StrEnum):
    """What the marks of a map can stand for."""

    family = "family"
    language = "language"


def map_(
    embeddings: EmbeddingsArgument,
    manifest: ManifestOption,
    out: Annotated[Path, out_folder("map.html, map.png, map.svg and map.csv")],
    protocol: ProtocolOption = None,
    split: SplitOption = None,
    mark: Annotated[Mark | None, typer.Option(help="Mark: what it stands for.", show_default="the source")] = None,
    per_source: Annotated[int | None, per_source_option("shown", show_default="all")] = None,
    neighbours: Annotated[
        int,
        typer.Option(min=2, help="Neighbours: clips that a clip is laid near; few show what is near, many the whole."),
    ] = 15,
    min_dist: Annotated[
        float, typer.Option(min=0, max=1, help="Least distance: between points on the map, from 0 to 1.")
    ] = 0.1,
    seed: SeedOption = 1,
) -> None:
    """Lay embeddings out on a plane by UMAP, as a page and a picture.

    Neighbours on the map are similar; distances between groups say little. docs/explore.md says more.
    """
    from synthprint.exploring.map import MapSettings, at_most, make_map
    from synthprint.files import check_place

    check_place(out, folder=True)
    settings = MapSettings(neighbours, min_dist, seed)
    loaded = open_embeddings(embeddings)
    chosen, _ = open_labelled(loaded, manifest, protocol, split)
    if per_source is not None:
        chosen = at_most(chosen, per_source, seed)
    say(f"umap: learning the map of {len(chosen):,} clips; it compiles first, for half a minute or so", err=True)
    made = make_map(loaded, chosen, settings)
    _write_map(out, made, chosen.name, cast("Marked | None", mark and mark.value))
    say(f"{made.caption}\n{out / 'map.html'}")


def _write_map(folder: Path, made: EmbeddingMap, title: str, mark: Marked | None) -> None:
    from synthprint import files
    from synthprint.figures import map_figure, map_page

    with files.together(folder) as place:
        files.write_text(place / "map.csv", made.to_csv(), errors="backslashreplace")
        files.write_text(place / "map.html", map_page(made, title, mark), errors="backslashreplace")
        for name in ("map.png", "map.svg"):
            map_figure(made, place / name, mark)
