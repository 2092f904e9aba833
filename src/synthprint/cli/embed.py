"""`synthprint embed`: every clip of a data set to an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.options import (
    DataOption,
    DeviceOption,
    ModelArgument,
    ProtocolOption,
    SplitOption,
    ThreadsOption,
    out_file,
    pack_option,
)
from synthprint.cli.tables import report_left_out, say

FAILURES_SHOWN = 20


def embed(
    model: ModelArgument,
    data: DataOption,
    out: Annotated[Path, out_file("the embeddings (.safetensors)")],
    split: SplitOption = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Windows: keep the embedding of each too, beside the clip's.")
    ] = False,
    protocol: ProtocolOption = None,
    pack: Annotated[Path | None, pack_option("none")] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache", help="Cache: take embeddings made before, and keep new ones; not with --windows."
        ),
    ] = True,
) -> None:
    """Embed every clip of a data set; an interrupted job goes on.

    Exits with 1 if some clips could not be embedded.
    """
    # Long: its options.
    import shutil
    from contextlib import suppress

    from synthprint import files
    from synthprint.errors import OutputError
    from synthprint.extractor import cache as embedding_cache
    from synthprint.extractor.manifest_embedding import embed_manifest
    from synthprint.extractor.runtime import load_extractor
    from synthprint.manifests import packing
    from synthprint.manifests.opening import open_manifest
    from synthprint.model.shipped import model_folder

    files.check_place(out)
    extractor = load_extractor(model_folder(model), device, threads)
    manifest = open_manifest(data, protocol)
    manifest = manifest if split is None else manifest.split(split)
    packed = None if pack is None else packing.pack(manifest, pack)
    parts = out.with_name(f".{out.name}.parts")
    kept = embedding_cache.default_folder(extractor.digest) if cache else None
    try:
        embeddings, failures = embed_manifest(extractor, manifest, windows, packed, parts, kept)
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
    report_left_out(failures.items(), len(manifest), FAILURES_SHOWN)
    if failures:
        raise typer.Exit(1)
