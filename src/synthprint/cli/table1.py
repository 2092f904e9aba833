"""`synthprint table1`: the grid behind the paper's results table, run and shown beside the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.tables import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthprint.experiments.grid import Conditions, Outcome
    from synthprint.experiments.table import Table


def table1(
    data: Annotated[Path, typer.Option("--data", help="A .csv, .jsonl or .parquet manifest, or a data set's folder.")],
    out: Annotated[Path, typer.Option("--out", help="The grid's folder; an unfinished grid in it goes on.")],
    rows: Annotated[
        str, typer.Option(help="Commas between: parts of rows' names (ge2e, thin_resnet), recipes. Default: all 12.")
    ] = "",
    dims: Annotated[str, typer.Option(help="Embedding sizes, commas between. Default: 10,50,200,512.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, commas between.")] = "1",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipes'; warm-up and evaluations keep their share.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for every recipe, as in `synthprint train`.")
    ] = None,
    devices: Annotated[
        str, typer.Option(help="Commas between (cuda:0,cuda:1); a cell runs on each. Default: every GPU, or the CPU.")
    ] = "",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Run the backbones through torch.compile.")] = False,
    protocol: Annotated[str | None, typer.Option(help="How to read the folder; by default found out.")] = None,
    pack: Annotated[
        Path | None, typer.Option(help="Where decoded audio is kept. Default: in the grid's folder.")
    ] = None,
) -> None:
    """Run Table 1 of the paper, or a part of it, and show it beside the paper's figures.

    Writes table1.csv, .tex and .html. Finished cells are not run again. Exits with 1 if cells failed.
    """
    from synthprint import files
    from synthprint.experiments import grid, table
    from synthprint.experiments.rows import Cell, choose, published_dims
    from synthprint.manifests import open_manifest

    chosen = choose(_listed(rows))
    sizes, numbers = _numbers(dims, "--dims") or published_dims(), _numbers(seeds, "--seeds")
    cells = [Cell(row, dim, seed) for row in chosen for dim in sizes for seed in numbers]
    conditions = grid.Conditions(
        data, open_manifest(data, protocol), protocol, epochs, tuple(settings or ()), precision, compile, pack
    )
    outcomes = grid.run(cells, conditions, out, _listed(devices) or _every_device())
    made = table.tables(outcomes)
    said = table.notes(outcomes, _sentences(conditions))
    texts = {"csv": table.to_csv(made), "tex": table.to_latex(made, said), "html": table.to_html(made, said)}
    with files.together(out) as place:
        for ending, text in texts.items():
            files.write_text(place / f"table1.{ending}", text, errors="backslashreplace")
    _show(made, said)
    _report(outcomes, out)


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
        from synthprint.training import every_device
    except ModuleNotFoundError as error:
        raise MissingDependency.extra(error.name or "torch", "train") from error
    return every_device()


def _sentences(conditions: Conditions) -> list[str]:
    """How the grid was run, where that is not what the paper did."""
    said = [f"Data: {conditions.data.name}."]
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
