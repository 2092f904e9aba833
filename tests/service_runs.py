"""Services for the tests: asked in this process, or through a socket on the loopback address."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from synthprint.web.application import application
from synthprint.web.protocol import TimedProtocol
from synthprint.web.settings import ServiceSettings

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
GOOD = sorted(CLIPS.glob("*/01.flac"))
HOST = "http://127.0.0.1"


@contextmanager
def asked(settings: ServiceSettings, app: FastAPI | None = None) -> Iterator[TestClient]:
    """A service without a socket, with its model open."""
    app = app or application(settings)
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        wait_ready(app)
        yield client


@contextmanager
def listening(settings: ServiceSettings, app: FastAPI | None = None, **more: Any) -> Iterator[str]:
    """A service on a free port, with its model open; its address."""
    app = app or application(settings)
    config = uvicorn.Config(
        app, http=TimedProtocol, ws="none", access_log=False, log_config=None, timeout_graceful_shutdown=5, **more
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_ready(app)
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def problem(response: Any, status: int, folder: Path) -> Any:
    """The problem that a service in `folder` answered; it tells nothing of that folder."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert str(folder) not in response.text
    return response.json()


def wait_ready(app: FastAPI) -> None:
    """Until the model is open."""
    until(lambda: app.state.desk.ready, 60)


def until(come: Any, seconds: float = 20.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.02)


def clip(path: Path = GOOD[0], field: str = "clip") -> Any:
    """A file for an upload."""
    return field, (path.name, path.read_bytes())


def tone(seconds: float = 2.0, hz: float = 440.0) -> bytes:
    """A WAV file of a tone."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    data = io.BytesIO()
    soundfile.write(data, 0.3 * np.sin(2 * np.pi * hz * time_s), 16_000, format="WAV")
    return data.getvalue()
