"""The tables of a model's limits, in Markdown, from what `limits.measure_limits` gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthprint.measuring.degraded import level_text
from synthprint.measuring.markdown import table
from synthprint.types import HELD_OUT_SPLITS
from tables.pages import extractor_sentence, percent_figure

RATES = ("eer", "accuracy", "false_rejection", "false_acceptance")


def limits_tables(report: Mapping[str, Any], shipped: str) -> Iterator[str]:
    """Paragraphs and tables: the limits, and what each level of each degradation costs; `shipped` is a digest."""
    dev, test = (report[split][0]["clips"] for split in HELD_OUT_SPLITS)
    yield (
        f"{extractor_sentence(report['extractor'], shipped)} {dev} clips of dev and {test} of test were "
        "degraded. Cllr is in bits; all other figures but the limits are in per cent."
    )
    yield "### The limits, and how many clips are beyond them as they are"
    header, *rows = _limits(report)
    yield table(header, rows)
    yield f"Basis: {report['limits']['basis']}."
    yield "### What each level costs, and how many clips are said to be outside"
    costs = ["EER", "accuracy", "false rejection", "false acceptance", "Cllr", "of which calibration"]
    header = ["degradation", "level", "measured", *costs, "EER, test", "outside, test", "most often"]
    yield table(header, _levels(report))
    if left_out := report["left_out"]:
        yield "Not measured: " + "; ".join(f"`{name}` ({reason})" for name, reason in left_out.items()) + "."


def _limits(report: Mapping[str, Any]) -> Iterator[list[str]]:
    """Each limit, and how many clips are beyond it as they are; the header first."""
    clean = [(split, corpus, shares) for split in HELD_OUT_SPLITS for corpus, shares in report["clean"][split].items()]
    heads = [f"{split}{', ' + corpus if corpus else ''}: {shares['clips']} clips" for split, corpus, shares in clean]
    yield ["limit", "value", *heads]
    for name, value in report["limits"].items():
        if name != "basis":
            shown = "outside" if value is False else f"{value:g}"
            yield [f"`{name}`", shown, *(percent_figure(shares.get(name, 0.0)) for _, _, shares in clean)]
    yield ["any", "", *(percent_figure(shares.get("outside", 0.0)) for _, _, shares in clean)]


def _levels(report: Mapping[str, Any]) -> Iterator[list[str]]:
    """Every level: what it costs on dev, and on test the EER and how many clips are beyond a limit."""
    test = {(figures["degradation"], figures.get("level")): figures for figures in report["test"]}
    for figures in report["dev"]:
        other = test.get((figures["degradation"], figures.get("level")), {})
        level = figures.get("level", "")
        level = level if isinstance(level, str) else f"{level_text(level)} {figures['unit']}"
        bits = [f"{figures[name]:.2f}" if name in figures else "–" for name in ("cllr_bits", "calibration_bits")]
        median = ", ".join(f"{value:.4g}" for value in figures.get("median", {}).values())
        beyond = other.get("beyond", {})
        most = max(beyond, key=beyond.__getitem__, default="")
        rates = [percent_figure(figures.get(name)) for name in RATES]
        on_test = [percent_figure(other.get("eer")), percent_figure(other.get("outside")), f"`{most}`" if most else ""]
        yield [f"`{figures['degradation']}`", level, median, *rates, *bits, *on_test]
