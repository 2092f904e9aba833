"""What can stand in the table: its rows with the published figures, and the cells of a grid."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from synthprint.errors import RecipeError
from synthprint.recipes import Recipe

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


def choose(wanted: Sequence[str]) -> tuple[Row, ...]:
    """The rows that are asked for, each once; all published ones where nothing is.

    Args:
        wanted: a part of a published row's name ("ge2e" is one row, "thin_resnet" eight), the name of another
            shipped recipe, or a recipe file.

    Raises:
        RecipeError: one is none of these, or two recipes have one name.
    """
    rows = [row for part in wanted for row in _named(part)] if wanted else published_rows()
    unique = {row.name: row for row in rows}
    for row in rows:
        if unique[row.name].recipe != row.recipe:
            raise RecipeError(f"{row.recipe} and {unique[row.name].recipe}: two rows are called {row.name!r}; rename")
    return tuple(unique.values())


def _named(part: str) -> Iterable[Row]:
    known = [row for row in published_rows() if part in row.name or part == row.recipe]
    if known:
        return known
    try:
        recipe = Recipe.load(part)
    except RecipeError as error:
        names = ", ".join(row.name for row in published_rows())
        raise RecipeError(f"{part!r} is no row, nor a part of one's name ({names}), nor a recipe: {error}") from error
    sampler = {"random": "R", "balanced": "B"}[recipe.sampler.name]
    return [Row(Path(part).stem, part, recipe.backbone.name, recipe.loss.name, sampler)]
