"""`synthprint probe` and `synthprint map`: a look at what embeddings hold."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from synthprint.cli.labelled import LABELS, Protocol, Split, open_embeddings, open_labelled
from synthprint.cli.tables import print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synthprint.figures.legend import Marked
    from synthprint.mapping import EmbeddingMap
    from synthprint.probing import Probe

PAIRS_SHOWN = 10

File = Annotated[Path, typer.Argument(metavar="EMBEDDINGS", help="What `synthprint embed` wrote.")]
Data = Annotated[Path, LABELS]


class Mark(StrEnum):
    """What the marks of a map can stand for."""

    family = "family"
    language = "language"


def probe(
    embeddings: File,
    manifest: Data,
    protocol: Protocol = None,
    split: Split = None,
    per_source: Annotated[
        int | None,
        typer.Option(min=2, help="Clips of each source; those with fewer are left out (default: the smallest's)."),
    ] = None,
    test_share: Annotated[float, typer.Option(help="The share of them that is held out.")] = 0.2,
    learning_rate: Annotated[float, typer.Option(help="Of stochastic gradient descent.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over what trains.")] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips in a step.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of choice, split, start and batches.")] = 1,
    all_sources: Annotated[bool, typer.Option("--all", help="List every source and confusion.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for probe.json, confusion.csv, confusion.png and confusion.svg.")
    ] = None,
) -> None:
    """How well one linear layer tells the sources of embeddings apart, and which it takes for which.

    The defaults are the paper's, where it gives them; docs/explore.md says how to read the answer.
    """
    from synthprint.files import check_place
    from synthprint.probing import ProbeSettings
    from synthprint.probing import probe as run_probe

    if out is not None:
        check_place(out, folder=True)
    settings = ProbeSettings(per_source, test_share, learning_rate, epochs, batch_size, seed)
    loaded = open_embeddings(embeddings)
    chosen, where = open_labelled(loaded, manifest, protocol, split)
    found = run_probe(loaded.select([u.id for u in chosen]), [u.source for u in chosen], settings)
    result = {"embeddings": str(embeddings), "dim": loaded.dim, "extractor": loaded.extractor, **where}
    result["probe"] = found.to_dict()
    if out is not None:
        _write_probe(out, found, result, {u.source: u.family for u in chosen})
    if as_json:
        print_json(result, ascii_only=False)
    else:
        _show_probe(found, None if all_sources else PAIRS_SHOWN)


def _write_probe(folder: Path, found: Probe, result: dict[str, Any], families: Mapping[str, str | None]) -> None:
    from synthprint import files
    from synthprint.figures import confusion_figure

    with files.together(folder) as place:
        files.write_json(place / "probe.json", result)
        files.write_text(place / "confusion.csv", found.to_csv(), errors="backslashreplace")
        for name in ("confusion.png", "confusion.svg"):
            confusion_figure(found.confusion, found.sources, [families[s] for s in found.sources], place / name)


def _show_probe(found: Probe, most: int | None) -> None:
    low, high = found.interval
    say(
        f"accuracy {found.accuracy:.1%} (95 %: {low:.1%} to {high:.1%}; chance {found.chance:.1%}) on "
        f"{found.test_utterances:,} clips of {len(found.sources):,} sources\n"
        f"on the {found.train_utterances:,} clips that trained it {found.train_accuracy:.1%}, "
        f"cross-entropy {found.train_loss:.2f} nats"
    )
    if found.left_out:
        say(f"{len(found.left_out):,} sources with fewer than {found.settings.per_source:,} clips are left out")
    worst = sorted(found.recalls.items(), key=lambda item: (item[1], item[0]))
    print_table(("source, worst first", "recall %"), [(s, f"{100 * r:.1f}") for s, r in worst[:most]], ("recall %",))
    for pair in found.confused[:most]:
        say(str(pair))
    hidden = max(len(worst), len(found.confused)) - (most or len(worst) + len(found.confused))
    if hidden > 0:
        say("--all lists every source and confusion")


def map_(
    embeddings: File,
    manifest: Data,
    out: Annotated[Path, typer.Option("--out", help="A folder for map.html, map.png, map.svg and map.csv.")],
    protocol: Protocol = None,
    split: Split = None,
    mark: Annotated[Mark | None, typer.Option(help="What marks stand for (default: the source).")] = None,
    per_source: Annotated[int | None, typer.Option(min=1, help="At most so many clips of each source.")] = None,
    neighbours: Annotated[int, typer.Option(min=2, help="Few show what is local, many what is global.")] = 15,
    min_dist: Annotated[float, typer.Option(min=0, max=1, help="How close points may lie.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice and of the map.")] = 1,
) -> None:
    """Lay embeddings out on a plane by UMAP: a page to search and zoom in, a picture, and the coordinates.

    Neighbours on the map are similar; distances between groups say little. docs/explore.md says more.
    """
    from synthprint.files import check_place
    from synthprint.mapping import MapSettings, at_most, make_map

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
