"""A real Redis, as a child process, that a test may stop and start again; what it knew is on the disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("redis-server")
STARTING_S = 30.0


class Broker:
    """A redis-server that keeps its data in a folder, each write on the disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM is not None
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "appendonly": "yes", "save": "",
                   "appendfsync": "always", "daemonize": "no"}  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._child = subprocess.Popen([PROGRAM, *words], stdout=subprocess.DEVNULL)
        until = time.monotonic() + STARTING_S
        while not self._answers():
            assert self._child.poll() is None, "redis-server ended"
            assert time.monotonic() < until
            time.sleep(0.02)

    def _answers(self) -> bool:
        import redis

        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def client(self) -> Any:
        import redis

        return redis.Redis.from_url(self.url)

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A broker for the block; a test without one is skipped."""
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis", reason="the client of Redis is not installed")
    broker = Broker(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
