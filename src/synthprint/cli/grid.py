"""`synthprint grid`: recipes, embedding sizes and seeds trained and measured, and shown as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import (
    CompileOption,
    DataOption,
    EpochsOption,
    PrecisionOption,
    ProtocolOption,
    SetOption,
    out_folder,
    pack_option,
)
from synthprint.cli.tables import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthprint.experiments.grid import GridConditions, Outcome
    from synthprint.experiments.rows import Cell
    from synthprint.experiments.table import Table


def grid(
    data: DataOption,
    out: Annotated[Path, out_folder("the cells and the table; an unfinished grid in it goes on")],
    recipes: Annotated[str, typer.Option(help="Recipes: files or names of shipped ones, commas between.")] = "",
    table1: Annotated[bool, typer.Option("--table1", help="The paper's Table 1, beside its figures.")] = False,
    rows: Annotated[
        str,
        typer.Option(
            help="Rows of Table 1: parts of their names (ge2e, thin_resnet) or recipes, commas between.",
            show_default="all 12",
        ),
    ] = "",
    dims: Annotated[
        str,
        typer.Option(
            help="Embedding sizes, commas between.", show_default="each recipe's own; of Table 1 10,50,200,512"
        ),
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, commas between.")] = "1",
    epochs: EpochsOption = None,
    settings: SetOption = None,
    devices: Annotated[
        str,
        typer.Option(
            help="Devices, commas between (cuda:0,cuda:1): a cell runs on each.", show_default="every GPU, or the CPU"
        ),
    ] = "",
    precision: PrecisionOption = "float32",
    compile: CompileOption = False,
    protocol: ProtocolOption = None,
    pack: Annotated[Path | None, pack_option("in the grid's folder")] = None,
) -> None:
    """Train and measure a grid of recipes, embedding sizes and seeds.

    Writes grid.csv, .tex and .html; with --table1 table1.csv, .tex and .html, with the paper's figures beside.
    Finished cells are not run again. Exits with 1 if cells failed.
    """
    # Long: its options.
    from synthprint import files
    from synthprint.experiments import grid, table
    from synthprint.manifests.opening import open_manifest

    cells = _cells(table1, rows, recipes, _numbers(dims, "--dims"), _numbers(seeds, "--seeds"))
    conditions = grid.GridConditions(
        data, open_manifest(data, protocol), protocol, epochs, tuple(settings or ()), precision, compile, pack
    )
    outcomes = grid.run(cells, conditions, out, _listed(devices) or _every_device())
    tables = table.tables(outcomes)
    notes = table.notes(outcomes, _sentences(conditions), published=table1)
    title = "Table 1" if table1 else "Grid"
    texts = {"csv": table.to_csv(tables), "tex": table.to_latex(tables, notes)}
    texts["html"] = table.to_html(tables, notes, title)
    with files.together(out) as place:
        for ending, text in texts.items():
            name = f"{'table1' if table1 else 'grid'}.{ending}"
            files.write_text(place / name, text, errors="backslashreplace")
    _show(tables, notes)
    _report(outcomes, out)


def _cells(table1: bool, rows: str, recipes: str, dims: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """Rows of Table 1, or recipes, or both, at every embedding size with every seed."""
    from synthprint.experiments.rows import Cell, choose, published_dims, recipe_rows
    from synthprint.extractor.recipe import Recipe

    if rows and not table1:
        raise typer.BadParameter("--rows are of Table 1: give --table1 too, or --recipes instead")
    if not (table1 or _listed(recipes)):
        raise typer.BadParameter("nothing to train: give --recipes, or --table1 for the paper's")
    chosen = choose(_listed(rows), _listed(recipes)) if table1 else recipe_rows(_listed(recipes))
    if table1 and not dims:
        dims = published_dims()
    sizes = {row: dims or (Recipe.load(row.recipe).backbone.dim,) for row in chosen}
    return [Cell(row, dim, seed) for row in chosen for dim in sizes[row] for seed in seeds]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str, option: str) -> tuple[int, ...]:
    from synthprint.errors import RecipeError

    try:
        return tuple(dict.fromkeys(int(part) for part in _listed(text)))
    except ValueError:
        raise RecipeError(f"{option} {text}: whole numbers with commas between, such as 10,50") from None


def _every_device() -> list[str]:
    from synthprint.errors import MissingDependency

    try:
        from synthprint.training.hardware import every_device
    except ModuleNotFoundError as error:
        raise MissingDependency.extra(error.name or "torch", "train") from error
    return every_device()


def _sentences(conditions: GridConditions) -> list[str]:
    """How the grid was run, where that is not what the paper did."""
    said = [f"Data: {Path(conditions.data).name}."]
    said += [f"Epochs: {conditions.epochs}."] if conditions.epochs else []
    said += [f"Changed in every recipe: {', '.join(conditions.settings)}."] if conditions.settings else []
    said += [f"Precision: {conditions.precision}."] if conditions.precision != "float32" else []
    return said


def _show(made: Sequence[Table], said: Sequence[str]) -> None:
    """A table on the terminal for each figure and split: more columns would not fit."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Shown
    from rich.text import Text

    from synthprint.experiments.table import FIGURES

    for table in made:
        for split in table.splits:
            shown = Shown(
                title=f"EER %, {split}, {FIGURES[table.figure]}", title_justify="left", box=box.SIMPLE_HEAD,
                pad_edge=False,
            )  # fmt: skip
            for name in ("model", "loss", "sampler"):
                shown.add_column(name)
            for dim in table.dims:
                shown.add_column(f"{dim}-d", justify="right")
            for row in table.rows:
                entries = [table.entries[row.name, split, dim] for dim in table.dims]
                texts = [Text(entry.text, style="bold" if entry.best else "") for entry in entries]
                for text, entry in zip(texts, entries, strict=True):
                    text.append("" if entry.published is None else f" ({entry.published:.2f})", style="dim not bold")
                shown.add_row(row.model, row.loss, row.sampler, *texts)
            Console().print(shown)
    for sentence in said:
        say(sentence)


def _report(outcomes: Sequence[Outcome], out: Path) -> None:
    """List on stderr what failed, and exit with 1 if anything did."""
    failed = [outcome for outcome in outcomes if outcome.result is None]
    for outcome in failed:
        say(f"{outcome.cell.name}: {outcome.reason}", err=True)
    if failed:
        say(f"{len(failed)} of {len(outcomes)} cells failed; their logs are below {out / 'cells'}", err=True)
        raise typer.Exit(1)
