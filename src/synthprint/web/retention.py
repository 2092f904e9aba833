"""What was uploaded goes after a set time, if it still lies there; and at the start, what a killed service left."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from synthprint.web.logs import LOGGER

EVERY_S = 60.0


class Retention:
    """A thread that looks, once a minute, for what is too old.

    Args:
        seconds: after which what was uploaded goes.

    Attributes:
        sweeps: what deletes, each called with the time before which things are too old, in seconds since 1970.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sweeps: list[Callable[[float], None]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="retention", daemon=True)

    def start(self) -> None:
        """Look at once, and from then on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def sweep(self) -> None:
        """Look now."""
        for sweep in self.sweeps:
            try:
                sweep(time.time() - self.seconds)
            except Exception:
                LOGGER.exception("sweep failed")

    def _work(self) -> None:
        self.sweep()
        while not self._ending.wait(EVERY_S):
            self.sweep()


def clear(folder: Path) -> None:
    """Empty a folder, or make it: nothing in it outlives a service."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
