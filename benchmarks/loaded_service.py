"""A service that runs for a benchmark, its clients, and the processor time that each of them takes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

BOUNDARY = "clip-boundary"
END = f"--{BOUNDARY}--\r\n".encode()
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
READY_S = 60.0
PATIENCE_S = 300.0
CHILD = b"decoding_child.py"  # of the command of a process that decodes
PROC = Path("/proc")


class Service(NamedTuple):
    """A server that runs: its port and its process."""

    port: int
    pid: int


@contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """A service of its own process, with its state in `folder`; it is ready."""
    command = [sys.executable, "-m", "synthprint", "serve", "--no-browser", "--port", "0", "--folder", str(folder)]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            address = re.search(r":(\d+)", process.stdout.readline())
            if address is None:
                raise RuntimeError((folder / "log").read_text(encoding="utf-8", errors="replace"))
            service = Service(int(address.group(1)), process.pid)
            until = time.monotonic() + READY_S
            while _get(service, "/readyz") != 200 and time.monotonic() < until:
                time.sleep(0.1)
            yield service
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def connection(service: Service) -> http.client.HTTPConnection:
    """To a service."""
    return http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)


def _get(service: Service, path: str) -> int:
    asking = connection(service)
    with suppress(OSError):
        asking.request("GET", path)
        return asking.getresponse().status
    return 0


# --- What it costs ----------------------------------------------------------------------------------------------------


def decoding_children(parent: int) -> list[int]:
    """The processes that decode for a process."""
    children = []
    for entry in PROC.iterdir():
        with suppress(OSError, ValueError):
            if int(_status(int(entry.name))[1]) == parent and CHILD in (entry / "cmdline").read_bytes():
                children.append(int(entry.name))
    return children


def processor_s(pid: int) -> float:
    """Seconds of a core that a process took up to now, with what decodes and decoded for it."""
    ticks = sum(map(int, _status(pid)[11:15]))  # its own, and those of children that have ended
    for child in decoding_children(pid):
        with suppress(OSError):
            ticks += sum(map(int, _status(child)[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Memory of a process, and of what decodes for it."""
    total = 0.0
    for process in (pid, *decoding_children(pid)):
        with suppress(OSError):
            total += int((PROC / str(process) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from its state on, see proc(5)."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


# --- Its clients ------------------------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """How a request ended, and how long it took; status 0: the connection broke."""

    status: int
    seconds: float


def part(field: str, content: bytes, name: str) -> bytes:
    """A file in a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(content: bytes, name: str) -> bytes:
    """A form of one clip."""
    return part("clip", content, name) + END


def posted(service: Service, bodies: list[bytes], clients: int) -> list[Answered]:
    """Each body sent once, by so many clients at a time; one that is told to come again later does."""
    local = threading.local()

    def post(body: bytes) -> Answered:
        started = time.perf_counter()
        while True:
            if not hasattr(local, "connection"):
                local.connection = connection(service)
            try:
                local.connection.request("POST", "/v1/trace", body, HEADERS)
                response = local.connection.getresponse()
                json.loads(response.read())
            except (OSError, http.client.HTTPException):
                del local.connection
                return Answered(0, time.perf_counter() - started)
            if response.status != 429:
                return Answered(response.status, time.perf_counter() - started)
            time.sleep(float(response.headers.get("Retry-After", "1")))

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(post, bodies))
