"""The grid behind the results table: what is run, what survives, what is shown."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from synthprint.cli import app
from synthprint.cli.grid import _cells
from synthprint.errors import RecipeError
from synthprint.experiments import grid, table
from synthprint.experiments.rows import Cell, Row, choose, published_dims, published_rows, recipe_rows
from synthprint.extractor.recipe import Recipe, shipped
from synthprint.types import Manifest

RECIPE = """
[backbone]
widths = [4, 8, 8, 16]
blocks = [1, 1, 1, 1]
stem_stride = [2, 2]
[loss]
{loss}
[sampler]
batch_size = 8
[schedule]
epochs = 2
warmup_epochs = 0
peak_lr = 1e-3
eval_every = 1
[crop]
samples = 8000
"""


def synthprint(*words: str | Path | int) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


# --- rows ---------------------------------------------------------------------------------------


def test_the_published_table_is_twelve_rows_of_four_sizes() -> None:
    rows = published_rows()
    assert published_dims() == (10, 50, 200, 512)
    assert len(rows) == 12
    for row in rows:
        assert {split: set(figures) for split, figures in row.published.items()} == {
            split: set(published_dims()) for split in ("dev", "test")
        }
    best_test = {(row.loss, row.sampler): row.published["test"][50] for row in rows if row.model == "Thin-ResNet"}
    assert min(best_test, key=lambda key: best_test[key]) == ("AAM-Softmax", "R")
    assert best_test["AAM-Softmax", "R"] == 4.63


@pytest.mark.parametrize("row", published_rows(), ids=lambda row: row.name)
def test_every_row_has_a_recipe_that_says_what_the_row_says(row: Row) -> None:
    recipe = Recipe.load(row.recipe)
    loss = {
        "Softmax": "softmax",
        "AM-Softmax": "am_softmax",
        "AAM-Softmax": "aam_softmax",
        "GE2E": "ge2e",
        "Angular prototypical": "angular_prototypical",
    }[row.loss]
    assert recipe.loss.name == loss
    assert recipe.backbone.name == {"Thin-ResNet": "thin_resnet", "SSL-AASIST": "ssl_aasist"}[row.model]
    assert recipe.sampler.name == {"R": "random", "B": "balanced"}[row.sampler]
    assert recipe.schedule.epochs == {"Thin-ResNet": 300, "SSL-AASIST": 100}[row.model]
    comment = shipped()[row.recipe].read_text(encoding="utf-8")
    for split in ("dev", "test"):
        figures = " / ".join(f"{row.published[split][dim]:.2f}" for dim in published_dims())
        assert f"{split} {figures}" in comment


def test_rows_are_chosen_by_parts_of_their_names_or_as_recipes(tmp_path: Path) -> None:
    assert choose([]) == published_rows()
    assert [row.name for row in choose(["ge2e", "aam_softmax_random", "thin_resnet_ge2e_balanced"])] == [
        "thin_resnet_ge2e_balanced",
        "thin_resnet_aam_softmax_random",
        "ssl_aasist_aam_softmax_random",
    ]
    assert len(choose(["thin_resnet"])) == 8
    assert choose(["tiny"]) == (Row("tiny", "tiny", "thin_resnet", "aam_softmax", "R"),)
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "own.toml").write_text('seed = 1\n[loss]\nname = "ge2e"\n[sampler]\nname = "balanced"\n')
    assert choose([str(tmp_path / "own.toml")])[0].sampler == "B"
    with pytest.raises(RecipeError, match="'own'"):
        choose([str(tmp_path / "own.toml"), str(tmp_path / "a" / "own.toml")])
    with pytest.raises(RecipeError, match="'gee2e' is no row"):
        choose(["gee2e"])


def test_rows_are_of_table_1_and_recipes_of_any_grid(tmp_path: Path) -> None:
    assert recipe_rows(["tiny", "tiny"]) == choose(["tiny"])
    assert recipe_rows(["paper/thin_resnet_ge2e_balanced"])[0].published == {}
    both = choose(["ge2e"], ["tiny", "paper/thin_resnet_ge2e_balanced"])
    assert [(row.name, bool(row.published)) for row in both] == [("thin_resnet_ge2e_balanced", True), ("tiny", False)]
    dim = Recipe.load("tiny").backbone.dim
    assert _cells(False, "", "tiny", (), (1, 2)) == [Cell(*choose(["tiny"]), dim, seed) for seed in (1, 2)]
    assert [cell.dim for cell in _cells(True, "ge2e", "", (), (1,))] == [10, 50, 200, 512]
    assert [cell.dim for cell in _cells(False, "", "tiny", (3, 4), (1,))] == [3, 4]
    where = ("--data", tmp_path / "nothing", "--out", tmp_path / "out")
    assert "give --table1 too" in synthprint("grid", "--rows", "ge2e", *where).output
    assert "give --recipes, or --table1" in synthprint("grid", *where).output
    assert not list(tmp_path.iterdir())


# --- the grid -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "m.csv"
    rows = tuple(replace(u, path=str(tiny_corpus.audio_path(u))) for u in tiny_corpus)
    Manifest(rows, path.parent).save(path)
    return path


def test_a_failing_cell_does_not_stop_the_grid_and_finished_cells_are_kept(data: Path, tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.toml", tmp_path / "bad.toml", tmp_path / "grid"
    good.write_text(RECIPE.format(loss='name = "aam_softmax"'))
    bad.write_text(RECIPE.format(loss='name = "ge2e"'))  # with the random sampler: refused
    options = ["--data", data, "--out", out, "--dims", "6", "--seeds", "1", "--devices", "cpu,cpu"]
    first = synthprint("grid", "--table1", "--rows", f"{bad},{good}", *options)
    assert first.exit_code == 1
    assert "1 of 2 cells failed" in first.stderr
    assert "bad-6d-seed1: `synthprint train` ended with 2: " in first.stderr
    assert "needs 2 utterances of each source" in first.stderr
    assert json.loads((out / "cells/bad-6d-seed1/failed.json").read_text())["cell"] == "bad-6d-seed1"
    assert "failed" in first.stdout

    cell = out / "cells/good-6d-seed1"
    result = json.loads((cell / "result.json").read_text())
    lines = {
        line["figure"]: line
        for line in csv.DictReader((out / "table1.csv").read_text().splitlines())
        if line["row"] == "good"
    }
    for figure in ("pooled", "source_balanced"):
        assert float(lines[figure]["eer_mean"]) == pytest.approx(100 * result["dev"][figure]["eer"], abs=1e-4)
    # The figure is the one that the user's own commands give.
    alone = synthprint("evaluate", cell / "dev.safetensors", "--manifest", data, "--split", "dev", "--json")
    assert json.loads(alone.stdout)["all_pairs"]["pooled"] == result["dev"]["pooled"]

    log = (cell / "cell.log").stat()
    second = synthprint("grid", "--table1", "--rows", str(good), *options)
    assert second.exit_code == 0
    assert (cell / "cell.log").stat() == log  # nothing was run
    assert f"{100 * result['dev']['pooled']['eer']:.2f}" in second.stdout

    plain = synthprint("grid", "--recipes", str(good), *options)  # the same cells, and not the paper's table
    assert plain.exit_code == 0
    assert (cell / "cell.log").stat() == log
    page = (out / "grid.html").read_text()
    assert "<h1>Grid</h1>" in page
    assert "the paper" not in page
    assert "In brackets: the paper's figure" in (out / "table1.tex").read_text()
    assert (out / "grid.csv").read_text() == (out / "table1.csv").read_text()

    other = synthprint("grid", "--table1", "--rows", str(good), *options, "--epochs", 1)
    assert other.exit_code == 1
    assert "is of another recipe or other data" in other.stderr

    (cell / "result.json").write_text("{")
    damaged = synthprint("grid", "--table1", "--rows", str(good), *options)
    assert damaged.exit_code == 1
    assert "result.json: is damaged" in damaged.stderr


def test_stopping_the_grid_ends_its_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_corpus: Manifest
) -> None:
    """An interrupt while a cell trains leaves no process behind."""
    recipe = tmp_path / "long.toml"
    recipe.write_text(RECIPE.format(loss='name = "aam_softmax"').replace("epochs = 2", "epochs = 100000"))
    started = []

    class Recorded(grid.subprocess.Popen):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any, **own: Any) -> None:
            super().__init__(*args, **own)
            started.append(self)

    monkeypatch.setattr(grid.subprocess, "Popen", Recorded)

    def interrupt(*_: object, **__: object) -> None:
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(grid._Grid, "note", interrupt)
    conditions = grid.GridConditions(data, tiny_corpus)
    with pytest.raises(KeyboardInterrupt):
        grid.run([Cell(choose([str(recipe)])[0], 6, 1)], conditions, tmp_path / "grid")
    assert [process.returncode for process in started] == [-15]


# --- the table ----------------------------------------------------------------------------------

A = Row("a", "a", "Net & Co", "GE2E", "B", {"dev": {10: 4.87}})
B = Row("b_<script>", "b", "Net & Co", "Softmax", "R")


def outcome(row: Row, seed: int, dev: float | None, test: float = 0.5) -> grid.Outcome:
    """Of a cell with these EERs, or one that failed."""
    if dev is None:
        return grid.Outcome(Cell(row, 10, seed), None, "it failed")
    result = {
        split: {
            "utterances": 1000,
            "pooled": {"eer": eer, "targets": 11000, "nontargets": 12000},
            "source_balanced": {"eer": 2 * eer, "targets": 11000, "nontargets": 12000},
        }
        for split, eer in (("dev", dev), ("test", test))
    }
    return grid.Outcome(Cell(row, 10, seed), result)


OUTCOMES = [outcome(A, 1, 0.05), outcome(A, 2, 0.07), outcome(B, 1, 0.061), outcome(B, 2, None)]


def test_means_deviations_and_the_best() -> None:
    pooled, balanced = table.tables(OUTCOMES)
    assert pooled.columns == [("dev", 10), ("test", 10)]
    a, b = (pooled.entries[row.name, "dev", 10] for row in (A, B))
    assert a.text == f"6.00 ± {100 * np.std([0.05, 0.07], ddof=1):.2f}"
    assert (a.best, a.published) == (True, 4.87)
    assert (b.text, b.best, b.published, b.failed) == ("6.10*", False, None, 1)
    assert [entry.best for row in (A, B) for entry in pooled.line(row)] == [True, True, False, True]  # 50 % is a tie
    assert balanced.entries["a", "dev", 10].eers == pytest.approx((10.0, 14.0))
    assert balanced.entries["a", "dev", 10].published is None  # the paper has no such figure


def test_the_shown_forms_hold_the_same_figures_and_escape_names() -> None:
    made = table.tables(OUTCOMES)
    said = table.notes(OUTCOMES, ["Data: 50 % of it."])
    latex, page = table.to_latex(made, said), table.to_html(made, said)
    assert r"Net \& Co & GE2E & B & \textbf{6.00 $\pm$ 1.41} (4.87) & \textbf{50.00 $\pm$ 0.00} \\" in latex
    assert r"50 \% of it" in latex
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 2
    assert "<strong>6.00 ± 1.41</strong> <small>(4.87)</small>" in page
    assert "<script>" not in page
    assert "http" not in page
    HTMLParser().feed(page)
    rows = list(csv.DictReader(table.to_csv(made).splitlines()))
    assert len(rows) == 2 * 2 * 2
    assert rows[0] | {"eer_mean": "6.0000", "eer_deviation": "1.4142", "seeds": "2", "published": "4.87"} == rows[0]
    assert any("1,000 clips, 11,000 target and 12,000 nontarget" in sentence for sentence in said)
    assert any("1 of 4 cells failed" in sentence for sentence in said)
