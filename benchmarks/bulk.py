"""Very many clips on Ray: what it costs beside a plain loop, whether its memory stays, and what a killed node loses."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.measuring import Figure, Topic, cores
from benchmarks.streaming import CLIPS
from synthprint.answers.reading import Answers
from synthprint.bulk.ray_cluster import ray
from synthprint.bulk.running import Resources
from synthprint.bulk.running import run as run_bulk
from synthprint.bulk.worker import BulkJob
from synthprint.extractor.examining import BATCH_CLIPS
from synthprint.tracing.tracer import Tracer

ACTORS = 2
SHARD_CLIPS = 100
WATCH_S = 2.0
NO_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")


def run(tiny: bool) -> Topic:
    """Measure."""
    clips, pairs, many = (240, 1, 100) if tiny else (2000, 5, 100_000)
    with tempfile.TemporaryDirectory() as work, nodes() as cluster:
        folder = Path(work)
        figures = overhead(linked(folder / "clips", clips), folder, pairs)
        kept, curve = memory(linked(folder / "many", many), folder)
        figures += kept
        figures += killed(cluster, linked(folder / "clips", clips), folder)
    settings = {"clips": clips, "pairs": pairs, "actors": ACTORS, "nodes": 3, "clips of a shard": SHARD_CLIPS}
    return Topic(figures, {**settings, "cores": cores()}, {"memory": curve})


@contextmanager
def nodes(actors: int = ACTORS) -> Iterator[Any]:
    """Ray nodes on this machine: one for the driver, and one for each actor."""
    library = ray()
    from ray.cluster_utils import Cluster

    patient()
    cluster = Cluster(initialize_head=True, head_node_args={**node(), "include_dashboard": False, "no_monitor": True})
    try:
        for _ in range(actors):
            cluster.add_node(**node())
        library.init(address=cluster.address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        yield cluster
    finally:
        library.shutdown()
        cluster.shutdown()


def node() -> dict[str, Any]:
    """What a node is given."""
    with socket.create_server(("", 0)) as held:
        port = held.getsockname()[1]
    few = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_log_monitor": False}
    return {**few, "runtime_env_agent_port": port}


def patient() -> None:
    """Let Ray's nodes take their time on a machine that has much to do.

    A node has 30 s to start, and its agents have 15 s to say at which port they listen: that is said in their place.
    """
    node_module = importlib.import_module("ray._private.node")
    slower = {**vars(time), "monotonic": lambda: time.monotonic() / 10}
    setattr(node_module, "time", SimpleNamespace(**slower))  # noqa: B010
    start = node_module.Node.start_raylet

    def start_raylet(self: Any, *arguments: Any, **options: Any) -> None:
        ports = {**dict.fromkeys(NO_PORTS, -1), "runtime_env_agent_port": self._ray_params.runtime_env_agent_port}
        for name, port in ports.items():
            Path(self._session_dir, f"{name}_{self._node_id}").write_text(str(port), encoding="ascii")
        start(self, *arguments, **options)

    node_module.Node.start_raylet = start_raylet


def linked(folder: Path, count: int) -> Path:
    """A folder of so many clips: links to the examples, in turn."""
    sources = sorted(CLIPS.rglob("*.flac"))
    for number in range(0 if folder.exists() else count):
        place = folder / f"{number // 1000:03d}" / f"{number:06d}.flac"
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(sources[number % len(sources)], place)
        except OSError:  # another file system
            place.symlink_to(sources[number % len(sources)])
    return folder


# --- Overhead ---------------------------------------------------------------------------------------------------------


def overhead(clips: Path, work: Path, pairs: int) -> list[Figure]:
    """Clips a second once all actors work, and what comes before the first answer; beside a plain loop."""
    rates, ratios, starts = [], [], []
    for pair in range(pairs):
        by_hand = plain(clips, work)
        started = time.time()
        out = work / f"out-{pair}"
        answers = run_bulk(BulkJob("trace"), [clips], out, Resources("auto", ACTORS), SHARD_CLIPS)
        first, rate = steady(answers)
        starts.append(first - started)
        rates.append(rate)
        ratios.append(by_hand / rate)
        if pair == 0:
            check(answers)
    against = f"x the time a clip of {ACTORS} processes that each trace half of the clips"
    spread = (min(ratios), max(ratios))
    return [
        Figure("bulk trace", statistics.median(rates), "clips/s", statistics.median(ratios), against, spread),
        Figure("bulk trace, from the call to the first shard", statistics.median(starts), "s"),
    ]


def steady(answers: Answers) -> tuple[float, float]:
    """When the first shard was traced, in seconds, and clips a second after the first shard of each actor.

    The rows of a shard of at most 128 clips are stamped together, when all of them are traced.
    """
    shards = []
    for name in answers.shards:
        times = [time for batch in answers.shard_batches(name, ["traced_at"]) for time in batch.column(0).to_pylist()]
        shards.append((max(times).timestamp(), len(times)))
    shards.sort()
    later = shards[ACTORS:]
    return shards[0][0], sum(rows for _, rows in later) / (later[-1][0] - shards[ACTORS - 1][0])


def check(answers: Answers) -> None:
    """The answers are those of the plain loop, to the last bit."""
    tracer = Tracer.load(threads=1)
    for row in islice(answers.rows(["address", "trace"]), 60):
        (said,) = tracer.trace_many([Path(row["address"])])
        assert json.dumps(said.to_dict()) == row["trace"]


def plain(clips: Path, work: Path) -> float:
    """Clips a second, of as many processes as there are actors, from the first batch of answers to the last."""
    paths = sorted(map(str, clips.rglob("*.flac")))
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(ACTORS)
    with context.Pool(ACTORS, _share, (ready,)) as pool:
        spans = pool.starmap(_trace, [(paths[n::ACTORS], str(work / f"plain-{n}.jsonl")) for n in range(ACTORS)], 1)
    return sum(rows for *_, rows in spans) / (max(last for _, last, _ in spans) - min(first for first, *_ in spans))


_ready: Any = None


def _share(ready: Any) -> None:
    global _ready  # noqa: PLW0603
    _ready = ready


def _trace(paths: list[str], out: str) -> tuple[float, float, int]:
    tracer = Tracer.load(threads=1)
    _ready.wait()
    times = []
    with open(out, "w", encoding="utf-8") as file:
        for answer in tracer.trace_many(map(Path, paths)):
            file.write(json.dumps(answer.to_dict()) + "\n")
            times.append(time.time())
    return times[0], times[-1], len(times) - BATCH_CLIPS  # the first batch of answers comes at once


# --- Memory -----------------------------------------------------------------------------------------------------------


def memory(clips: Path, work: Path) -> tuple[list[Figure], list[dict[str, float]]]:
    """Of the driver and of the actors, while very many clips are embedded."""
    curve: list[dict[str, float]] = []
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(curve, over))
    watching.start()
    try:
        answers = run_bulk(BulkJob("embed"), [clips], work / "out-many", Resources("auto", ACTORS), 1000)
    finally:
        over.set()
        watching.join()
    assert not answers.failures
    assert len({row["address"] for row in answers.rows(["address"])}) == len(answers)
    working = [point for point in curve if point["actors"]]
    quarter = max(len(working) // 4, 1)
    figures = []
    for who in ("driver", "actors"):
        early, late = (
            statistics.median(point[who] for point in part)
            for part in (working[quarter : 2 * quarter] or working, working[-quarter:])
        )
        what = f"memory of the {who}, last quarter of {len(answers):,} clips"
        figures.append(Figure(what, late, "MB", late / early, "x that in the second quarter"))
    return figures, curve


def _watch(curve: list[dict[str, float]], over: threading.Event) -> None:
    started = time.monotonic()
    while not over.wait(WATCH_S):
        actors = sum(map(_resident_mb, actor_processes()))
        curve.append({"s": round(time.monotonic() - started), "driver": _resident_mb(os.getpid()), "actors": actors})


def actor_processes() -> list[int]:
    """The processes that run the workers of Ray Data."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"MapWorker" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _resident_mb(process: int) -> float:
    with suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
        return round(sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024)
    return 0.0


# --- A killed node ----------------------------------------------------------------------------------------------------


def killed(cluster: Any, clips: Path, work: Path) -> list[Figure]:
    """A node is killed in the middle: no clip is lost, none has two rows."""
    out = work / "out-killed"
    killing = threading.Thread(target=_kill, args=(cluster, out))
    killing.start()
    answers = run_bulk(BulkJob("trace"), [clips], out, Resources("auto", ACTORS), SHARD_CLIPS)
    killing.join()
    rows = sorted((row["address"], row["trace"]) for row in answers.rows(["address", "trace"]))
    whole = sorted((r["address"], r["trace"]) for r in Answers.open(work / "out-0").rows(["address", "trace"]))
    assert rows == whole
    return [Figure("clips whose answers a killed node cost", len(whole) - len(rows), "clips")]


def _kill(cluster: Any, out: Path) -> None:
    """When three shards are done, the last node goes, without a word."""
    while len(list(out.glob("*.parquet"))) < 3:
        time.sleep(0.2)
    cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)
