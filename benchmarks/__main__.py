"""Run benchmarks, print a table, and keep each result: `python -m benchmarks [TOPIC …] [--tiny] [--out DIR]`.

The topic `convergence` trains, for an hour or two, on corpora that are not part of the project: it is left out unless
they are named with --data.
"""

from __future__ import annotations

import argparse
import gc
import importlib
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Topic, cores, machine, write

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "manifest.csv"
TOPICS = (
    "pairs", "training", "training_gpu", "convergence", "extraction", "tracing", "gallery", "searches", "serving",
    "bulk",
)  # fmt: skip


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"one or several of: {', '.join(TOPICS)}; all")
    parser.add_argument("--tiny", action="store_true", help="seconds, to see that it runs; its figures mean nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=MANIFEST", help="a corpus to train on")
    parser.add_argument(
        "--work", type=Path, default=Path("bench-work"), help="where what takes long is kept and resumed"
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="vectors, of the topic searches")
    chosen = parser.parse_args()
    unknown = [topic for topic in chosen.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"no topic {unknown[0]!r}; there are: {', '.join(TOPICS)}")
    console = Console()
    console.print(f"{machine()['cpu']}, {cores()} cores{', tiny: the figures mean nothing' if chosen.tiny else ''}")
    corpora = dict(pair.split("=", 1) for pair in chosen.data) or ({"examples": EXAMPLES} if chosen.tiny else {})
    extra: dict[str, dict[str, Any]] = {
        "convergence": {"data": {name: Path(path) for name, path in corpora.items()}, "work": chosen.work},
        "searches": {"most": chosen.most, "work": chosen.work / "searches"},
    }
    for topic in chosen.topics or TOPICS:
        if topic == "convergence" and not corpora:
            console.print("convergence: left out, no corpus is named (--data NAME=MANIFEST)")
            continue
        module = importlib.import_module(f"benchmarks.{topic}")  # here: a process started afresh imports this file
        gc.collect()
        gc.freeze()  # what is imported stays: each timed call collects what came after it alone
        result = module.run(chosen.tiny, **extra.get(topic, {}))
        console.print(table(topic, result))
        path = write(topic, result, chosen.out)
        if topic == "convergence":
            module.draw(result.details, path.with_suffix(".svg"))


def table(topic: str, result: Topic) -> Table:
    """A result for people."""
    shown = Table(title=topic, title_justify="left")
    for column in ("what", "value", "ratio", "of what", "least … most"):
        shown.add_column(column, justify="right" if column in ("value", "ratio", "least … most") else "left")
    for figure in result.figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        spread = "" if figure.spread is None else f"{figure.spread[0]:.3g} … {figure.spread[1]:.3g}"
        shown.add_row(figure.what, f"{figure.value:,.4g} {figure.unit}", ratio, figure.against, spread)
    return shown


if __name__ == "__main__":
    main()
