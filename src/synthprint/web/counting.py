"""What a service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class ServiceMetrics:
    """Counters of one service.

    Attributes:
        requests: answered, by method, route and status.
        seconds: that an answer took, by route.
        received: bytes of bodies.
        clips: examined, by what came of them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter("synthprint_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "synthprint_request_seconds", "Time of an answer.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.received = Counter("synthprint_received_bytes", "Bytes of bodies received.", registry=self.registry)
        self.clips = Counter("synthprint_job_clips", "Clips of jobs, by outcome.", ["outcome"], registry=self.registry)

    def watch(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Give a value as it is whenever it is asked for."""
        Gauge(f"synthprint_{name}", words, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of it, in the form of Prometheus."""
        return generate_latest(self.registry)
