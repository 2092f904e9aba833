"""The table that a grid fills: means over seeds beside the published figures, as text, CSV, LaTeX and HTML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from synthprint.experiments.grid import Outcome
from synthprint.experiments.rows import Row
from synthprint.files import csv_text
from synthprint.markup import escaped
from synthprint.markup import table as html_table
from synthprint.types import HELD_OUT_SPLITS

# The figures of an evaluation that make a table, by their name in result.json; the paper published the first.
FIGURES = {"pooled": "all pairs", "source_balanced": "source-balanced"}
PUBLISHED_FIGURE = "pooled"
FAILED_MARK = "failed"


@dataclass(frozen=True)
class TableEntry:
    """One figure of the table: EER in percent.

    Attributes:
        eers: one for each seed that was measured.
        failed: how many seeds were not.
        published: the paper's figure, where it has one.
        best: no other row's mean is lower, in this column.
    """

    eers: tuple[float, ...]
    failed: int = 0
    published: float | None = None
    best: bool = False

    @property
    def text(self) -> str:
        """Mean, and over several seeds the sample deviation."""
        if not self.eers:
            return FAILED_MARK if self.failed else ""
        spread = f" ± {stdev(self.eers):.2f}" if len(self.eers) > 1 else ""
        return f"{mean(self.eers):.2f}{spread}" + ("*" if self.failed else "")


@dataclass(frozen=True)
class Table:
    """Every row by embedding size, for one figure.

    Attributes:
        figure: a name in `FIGURES`.
        splits, dims: what the columns are: each size, for each split.
        entries: (row name, split, dim) -> entry.
    """

    figure: str
    rows: tuple[Row, ...]
    splits: tuple[str, ...]
    dims: tuple[int, ...]
    entries: Mapping[tuple[str, str, int], TableEntry]

    @property
    def columns(self) -> list[tuple[str, int]]:
        """(split, dim), from left to right."""
        return [(split, dim) for split in self.splits for dim in self.dims]

    def line(self, row: Row) -> list[TableEntry]:
        """The entries of a row, in the order of `columns`."""
        return [self.entries[row.name, split, dim] for split, dim in self.columns]


def tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """One table for each figure; those of outcomes that failed are marked."""
    rows = tuple({outcome.cell.row.name: outcome.cell.row for outcome in outcomes}.values())
    dims = tuple(sorted({outcome.cell.dim for outcome in outcomes}))
    done = [outcome.result for outcome in outcomes if outcome.result is not None]
    splits = tuple(split for split in HELD_OUT_SPLITS if any(split in result for result in done)) or HELD_OUT_SPLITS[:1]
    return [_table(figure, rows, splits, dims, outcomes) for figure in FIGURES]


def _table(
    figure: str, rows: tuple[Row, ...], splits: tuple[str, ...], dims: tuple[int, ...], outcomes: Sequence[Outcome]
) -> Table:
    eers: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    failed: dict[tuple[str, str, int], int] = defaultdict(int)
    for outcome in outcomes:
        for split in splits:
            place = outcome.cell.row.name, split, outcome.cell.dim
            if outcome.result is None:
                failed[place] += 1
            else:
                eers[place].append(100 * outcome.result[split][figure]["eer"])
    entries = {}
    for split in splits:
        for dim in dims:
            column = {row.name: mean(eers[row.name, split, dim]) for row in rows if eers[row.name, split, dim]}
            least = round(min(column.values(), default=0.0), 2)  # as it is shown: a tie is a tie
            for row in rows:
                place = row.name, split, dim
                published = row.published.get(split, {}).get(dim) if figure == PUBLISHED_FIGURE else None
                best = row.name in column and round(column[row.name], 2) == least
                entries[place] = TableEntry(tuple(eers[place]), failed[place], published, best)
    return Table(figure, rows, splits, dims, entries)


def notes(outcomes: Sequence[Outcome], conditions: Sequence[str], published: bool = True) -> list[str]:
    """What has to be known to read the table; `conditions` are sentences on how it was run.

    Args:
        published: the table has the paper's figures beside its own.
    """
    said = [*conditions]
    seeds = sorted({outcome.cell.seed for outcome in outcomes})
    said.append(f"Seeds: {', '.join(map(str, seeds))}; with several, the mean ± the sample deviation.")
    done = next((outcome.result for outcome in outcomes if outcome.result is not None), None)
    for split in HELD_OUT_SPLITS:
        if done and split in done:
            pairs = done[split]["pooled"]
            said.append(
                f"{split}: {done[split]['utterances']:,} clips, {pairs['targets']:,} target and "
                f"{pairs['nontargets']:,} nontarget pairs."
            )
    said.append("The epoch with the lowest dev EER counts.")
    said[-1] += " In brackets: the paper's figure, on MLAAD v5." if published else ""
    failed = sum(outcome.result is None for outcome in outcomes)
    if failed:
        said.append(f"{failed} of {len(outcomes)} cells failed; an entry with * lacks a seed.")
    return said


def to_csv(filled: Sequence[Table]) -> str:
    """A line for each entry of each table, figures in percent."""
    lines: list[list[Any]] = [
        ["row", "model", "loss", "sampler", "dim", "split", "figure", "eer_mean", "eer_deviation", "seeds", "failed",
         "published"]
    ]  # fmt: skip
    for table in filled:
        for row in table.rows:
            for (split, dim), entry in zip(table.columns, table.line(row), strict=True):
                average = f"{mean(entry.eers):.4f}" if entry.eers else ""
                deviation = f"{stdev(entry.eers):.4f}" if len(entry.eers) > 1 else ""
                lines.append(
                    [row.name, row.model, row.loss, row.sampler, dim, split, table.figure, average, deviation,
                     len(entry.eers), entry.failed, entry.published]
                )  # fmt: skip
    return csv_text(lines)


def to_latex(filled: Sequence[Table], said: Sequence[str]) -> str:
    """A booktabs `tabular` for each table, each in a `table` of its own."""
    return "\n".join(_latex(table, said) for table in filled)


def _latex(table: Table, said: Sequence[str]) -> str:
    width = len(table.dims)
    heads = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{split}}}" for split in table.splits)
    sizes = " & ".join(str(dim) for _, dim in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{EER (\%), {FIGURES[table.figure]}. {_tex(' '.join(said))}}}",
        rf"\begin{{tabular}}{{lll{'r' * len(table.columns)}}}",
        r"\toprule",
        rf" & & & {heads} \\",
        rf"Model & Loss & Sampler & {sizes} \\",
        r"\midrule",
    ]
    for names, entries in _lines(table):
        cells = [*map(_tex, names), *(_latex_entry(entry) for entry in entries)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _latex_entry(entry: TableEntry) -> str:
    text = _tex(entry.text)
    ours = rf"\textbf{{{text}}}" if entry.best else text
    return ours if entry.published is None else f"{ours} ({entry.published:.2f})"


_TEX = {"\\": r"\textbackslash{}", "±": r"$\pm$"} | {sign: "\\" + sign for sign in "&%$#_{}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)


def to_html(filled: Sequence[Table], said: Sequence[str], title: str = "Table 1") -> str:
    """One page that needs no other file."""
    parts = [PAGE_HEAD.replace("TITLE", escaped(title)), *(_html(table) for table in filled), "<ul>"]
    parts += [f"<li>{escaped(sentence)}</li>" for sentence in said]
    return "\n".join([*parts, "</ul>", "</main>", "</html>", ""])


def _html(table: Table) -> str:
    names = ("model", "loss", "sampler")
    rows = [(*map(escaped, named), *map(_html_entry, entries)) for named, entries in _lines(table)]
    return html_table(
        (*names, *(str(dim) for _, dim in table.columns)),
        rows,
        f"EER (%), {FIGURES[table.figure]}",
        numbers=range(len(names), len(names) + len(table.columns)),
        groups=(("", len(names)), *((split, len(table.dims)) for split in table.splits)),
    )


def _html_entry(entry: TableEntry) -> str:
    text = escaped(entry.text)
    ours = f"<strong>{text}</strong>" if entry.best else text
    return ours if entry.published is None else f"{ours} <small>({entry.published:.2f})</small>"


def _lines(table: Table) -> Iterator[tuple[list[str], list[TableEntry]]]:
    """Names and entries of each row; a model and a loss are named in the first of their rows."""
    before = ("", "")
    for row in table.rows:
        model = "" if row.model == before[0] else row.model
        loss = "" if (row.model, row.loss) == before else row.loss
        before = (row.model, row.loss)
        yield [model, loss, row.sampler], table.line(row)


PAGE_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
main { max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
.scroll { margin: 0 0 2rem; overflow-x: auto }
table { border-collapse: collapse; white-space: nowrap }
caption { text-align: left; font-weight: 600; padding-bottom: .5rem }
th, td { padding: .25rem .75rem; text-align: left }
thead { border-block: 1px solid }
tbody { border-bottom: 1px solid }
tbody th { font-weight: inherit }
.n { text-align: right; font-variant-numeric: tabular-nums }
small { opacity: .7 }
</style>
<main>
<h1>TITLE</h1>"""
