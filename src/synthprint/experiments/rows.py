"""What can stand in the table: its rows with the published figures, and the cells of a grid."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from synthprint.errors import RecipeError
from synthprint.extractor.recipe import Recipe

TABLE = Path(__file__).with_name("table1.toml")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: short and unique; cells are called by it.
        recipe: what `synthprint train` is given: the name of a shipped recipe, or a file.
        model, loss, sampler: as the table shows them.
        published: split ("dev", "test") -> embedding size -> EER in percent.
    """

    name: str
    recipe: str
    model: str
    loss: str
    sampler: str
    published: Mapping[str, Mapping[int, float]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    row: Row
    dim: int
    seed: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.row.name}-{self.dim}d-seed{self.seed}"


@cache
def published_rows() -> tuple[Row, ...]:
    """The rows of the paper's Table 1, in its order."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return tuple(
        Row(
            name=row["recipe"].removeprefix("paper/"),
            recipe=row["recipe"],
            model=row["model"],
            loss=row["loss"],
            sampler=row["sampler"],
            published={split: dict(zip(table["dims"], row[split], strict=True)) for split in ("dev", "test")},
        )
        for row in table["row"]
    )


@cache
def published_dims() -> tuple[int, ...]:
    """The embedding sizes of the paper's Table 1."""
    return tuple(tomllib.loads(TABLE.read_text(encoding="utf-8"))["dims"])


def choose(wanted: Sequence[str], recipes: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows of Table 1 that are asked for, each once, or all of them where none is; and other recipes after them.

    Args:
        wanted: a part of a published row's name ("ge2e" is one row, "thin_resnet" eight), the name of another
            shipped recipe, or a recipe file.
        recipes: see `recipe_rows`.

    Raises:
        RecipeError: one is none of these, or two recipes have one name.
    """
    rows = [row for part in wanted for row in _named(part)] if wanted else published_rows()
    return _distinct([*rows, *map(_row, recipes)])


def recipe_rows(recipes: Sequence[str]) -> tuple[Row, ...]:
    """A row for each recipe, which nobody has published figures of.

    Args:
        recipes: names of shipped ones, or files.

    Raises:
        RecipeError: one cannot be read, or two have one name.
    """
    return _distinct(list(map(_row, recipes)))


def _distinct(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Each row once."""
    unique: dict[str, Row] = {}
    for row in rows:
        other = unique.setdefault(row.name, row)
        if other.recipe != row.recipe:
            raise RecipeError(f"{other.recipe} and {row.recipe}: two rows are called {row.name!r}; rename")
    return tuple(unique.values())


def _named(part: str) -> Iterable[Row]:
    known = [row for row in published_rows() if part in row.name or part == row.recipe]
    if known:
        return known
    try:
        return [_row(part)]
    except RecipeError as error:
        names = ", ".join(row.name for row in published_rows())
        raise RecipeError(f"{part!r} is no row, nor a part of one's name ({names}), nor a recipe: {error}") from error


def _row(recipe: str) -> Row:
    loaded = Recipe.load(recipe)
    sampler = {"random": "R", "balanced": "B"}[loaded.sampler.name]
    return Row(Path(recipe).stem, recipe, loaded.backbone.name, loaded.loss.name, sampler)
