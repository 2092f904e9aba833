"""`synthprint watch`: clips traced as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthprint.cli.options import (
    BackendOption,
    ChannelOption,
    GalleryOption,
    ModelOption,
    ThreadsOption,
    out_folder,
)
from synthprint.cli.tables import say


def watch(
    feed: Annotated[
        str,
        typer.Argument(
            metavar="FEED", help="Feed: a folder, a prefix of a bucket (s3://…), or a broker (redis://host:port/0)."
        ),
    ],
    out: Annotated[Path, out_folder("the answers; what is there is gone on with")],
    every: Annotated[
        float, typer.Option(min=0.1, help="Every: seconds after which answers are written, however few.")
    ] = 60.0,
    shard_clips: Annotated[int, typer.Option("--shard-clips", min=1, help="Clips that a shard has at most.")] = 2000,
    poll: Annotated[float, typer.Option(min=0.1, help="Poll: seconds from one listing to the next.")] = 5.0,
    steady: Annotated[
        float, typer.Option(min=0.0, help="Steady: seconds that a file must not have changed to be taken for whole.")
    ] = 2.0,
    stream: Annotated[str, typer.Option(help="Stream: of the broker; a message has a field 'address'.")] = "clips",
    group: Annotated[str, typer.Option(help="Group: of the consumers that share the stream.")] = "synthprint",
    consumer: Annotated[
        str | None, typer.Option(help="Consumer: its name in the group.", show_default="of the host and --out")
    ] = None,
    below: Annotated[
        list[str] | None,
        typer.Option(
            help="Below: addresses of messages must be below this folder or prefix (may be repeated).",
            show_default="any address",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", min=0, max=65535, help="Port: of this machine, for Prometheus; 0: a free one."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when the feed has nothing more.")] = False,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    backend: BackendOption = None,
    channel: ChannelOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Trace clips as they come, until Ctrl-C; go on where it stopped. Needs the extra watch.

    Each content is answered once. A clip that cannot be read is an answer, too, which says why.
    """
    # Long: its options.
    from threading import Event

    from synthprint.tracing.tracer import Tracer
    from synthprint.watching.opening import WatchSettings, stopped_by_signals
    from synthprint.watching.opening import watch as watched

    settings = WatchSettings(
        shard_clips, every, poll, steady, stream, group, consumer or "", tuple(below or ()), metrics_port, once
    )
    stopping = Event()
    with stopped_by_signals(stopping):
        tracer = Tracer.load(gallery, model, backend, threads, channel)
        watched(feed, out, tracer, settings, stopping, lambda words: say(words, err=True))
