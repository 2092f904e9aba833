"""The service under load on loopback: throughput beside the library, waiting times, memory, and what goes wrong."""

# Long: three rounds of a library and its service, and five things that go wrong.
from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.loaded_service import (
    BOUNDARY,
    END,
    HEADERS,
    Answered,
    Service,
    connection,
    decoding_children,
    form,
    part,
    posted,
    processor_s,
    resident_mb,
    running_service,
)
from benchmarks.measuring import Figure, Topic, cores, in_fresh_process
from benchmarks.streaming import CLIPS

CLIENTS = {1: "1 client", 8: "8 clients", 32: "32 clients"}
WORKERS = 2  # child processes of the library, where it decodes in some
TOGETHER, ISOLATED, SINGLY = "clips together", "clips together, decoded in child processes", "one clip after another"
JOB = "one job of them all"


class Load(NamedTuple):
    """What some clips took: clips a second; milliseconds of a core a clip, of whoever traces and of its clients."""

    rate: float
    own_ms: float
    clients_ms: float = 0.0
    seconds: tuple[float, ...] = ()  # that each answer took


def run(tiny: bool) -> Topic:
    """Measure."""
    return measured(1, 8, 16, 10) if tiny else measured(3, 400, 10_000, 200)


def measured(rounds: int, clips: int, many: int, hostile: int) -> Topic:
    """Measure with so many rounds of so many clips, clips for the memory, and hostile files."""
    bodies = [form(path.read_bytes(), path.name) for path in sorted(CLIPS.glob("*/*.flac"))]
    library: dict[str, list[Load]] = {way: [] for way in (TOGETHER, ISOLATED, SINGLY)}
    served: dict[str, list[Load]] = {what: [] for what in (*CLIENTS.values(), JOB)}
    with tempfile.TemporaryDirectory() as work, running_service(Path(work)) as service:
        posted(service, list(islice(cycle(bodies), 16)), 4)  # every worker has decoded once
        if not decoding_children(service.pid):
            raise RuntimeError("the processes that decode for the service are not found")
        for _ in range(rounds):
            for way, runs in library.items():
                runs.append(in_fresh_process(traced_by_library, way, clips)[0])
            for clients, who in CLIENTS.items():
                served[who].append(_under(service, bodies, clips, clients))
            served[JOB].append(_as_a_job(service, clips))
        figures = [figure for way, runs in library.items() for figure in _of_library(way, runs, library[TOGETHER])]
        figures += [figure for what, runs in served.items() for figure in _of_service(what, runs, library)]
        figures += _after_many(service, bodies, many)
        figures += _gone_wrong(service, bodies, hostile)
    settings = {"clips": clips, "rounds": rounds, "clips for memory": many, "hostile files": hostile, "cores": cores()}
    return Topic(figures, settings)


def traced_by_library(way: str, clips: int) -> Load:
    """As many files, through a tracer that is open and has traced before."""
    from synthprint.sound.isolation import DecodingPool, isolated
    from synthprint.tracing.tracer import Tracer

    tracer = Tracer.load()
    files = list(islice(cycle(sorted(CLIPS.glob("*/*.flac"))), clips))
    with ExitStack() as around:
        if way == ISOLATED:
            pool = around.enter_context(DecodingPool(WORKERS))
            around.enter_context(isolated(pool))
        list(tracer.trace_many(files[:16]))
        took, started = processor_s(os.getpid()), time.perf_counter()
        if way == SINGLY:
            for file in files:
                tracer.trace(file)
        else:
            list(tracer.trace_many(files))
        rate = clips / (time.perf_counter() - started)
        return Load(rate, 1000 * (processor_s(os.getpid()) - took) / clips)


def _of_library(way: str, runs: list[Load], first: list[Load]) -> Iterator[Figure]:
    """Of one way, beside the first in the same rounds."""
    yield _rate(f"library, {way}", runs, first, TOGETHER)
    yield _cores(f"library, {way}", runs, first)


def _of_service(what: str, runs: list[Load], library: dict[str, list[Load]]) -> Iterator[Figure]:
    """Of one load, beside the library in the same rounds."""
    for way, beside in library.items():
        yield _rate(f"service, {what}", runs, beside, way)
    yield _cores(f"service, {what}", runs, library[TOGETHER])
    waits = sorted(second for run in runs for second in run.seconds)
    if waits:
        p50, p99 = statistics.median(waits), waits[min(len(waits) - 1, round(0.99 * len(waits)))]
        yield Figure(f"service, {what}: p50", 1000 * p50, "ms")
        yield Figure(f"service, {what}: p99", 1000 * p99, "ms", p99 / p50, "x the p50")
        clients = statistics.median(run.clients_ms for run in runs)
        yield Figure(f"service, {what}: its clients", clients, "ms of a core a clip")


def _rate(what: str, runs: list[Load], beside: list[Load], way: str) -> Figure:
    ratios = [run.rate / other.rate for run, other in zip(runs, beside, strict=True)]
    value, ratio = statistics.median(run.rate for run in runs), statistics.median(ratios)
    return Figure(what, value, "clips/s", ratio, f"x the library, {way}", (min(ratios), max(ratios)))


def _cores(what: str, runs: list[Load], beside: list[Load]) -> Figure:
    ratio = statistics.median(run.own_ms / other.own_ms for run, other in zip(runs, beside, strict=True))
    value = statistics.median(run.own_ms for run in runs)
    return Figure(f"{what}: processor time", value, "ms of a core a clip", ratio, f"x the library, {TOGETHER}")


def _under(service: Service, bodies: list[bytes], clips: int, clients: int) -> Load:
    """Each clip in a request of its own, by so many clients."""
    served, asked, started = processor_s(service.pid), time.process_time(), time.perf_counter()
    answers = posted(service, list(islice(cycle(bodies), clips)), clients)
    rate = clips / (time.perf_counter() - started)
    asked, served = time.process_time() - asked, processor_s(service.pid) - served
    _check(answers, 200)
    return Load(rate, 1000 * served / clips, 1000 * asked / clips, tuple(answer.seconds for answer in answers))


def _as_a_job(service: Service, clips: int) -> Load:
    """As many clips in one request, from its first byte to the last answer."""
    files = islice(cycle(sorted(CLIPS.glob("*/*.flac"))), clips)
    parts = b"".join(part("clips", path.read_bytes(), path.name) for path in files)
    asking = connection(service)
    took, started = processor_s(service.pid), time.perf_counter()
    asking.request("POST", "/v1/jobs", parts + END, HEADERS)
    job = json.loads(asking.getresponse().read())
    asking.request("GET", f"/v1/jobs/{job['id']}/events")
    asking.getresponse().read()  # ends with the job
    asking.request("GET", f"/v1/jobs/{job['id']}")
    job = json.loads(asking.getresponse().read())
    rate = clips / (time.perf_counter() - started)
    if (job["done"], job["failed"]) != (clips, 0):
        raise RuntimeError(f"the job ended so: {job}")
    return Load(rate, 1000 * (processor_s(service.pid) - took) / clips)


def _after_many(service: Service, bodies: list[bytes], clips: int) -> list[Figure]:
    """Memory after so many clips against that after a tenth of them."""
    resident = []
    for share in range(10):
        part = list(islice(cycle(bodies), share, share + max(1, clips // 10)))
        _check(posted(service, part, 8), 200)
        resident.append(resident_mb(service.pid))
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
        answers = posted(service, good, 8)
        stopping.set()
        thread.join()
        figures.append(_share(f"good clips answered while {what}", answers))
    broken = [form(content, f"{i}.wav") for i, content in enumerate(hostile_files(hostile))]
    mixed = [body for pair in zip(good, broken, strict=False) for body in pair]
    answers = posted(service, mixed, 8)
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
        for pid in decoding_children(service.pid)[:1]:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _dribble(service: Service, stopping: threading.Event) -> None:
    head = f"POST /v1/trace HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection, suppress(OSError):
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        while not stopping.wait(1.0):
            connection.sendall(b"-")


def _go_away(service: Service, stopping: threading.Event) -> None:
    body = form(next(CLIPS.glob("*/*.flac")).read_bytes(), "gone.flac")
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
