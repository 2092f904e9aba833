"""`synthprint bulk`: very many clips, on one machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    ClipsArgument,
    DeviceOption,
    GalleryOption,
    ModelOption,
    NearestOption,
    TopOption,
    out_folder,
)
from synthprint.cli.renamed import Commands
from synthprint.cli.tables import say

if TYPE_CHECKING:
    from synthprint.bulk.worker import BulkJob

app = typer.Typer(
    cls=Commands,
    help="Trace or embed very many clips, on one machine or a cluster, into Parquet.",
    no_args_is_help=True,
)

OutOption = Annotated[Path, out_folder("the answers; one that holds some goes on where they end")]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help='Address: of a Ray cluster, or "auto" on one of its machines.',
                 show_default="this machine alone"),
]  # fmt: skip
ActorsOption = Annotated[
    int | None,
    typer.Option("--actors", min=1, help="Processes: how many work, each on a core.", show_default="as many as fit"),
]
PerGpuOption = Annotated[
    int, typer.Option("--per-gpu", min=1, help="Processes per GPU: they share it. Only with another device than cpu.")
]
ShardOption = Annotated[
    int, typer.Option("--shard-clips", min=1, max=1_000_000, help="Clips per shard: what a kill costs at most.")
]


@app.command()
def trace(
    sources: ClipsArgument,
    out: OutOption,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    top: TopOption = 5,
    nearest: NearestOption = 3,
    channel: ChannelOption = "auto",
    device: DeviceOption = "cpu",
    address: AddressOption = None,
    actors: ActorsOption = None,
    per_gpu: PerGpuOption = 4,
    shard_clips: ShardOption = 1000,
) -> None:
    """Which enrolled source made each clip, to the last bit as 'synthprint trace' says; a row a clip.

    Started again after any kill it goes on; clips that are new or have changed are done, others not again. Exits with 1
    if a clip could not be read.
    """
    from synthprint.bulk.worker import BulkJob

    job = BulkJob("trace", gallery, model, backend, channel, device, top, nearest)
    _run(job, sources, out, address, actors, per_gpu, shard_clips)


@app.command()
def embed(
    sources: ClipsArgument,
    out: OutOption,
    model: ModelOption = None,
    channel: ChannelOption = "auto",
    device: DeviceOption = "cpu",
    address: AddressOption = None,
    actors: ActorsOption = None,
    per_gpu: PerGpuOption = 4,
    shard_clips: ShardOption = 1000,
) -> None:
    """The embedding of each clip, with its digest and conditions; a row a clip. Otherwise as 'bulk trace'."""
    from synthprint.bulk.worker import BulkJob

    job = BulkJob("embed", None, model, None, channel, device)
    _run(job, sources, out, address, actors, per_gpu, shard_clips)


def _run(
    job: BulkJob, sources: list[str], out: Path, address: str | None, actors: int | None, per_gpu: int, shard_clips: int
) -> None:
    from synthprint.bulk.running import Resources, run

    share = 0.0 if job.device == "cpu" else 1 / per_gpu
    answers = run(job, sources, out, Resources(address, actors, share), shard_clips)
    say(f"{out}: {len(answers)} clips in {len(answers.shards)} shards, of which {answers.failures} could not be read")
    if answers.failures:
        raise typer.Exit(1)
