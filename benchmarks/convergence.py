"""How soon two recipes reach an EER: the paper's Thin-ResNet, and `fast`; dev EER over processor time, three seeds.

The paper's recipe is shortened to STEPS steps, with the rate that fits so few, and runs on the quickest engine that it
has on a CPU (bfloat16, compiled; the first step, which compiles, is not counted). `fast` runs as it is shipped, in
float32 and eager. Both with one thread. Runs are kept below `work`, and a finished one is not done again.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.measuring import Figure, Topic
from synthprint.extractor.recipe import Recipe
from synthprint.figures.canvas import blank, save
from synthprint.manifests.opening import open_manifest
from synthprint.training.hardware import Hardware
from synthprint.training.loop import train
from synthprint.training.samplers import make_sampler
from synthprint.types import Manifest

SEEDS = (1, 2, 3)
STEPS, TINY_STEPS = 900, 4
EVALUATIONS = 6
PAPER_RATE = 1e-3


class Point(NamedTuple):
    """Dev EER after so much processor time, in seconds, evaluations and the first step left out."""

    cpu_s: float
    eer: float


def run(tiny: bool, data: Mapping[str, Path], work: Path) -> Topic:
    """Train both recipes on each corpus, or go on with that; `data` is name -> manifest."""
    torch.set_num_threads(1)
    figures, curves = [], {}
    for name, path in data.items():
        manifest = open_manifest(path, None)
        found: dict[str, list[list[Point]]] = {"paper": [], "fast": []}
        for recipe_name, of_seeds in found.items():
            for seed in SEEDS[: 1 if tiny else None]:
                recipe, hardware = planned(recipe_name, manifest, tiny)
                folder = work / f"{name}-{recipe_name}-seed{seed}"
                train(replace(recipe, seed=seed), manifest, folder, hardware=hardware)
                of_seeds.append(curve(folder))
        figures += compared(name, found)
        curves[name] = {key: [[list(point) for point in one] for one in of_seeds] for key, of_seeds in found.items()}
    settings = {"seeds": list(SEEDS), "steps of the paper's recipe": STEPS, "its rate": PAPER_RATE, "threads": 1}
    return Topic(figures, settings, curves)


def planned(name: str, manifest: Manifest, tiny: bool) -> tuple[Recipe, Hardware]:
    """A recipe as it is run here, and how."""
    recipe = Recipe.load("fast" if name == "fast" else "paper/thin_resnet_ge2e_balanced")
    if tiny:
        recipe = recipe.changed(["sampler.sources_per_batch=4", "schedule.warmup_epochs=0"])
    elif name == "fast":
        return recipe, Hardware()
    epochs = max(1, round((TINY_STEPS if tiny else STEPS) / len(make_sampler(recipe, manifest.split("train")))))
    every = max(1, epochs // EVALUATIONS)
    recipe = recipe.shortened(epochs).changed([f"schedule.eval_every={every}", f"schedule.peak_lr={PAPER_RATE}"])
    return recipe, Hardware() if tiny else Hardware(precision="bfloat16", compile=True)


def curve(run_folder: Path) -> list[Point]:
    """What the log of a training says."""
    rows = [json.loads(line) for line in (run_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    first = rows[0]["cpu_s"]
    return [Point(round(row["cpu_s"] - first, 2), row["dev_eer"]) for row in rows if "dev_eer" in row]


def compared(corpus: str, found: Mapping[str, list[list[Point]]]) -> list[Figure]:
    """The best EER of both, and when `fast` is as good as the paper's recipe ever is with the same seed."""
    best = {name: [min(curve, key=lambda point: point.eer) for curve in curves] for name, curves in found.items()}
    figures = [
        Figure(f"{corpus}: best dev EER of {name}", 100 * statistics.median(eers), "%", spread=_ends(eers, 100))
        for name, points in best.items()
        if (eers := [point.eer for point in points])
    ]
    shares, reached = [], []
    for goal, points in zip(best["paper"], found["fast"], strict=True):
        arrived = next((point for point in points if point.eer <= goal.eer), None)
        if arrived is None:
            return [*figures, Figure(f"{corpus}: fast does not reach it", float("inf"), "s")]
        reached.append(arrived.cpu_s)
        shares.append(arrived.cpu_s / goal.cpu_s)
    figures.append(
        Figure(
            f"{corpus}: processor time until fast is as good", statistics.median(reached), "s",
            statistics.median(shares), "x the paper's recipe's until its best", _ends(shares),
        )
    )  # fmt: skip
    return figures


def draw(curves: Mapping[str, Mapping[str, list[list[tuple[float, float]]]]], path: Path) -> None:
    """Dev EER over processor time, a panel a corpus, a line a seed; `curves` are the details of the result."""
    figure = blank(width_in=4.2 * len(curves), height_in=3.4)
    for axes, (corpus, of_recipes) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        for colour, (name, of_seeds) in zip(("C1", "C0"), of_recipes.items(), strict=True):
            for index, points in enumerate(of_seeds):
                label = {"paper": "Thin-ResNet + GE2E", "fast": "fast"}[name] if index == 0 else None
                cpu_s, eers = zip(*points, strict=True)
                axes.plot(cpu_s, [100 * eer for eer in eers], "o-", color=colour, markersize=3, label=label)
        axes.set(
            xscale="log", xlabel="processor time (s)", ylabel="dev EER, all pairs (%)", title=corpus, ylim=(0, None)
        )
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend(loc="lower left")
    save(figure, path)


def _ends(values: list[float], scale: float = 1.0) -> tuple[float, float]:
    return scale * min(values), scale * max(values)
