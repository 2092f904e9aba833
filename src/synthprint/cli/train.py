"""`synthprint train` and `synthprint embed`: recipe and corpus to extractor, extractor and corpus to embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.tables import say

FAILURES_SHOWN = 20

Data = Annotated[Path, typer.Option("--data", help="A .csv, .jsonl or .parquet manifest, or a data set's folder.")]
Protocol = Annotated[str | None, typer.Option(help="How to read the folder; by default found out.")]
Pack = Annotated[Path | None, typer.Option("--pack", help="Where decoded audio is kept (train: in the cache).")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps …")]


def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that comes with synthprint.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The run's folder; an unfinished run in it goes on.")],
    protocol: Protocol = None,
    pack: Pack = None,
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    compile: Annotated[bool, typer.Option("--compile", help="Run the backbone through torch.compile.")] = False,
    resident: Annotated[
        bool | None,
        typer.Option(
            "--resident/--no-resident", help="Keep the corpus on the device; by default on a GPU, where it can be."
        ),
    ] = None,
    capture: Annotated[bool, typer.Option("--capture", help="Run each step as one CUDA graph.")] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of the recipe's; warm-up and evaluations keep their share.")
    ] = None,
    dim: Annotated[int | None, typer.Option(min=1, help="Size of an embedding, instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE instead of the recipe's: schedule.peak_lr=1e-3 …")
    ] = None,
) -> None:
    """Train an extractor. Exits with 1 if it is trained but some clips could not be read."""
    import json
    import os
    from dataclasses import replace

    from synthprint.errors import MissingDependency
    from synthprint.manifests import open_manifest
    from synthprint.recipes import Recipe

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
        from synthprint import training
    except ModuleNotFoundError as error:
        raise MissingDependency.extra(error.name or "torch", "train") from error
    hardware = training.Hardware(device, precision, compile, resident, capture)
    checkpoint = training.train(chosen, manifest, out, pack_folder=pack, hardware=hardware)
    if os.environ.get("RANK", "0") != "0":
        return  # under torchrun the first process speaks
    results = checkpoint.results
    say(f"checkpoint  {checkpoint.folder}")
    say(
        f"dev EER     {100 * results['best_dev_eer']:.2f} % "
        f"(epoch {results['epoch']} of {chosen.schedule.epochs}, {results['dev_utterances']} clips)"
    )
    unreadable = json.loads((out / "unreadable.json").read_text(encoding="utf-8"))
    _report(unreadable, len(manifest), warn_only="RANK" in os.environ)  # torchrun would take an exit for a crash


def embed(
    model: Annotated[str, typer.Argument(help='A checkpoint or run folder, or "default".')],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The embeddings file to write (.safetensors).")],
    split: Annotated[str | None, typer.Option(help="Only train, dev or test.")] = None,
    windows: Annotated[bool, typer.Option("--windows", help="Keep the embedding of each window too.")] = False,
    protocol: Protocol = None,
    pack: Pack = None,
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads on a CPU (default: one per core).")] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take embeddings made before, and keep new ones (not --windows).")
    ] = True,
) -> None:
    """Embed every clip of a corpus; an interrupted job goes on. Exits with 1 if some clips could not be embedded."""
    import shutil
    from contextlib import suppress

    from synthprint import embedding_cache, extraction, extractors, files, packing
    from synthprint.errors import OutputError
    from synthprint.manifests import open_manifest
    from synthprint.tracing.shipped import model_folder

    files.check_place(out)
    extractor = extractors.load_extractor(model_folder(model), device, threads)
    manifest = open_manifest(data, protocol)
    manifest = manifest if split is None else manifest.split(split)
    packed = None if pack is None else packing.pack(manifest, pack)
    parts = out.with_name(f".{out.name}.parts")
    kept = embedding_cache.default_folder(extractor.digest) if cache else None
    try:
        embeddings, failures = extraction.embed_manifest(extractor, manifest, windows, packed, parts, kept)
        embeddings.save(out)
        shutil.rmtree(parts, ignore_errors=True)
    except OutputError as error:
        if not Path(error.path).is_relative_to(parts):
            raise
        raise OutputError(out, error.reason, error.remedy) from error
    finally:
        with suppress(OSError):  # there is none, or something in it to go on from
            parts.rmdir()
    say(f"{out}: {len(embeddings)} embeddings of {embeddings.dim} dimensions")
    _report(failures, len(manifest))


def _report(failures: Mapping[str, str], total: int, warn_only: bool = False) -> None:
    """List on stderr what failed, and exit with 1 if anything did and that is not `warn_only`."""
    if not failures:
        return
    say(f"{len(failures)} of {total} clips failed:", err=True)
    for name, reason in list(failures.items())[:FAILURES_SHOWN]:
        say(f"  {name}: {reason}", err=True)
    if len(failures) > FAILURES_SHOWN:
        say(f"  … and {len(failures) - FAILURES_SHOWN} more", err=True)
    if not warn_only:
        raise typer.Exit(1)
