"""The service under load on loopback: throughput beside the library, waiting times, memory, and what goes wrong."""

# Long: a server, its clients, and five things that go wrong.
from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.measuring import Figure, Topic, cores, in_fresh_process
from benchmarks.streaming import CLIPS

CLIENTS = (1, 8, 32)
BOUNDARY = "clip-boundary"
END = f"--{BOUNDARY}--\r\n".encode()
READY_S = 60.0
PATIENCE_S = 300.0
CHILD = b"synthprint.sound.decoding_child"


def run(tiny: bool) -> Topic:
    """Measure."""
    clips, many, hostile = (8, 16, 10) if tiny else (400, 10_000, 200)
    bodies = [_body(path.read_bytes(), path.name) for path in sorted(CLIPS.glob("*/*.flac"))]
    library, _ = in_fresh_process(traced_by_library, clips)
    figures = [Figure("library: Tracer.trace_many", library, "clips/s")]
    with tempfile.TemporaryDirectory() as work, _service(Path(work)) as service:
        _posted(service, list(islice(cycle(bodies), 8)), 2)  # every worker has decoded once
        for clients in CLIENTS:
            figures += _under(service, bodies, clips, clients, library)
        figures.append(_as_a_job(service, clips, library))
        figures += _after_many(service, bodies, many)
        figures += _gone_wrong(service, bodies, hostile)
    settings = {"clips": clips, "clips for memory": many, "hostile files": hostile, "cores": cores()}
    return Topic(figures, settings)


def traced_by_library(clips: int) -> float:
    """Clips a second, of as many files through a tracer that is open and has traced before."""
    from synthprint.tracing.tracer import Tracer

    tracer = Tracer.load()
    files = list(islice(cycle(sorted(CLIPS.glob("*/*.flac"))), clips))
    list(tracer.trace_many(files[:4]))
    started = time.perf_counter()
    list(tracer.trace_many(files))
    return clips / (time.perf_counter() - started)


# --- The server -------------------------------------------------------------------------------------------------------


class Service(NamedTuple):
    """A server that runs: its port and its process."""

    port: int
    pid: int


@contextmanager
def _service(folder: Path) -> Iterator[Service]:
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


def _get(service: Service, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
    with suppress(OSError):
        connection.request("GET", path)
        return connection.getresponse().status
    return 0


def _children(service: Service) -> list[int]:
    """The processes that decode."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            line = (entry / "stat").read_text()
            parent = int(line.rpartition(")")[2].split()[1])
            if parent == service.pid and CHILD in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def _resident_mb(service: Service) -> float:
    """Of the server and of what decodes for it."""
    total = 0.0
    for pid in (service.pid, *_children(service)):
        with suppress(OSError):
            total += int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


# --- Its clients ------------------------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """How a request ended, and how long it took; status 0: the connection broke."""

    status: int
    seconds: float


def _part(field: str, content: bytes, name: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def _body(content: bytes, name: str) -> bytes:
    return _part("clip", content, name) + END


def _posted(service: Service, bodies: list[bytes], clients: int) -> list[Answered]:
    """Each body sent once, by so many clients at a time; one that is told to come again later does."""
    local = threading.local()

    def post(body: bytes) -> Answered:
        started = time.perf_counter()
        while True:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
            try:
                headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
                local.connection.request("POST", "/v1/trace", body, headers)
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


def _under(service: Service, bodies: list[bytes], clips: int, clients: int, library: float) -> list[Figure]:
    """Throughput and waiting times with so many clients."""
    started = time.perf_counter()
    answers = _posted(service, list(islice(cycle(bodies), clips)), clients)
    rate = clips / (time.perf_counter() - started)
    _check(answers, 200)
    waits = sorted(answer.seconds for answer in answers)
    p50, p99 = statistics.median(waits), waits[min(len(waits) - 1, round(0.99 * len(waits)))]
    who = f"{clients} client{'s' if clients > 1 else ''}"
    return [
        Figure(f"service, {who}", rate, "clips/s", rate / library, "x the library alone"),
        Figure(f"service, {who}: p50", 1000 * p50, "ms"),
        Figure(f"service, {who}: p99", 1000 * p99, "ms", p99 / p50, "x the p50"),
    ]


def _as_a_job(service: Service, clips: int, library: float) -> Figure:
    """Throughput of as many clips in one request, from its first byte to the last answer."""
    files = islice(cycle(sorted(CLIPS.glob("*/*.flac"))), clips)
    parts = b"".join(_part("clips", path.read_bytes(), path.name) for path in files)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE_S)
    started = time.perf_counter()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/v1/jobs", parts + END, headers)
    job = json.loads(connection.getresponse().read())
    while job["state"] in ("waiting", "running"):
        time.sleep(0.1)
        connection.request("GET", f"/v1/jobs/{job['id']}")
        job = json.loads(connection.getresponse().read())
    rate = clips / (time.perf_counter() - started)
    if (job["done"], job["failed"]) != (clips, 0):
        raise RuntimeError(f"the job ended so: {job}")
    return Figure("service, one job of them all", rate, "clips/s", rate / library, "x the library alone")


def _after_many(service: Service, bodies: list[bytes], clips: int) -> list[Figure]:
    """Memory after so many clips against that after a tenth of them."""
    resident = []
    for share in range(10):
        part = list(islice(cycle(bodies), share, share + max(1, clips // 10)))
        _check(_posted(service, part, 8), 200)
        resident.append(_resident_mb(service))
    what = f"memory of the service after {clips:,} clips"
    return [Figure(what, resident[-1], "MB", resident[-1] / resident[0], "x after the first tenth of them")]


def _gone_wrong(service: Service, bodies: list[bytes], hostile: int) -> list[Figure]:
    """A worker killed, a slow client, one that goes away, hostile files: how many good clips are answered meanwhile."""
    good = list(islice(cycle(bodies), max(8, hostile)))
    figures = []
    for what, trouble in (
        ("a worker is killed every second", _kill_workers),
        ("a client sends a byte a second", _dribble),
        ("clients go away before the answer", _go_away),
    ):
        stopping = threading.Event()
        thread = threading.Thread(target=trouble, args=(service, stopping))
        thread.start()
        answers = _posted(service, good, 8)
        stopping.set()
        thread.join()
        figures.append(_share(f"good clips answered while {what}", answers))
    broken = [_body(content, f"{i}.wav") for i, content in enumerate(hostile_files(hostile))]
    mixed = [body for pair in zip(good, broken, strict=False) for body in pair]
    answers = _posted(service, mixed, 8)
    figures.append(_share(f"good clips answered between {hostile} hostile files", answers[::2]))
    refused = sum(200 <= answer.status < 500 for answer in answers[1::2]) / len(answers[1::2])
    figures.append(Figure("hostile files answered, with a trace or an error of the file", 100 * refused, "%"))
    return figures


def _share(what: str, answers: list[Answered]) -> Figure:
    return Figure(what, 100 * sum(answer.status == 200 for answer in answers) / len(answers), "%")


def _check(answers: list[Answered], status: int) -> None:
    others = [answer.status for answer in answers if answer.status != status]
    if others:
        raise RuntimeError(f"{len(others)} of {len(answers)} requests were answered with {sorted(set(others))}")


# --- What goes wrong --------------------------------------------------------------------------------------------------


def _kill_workers(service: Service, stopping: threading.Event) -> None:
    while not stopping.wait(1.0):
        for pid in _children(service)[:1]:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _dribble(service: Service, stopping: threading.Event) -> None:
    head = f"POST /v1/trace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection, suppress(OSError):
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        while not stopping.wait(1.0):
            connection.sendall(b"-")


def _go_away(service: Service, stopping: threading.Event) -> None:
    body = _body(next(CLIPS.glob("*/*.flac")).read_bytes(), "gone.flac")
    head = f"POST /v1/trace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    while not stopping.wait(0.05):
        with socket.create_connection(("127.0.0.1", service.port)) as connection, suppress(OSError):
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def hostile_files(count: int) -> Iterator[bytes]:
    """Noise, cut and changed clips, headers that lie, formats that are no audio; the same ones every time."""
    random, clips = Random(1), sorted(CLIPS.glob("*/*.flac"))
    for i in range(count):
        content = bytearray(clips[i % len(clips)].read_bytes())
        kind = i % 6
        if kind == 0:
            yield random.randbytes(5000)
        elif kind == 1:
            yield bytes(content[: random.randrange(len(content))])
        elif kind == 2:
            for _ in range(200):
                content[random.randrange(len(content))] = random.randrange(256)
            yield bytes(content)
        elif kind == 3:
            yield b"RIFF\xff\xff\xff\x7fWAVEfmt " + random.randbytes(60)
        elif kind == 4:
            yield b"" if i % 12 == 4 else b"ID3" + bytes(2000)
        else:
            yield b"%PDF-1.7\n" + random.randbytes(300)
