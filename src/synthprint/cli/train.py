"""`synthprint train`: a recipe and a corpus to an extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.options import (
    CompileOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    PrecisionOption,
    ProtocolOption,
    SetOption,
    out_folder,
    pack_option,
    seed_option,
)
from synthprint.cli.tables import report_left_out, say

FAILURES_SHOWN = 20  # the run's unreadable.json has all


def train(
    recipe: Annotated[str, typer.Argument(help="Recipe: a TOML file, or the name of a shipped one.")],
    data: DataOption,
    out: Annotated[Path, out_folder("the run; an unfinished run in it goes on")],
    protocol: ProtocolOption = None,
    pack: Annotated[Path | None, pack_option("in the cache")] = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    compile: CompileOption = False,
    resident: Annotated[
        bool | None,
        typer.Option(
            "--resident/--no-resident", help="Keep the corpus on the device.", show_default="on a GPU, where it can be"
        ),
    ] = None,
    capture: Annotated[bool, typer.Option("--capture", help="Run each step as one CUDA graph.")] = False,
    epochs: EpochsOption = None,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Embedding size, in dimensions.", show_default="the recipe's")
    ] = None,
    seed: Annotated[int | None, seed_option("the recipe's")] = None,
    settings: SetOption = None,
) -> None:
    """Train an extractor. Exits with 1 if it is trained but some clips could not be read."""
    # Long: its options.
    import json
    import os
    from dataclasses import replace

    from synthprint.errors import MissingDependency
    from synthprint.extractor.recipe import Recipe
    from synthprint.manifests.opening import open_manifest

    chosen = Recipe.load(recipe)
    chosen = chosen.shortened(epochs) if epochs else chosen
    chosen = replace(chosen, backbone=replace(chosen.backbone, dim=dim)) if dim else chosen
    chosen = chosen if seed is None else replace(chosen, seed=seed)
    chosen = chosen.changed(settings or ())
    manifest = open_manifest(data, protocol)
    # Waiting threads that spin take the core from the thread that prepares the crops: on two busy cores the
    # same training took 26 s instead of 16 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from synthprint.training import loop
        from synthprint.training.hardware import Hardware
    except ModuleNotFoundError as error:
        raise MissingDependency.extra(error.name or "torch", "train") from error
    hardware = Hardware(device, precision, compile, resident, capture)
    checkpoint = loop.train(chosen, manifest, out, pack_folder=pack, hardware=hardware)
    if os.environ.get("RANK", "0") != "0":
        return  # under torchrun the first process speaks
    results = checkpoint.results
    say(f"checkpoint  {checkpoint.folder}")
    say(
        f"dev EER     {100 * results['best_dev_eer']:.2f} % "
        f"(epoch {results['epoch']} of {chosen.schedule.epochs}, {results['dev_utterances']} clips)"
    )
    unreadable = json.loads((out / "unreadable.json").read_text(encoding="utf-8"))
    report_left_out(unreadable.items(), len(manifest), FAILURES_SHOWN)
    if unreadable and "RANK" not in os.environ:  # torchrun would take an exit for a crash
        raise typer.Exit(1)
