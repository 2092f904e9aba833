"""What a watch counts, for Prometheus, on a port of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synthprint.errors import FeedError, MissingDependency

HOST = "127.0.0.1"
OUTCOMES = ("named", "unknown", "human", "failed", "repeated")
SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 86400)


class WatchMetrics:
    """Counters of one watch.

    Attributes:
        clips: that were settled, by what came of them.
        lag: from a clip's coming to its answer's lying on the disk.
        audio: seconds of it that were examined.
        shards: that were written.

    Raises:
        MissingDependency: the client of Prometheus is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ModuleNotFoundError as error:
            raise MissingDependency.extra("prometheus-client", "watch") from error
        self._gauge = Gauge
        self.registry = CollectorRegistry()
        self.clips = Counter("synthprint_watch_clips", "Clips settled.", ["outcome"], registry=self.registry)
        for outcome in OUTCOMES:
            self.clips.labels(outcome)
        self.lag = Histogram(
            "synthprint_watch_lag_seconds", "From a clip's coming to its answer on the disk.", buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.audio = Counter("synthprint_watch_audio_seconds", "Audio examined.", registry=self.registry)
        self.shards = Counter("synthprint_watch_shards", "Shards written.", registry=self.registry)

    def watch(self, up: Callable[[], bool], waiting: Callable[[], int], oldest_s: Callable[[], float | None]) -> None:
        """Give, whenever it is asked for: whether the feed answers, what waits, and when the oldest taken clip came."""

        def age() -> float:
            came = oldest_s()
            return 0.0 if came is None else max(0.0, time.time() - came)

        words = {
            "up": ("Whether the feed answers.", lambda: float(up())),
            "waiting_clips": ("Clips that wait to be taken.", lambda: float(waiting())),
            "oldest_seconds": ("Age of the oldest clip that is taken and not settled.", age),
        }
        for name, (told, value) in words.items():
            self._gauge(f"synthprint_watch_{name}", told, registry=self.registry).set_function(value)

    @contextmanager
    def served(self, port: int) -> Iterator[int]:
        """Answer on a port of this machine, 0 for a free one, while the block runs; yields the port.

        Raises:
            FeedError: the port is taken.
        """
        from prometheus_client import start_http_server

        try:
            server, thread = start_http_server(port, HOST, self.registry)
        except OSError as error:
            raise FeedError(
                f"metrics cannot be given on port {port} ({error.strerror}); name another", parameter="metrics_port"
            ) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
