"""A watch from its address: the feed, the tracer, the folder of answers, until it is time to stop."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from threading import Event
from types import FrameType

from synthprint.addresses import is_remote, placed, scheme, shown
from synthprint.answers.examining import trace_origin, traced_copies
from synthprint.answers.writing import AnswersWriter
from synthprint.background import processors
from synthprint.errors import FeedError
from synthprint.sound.isolation import DecodingPool, isolated
from synthprint.stores.listing import LISTED_SCHEMES, NO_LISTING
from synthprint.tracing.tracer import Tracer
from synthprint.watching.answered import AnsweredClips
from synthprint.watching.feeds import Feed
from synthprint.watching.filing import Filing
from synthprint.watching.listing_feed import ListingFeed
from synthprint.watching.metrics import WatchMetrics
from synthprint.watching.stream_feed import StreamFeed, is_stream, without_password
from synthprint.watching.watcher import Watcher


@dataclass(frozen=True)
class WatchSettings:
    """How a watch runs.

    Attributes:
        most_clips, every_s: a shard is written when it has so many, or after so long.
        poll_s, steady_s: of a listing, see `ListingFeed`.
        stream, group, consumer: of a broker; without a consumer's name it is made of the host and the folder.
        below: addresses that messages may tell must be below one of these; none: any.
        metrics_port: of this machine, 0 for a free one; None: nothing is counted.
        until_empty: whether the watch ends when the feed has nothing more.
    """

    most_clips: int = 2000
    every_s: float = 60.0
    poll_s: float = 5.0
    steady_s: float = 2.0
    stream: str = "clips"
    group: str = "synthprint"
    consumer: str = ""
    below: tuple[str, ...] = ()
    metrics_port: int | None = None
    until_empty: bool = False


def watch(
    address: str | Path,
    folder: str | Path,
    tracer: Tracer,
    settings: WatchSettings | None = None,
    stopping: Event | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Trace what is new at an address, until it is time to stop; goes on where a former watch stopped.

    Files are decoded in child processes with limits, where the system has them: clips that come are strangers'.

    Args:
        address: a folder, a prefix of a bucket, or the URL of a broker.
        folder: of the answers; a new one is begun.
        tracer: what answers.
        stopping: set, by a signal or another thread, to end the watch in good order.
        tell: is given what happens, in words.

    Raises:
        FeedError: there is nothing at the address that can be watched.
        AnswersError: something else made the answers in the folder; or they are damaged.
        OutputError: an answer cannot be written.
        MissingDependency: a library that this needs is not installed.
    """
    settings, stopping, folder = settings or WatchSettings(), stopping or Event(), Path(folder)
    with ExitStack() as held:
        writer = AnswersWriter(folder, trace_origin(tracer))
        answered = AnsweredClips(folder)
        held.callback(answered.close)
        filing = Filing(writer, answered, settings.most_clips)
        feed = open_feed(address, folder, answered, settings, stopping, tell)
        held.callback(feed.close)
        metrics = None
        if settings.metrics_port is not None:
            metrics = WatchMetrics()
            port = held.enter_context(metrics.served(settings.metrics_port))
            tell(f"metrics on http://127.0.0.1:{port}/metrics")
        if os.name == "posix":
            held.enter_context(isolated(held.enter_context(DecodingPool(processors()))))
        answer = partial(traced_copies, tracer)
        watcher = Watcher(
            feed, answer, filing, answered, metrics, settings.most_clips, settings.every_s, stopping, tell
        )
        watcher.run(settings.until_empty)
        writer.finish()


def open_feed(
    address: str | Path,
    folder: Path,
    answered: AnsweredClips,
    settings: WatchSettings,
    stopping: Event,
    tell: Callable[[str], None],
) -> Feed:
    """The feed at an address; see `watch`.

    Raises:
        FeedError: there is nothing that can be watched.
        MissingDependency: a library that this needs is not installed.
    """
    if is_stream(address):
        consumer = settings.consumer or _consumer(folder)
        return StreamFeed(str(address), settings.stream, settings.group, consumer, settings.below, stopping, tell)
    place = placed(address)
    if isinstance(place, Path) and not place.is_dir():
        raise FeedError(f"{place}: is no folder; name one, a prefix of a bucket, or the URL of a broker")
    if is_remote(address) and scheme(address) not in LISTED_SCHEMES:
        raise FeedError(f"{without_password(shown(address))}: {NO_LISTING}")
    return ListingFeed(place, answered, settings.poll_s, settings.steady_s, stopping, tell)


def _consumer(folder: Path) -> str:
    """A name that stays over restarts, and is another for another folder of answers."""
    where = blake2b(os.fsencode(folder.resolve()), digest_size=4).hexdigest()
    return f"{socket.gethostname()}-{where}"


@contextmanager
def stopped_by_signals(stopping: Event) -> Iterator[None]:
    """While the block runs, Ctrl-C and SIGTERM set `stopping`; a second Ctrl-C interrupts at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
