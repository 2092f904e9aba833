"""Where an exact search ends and an approximate one begins: recall, waiting, memory, disk and the cost of adding.

The embeddings are simulated: sources of a thousand clips, drawn with the covariances that the shipped gallery has
between and within its sources. With fewer dimensions they are laid on its leading directions. Sizes that were measured
are kept in the folder for work, and are not measured again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measuring import Figure, Topic, cores, in_fresh_process
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.shipped import gallery_folder
from synthprint.searches.lance import Lance
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import unit
from synthprint.vectors.scatter import class_means, within_covariance

PER_SOURCE, BLOCK = 1000, 100_000
QUERIES, WARM, NEAREST = 100, 10, 10
ADDED = 1000  # clips, to a collection that is prepared
MOST_SCANNED = 1_000_000  # vectors in memory; a scan of more is so many of these, one after the other
SEGMENT_BLOCKS = 10
QDRANT, GRAPH_MOST = "qdrant", 1_000_000  # vectors: a graph of more takes hours here


class Size(NamedTuple):
    """So many vectors of so many dimensions, kept in half precision or not."""

    vectors: int
    dim: int
    half: bool


SIZES = (
    Size(10_000, 192, False), Size(100_000, 192, False), Size(1_000_000, 192, False), Size(10_000_000, 192, True),
    Size(100_000_000, 64, True),
)  # fmt: skip
TINY = (Size(200_000, 16, False),)


def run(tiny: bool, most: int = 1_000_000, work: Path | None = None) -> Topic:
    """Each size up to `most` vectors by each search, in processes of their own.

    Args:
        work: where what is built lies, and what was measured stays; the disk must hold 250 bytes a vector.
    """
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as temporary:
        place = Path(temporary) if tiny or work is None else work
        place.mkdir(parents=True, exist_ok=True)
        for size in TINY if tiny else [size for size in SIZES if size.vectors <= most]:
            for search in SEARCHES:
                if search != QDRANT or (find_spec("qdrant_edge") and size.vectors <= GRAPH_MOST):
                    rows.append(_kept(search, size, place))
    figures = [
        Figure(
            f"{row['search']}, {row['vectors']:,} × {row['dim']}, one query",
            row["p50_ms"],
            "ms",
            row["recall_at_10"],
            "recall@10",
        )
        for row in rows
    ]
    settings = {"per_source": PER_SOURCE, "queries": QUERIES, "nearest": NEAREST, "seed": 0, "cores": cores()}
    return Topic(figures, settings, {"rows": rows})


def _kept(search: str, size: Size, work: Path) -> dict[str, Any]:
    """The row of one search at one size: as it was measured before, or now."""
    row = work / f"{search}-{size.vectors}-{size.dim}.json"
    if not row.exists():
        measured = SEARCHES[search](size, work / search)
        row.write_text(json.dumps({"search": search, **size._asdict(), **measured}))
    return json.loads(row.read_text())


# --- Embeddings -------------------------------------------------------------------------------------------------------


class Simulation:
    """Embeddings as a gallery of many sources would have them, block by block, and queries of the same sources."""

    def __init__(self, size: Size) -> None:
        gallery = Gallery.load(gallery_folder())
        directions = unit(gallery.vectors).astype(np.float64)
        means, counts = class_means(directions, gallery.owners)
        within = within_covariance(directions, gallery.owners)
        between = np.cov(means.T) - within * np.mean(1 / counts)
        leading = np.linalg.eigh(within + between)[1][:, ::-1][:, : size.dim]  # [D, dim]
        self.size, self._mean = size, means.mean(axis=0) @ leading
        self._within, self._between = (_root(leading.T @ c @ leading) for c in (within, between))
        self._sources = max(1, size.vectors // PER_SOURCE)
        rng = np.random.default_rng(0)
        self._centres = rng.standard_normal((self._sources, size.dim), np.float32) @ self._between
        self._centres += self._mean.astype(np.float32)
        of = rng.integers(0, self._sources, QUERIES + WARM)
        self.queries = self._around(of, rng)

    def _around(self, of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return unit(self._centres[of] + rng.standard_normal((len(of), self.size.dim), np.float32) @ self._within)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Where each block starts, and its vectors, as they will be kept."""
        for start in range(0, self.size.vectors, BLOCK):
            rows = np.arange(start, min(start + BLOCK, self.size.vectors))
            vectors = self._around(rows // PER_SOURCE % self._sources, np.random.default_rng((1, start)))
            yield start, vectors.astype(np.float16).astype(np.float32) if self.size.half else vectors

    def more(self) -> np.ndarray:
        """Clips that are added later."""
        rng = np.random.default_rng(2)
        return self._around(rng.integers(0, self._sources, ADDED), rng)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R [D, D] with R'R the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(values.clip(0))).T.astype(np.float32)
    return root


class Closest:
    """The closest of all blocks to each query, found as the blocks pass."""

    def __init__(self, queries: np.ndarray) -> None:
        self._queries = queries
        self.rows = np.zeros((len(queries), 0), np.int64)
        self._cosines = np.zeros((len(queries), 0), np.float32)

    def see(self, start: int, vectors: np.ndarray) -> None:
        """Take in a block."""
        cosines = self._queries @ unit(vectors).T
        if self._cosines.shape[1]:  # few of a block come near
            near = np.flatnonzero((cosines > self._cosines[:, -1:]).any(axis=0))
        else:
            near = np.arange(len(vectors))
        rows = np.concatenate([self.rows, np.broadcast_to(start + near, (len(cosines), len(near)))], axis=1)
        similar = np.concatenate([self._cosines, cosines[:, near]], axis=1)
        order = np.argsort(-similar, axis=1)[:, :NEAREST]
        self.rows, self._cosines = (np.take_along_axis(values, order, axis=1) for values in (rows, similar))

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """The share of the closest that was found."""
        shares = [len(set(a) & set(b)) / NEAREST for a, b in zip(self.rows.tolist(), found, strict=True)]
        return float(np.mean(shares))


# --- Searches ---------------------------------------------------------------------------------------------------------


def exact(size: Size, folder: Path) -> dict[str, Any]:  # noqa: ARG001 - nothing is kept
    """A scan of all, in memory; of more than fit, as many scans of a part as there are parts."""
    return in_fresh_process(_scan, size)[0]


def _scan(size: Size) -> dict[str, Any]:
    simulation = Simulation(size)
    held = np.concatenate([vectors for _, vectors in islice(simulation.blocks(), MOST_SCANNED // BLOCK)])
    passes = size.vectors / len(held)
    search, built_s = _timed(lambda: ClosestClips(held, np.zeros(len(held), np.int64)))
    _, times = _asked(simulation, lambda query: search.search(query, NEAREST)[1][0])
    return {
        "recall_at_10": 1.0, **_times([time_s * passes for time_s in times]), "build_s": round(built_s * passes, 1),
        "search_mb": round(size.vectors * size.dim * 4 / 1e6), "scanned": len(held),
    }  # fmt: skip


def lance(size: Size, folder: Path) -> dict[str, Any]:
    """LanceDB on this disk."""
    rmtree(folder, ignore_errors=True)
    try:
        (closest, built), build_mb = in_fresh_process(_build_lance, size, folder)
        (found, times), search_mb = in_fresh_process(_search_lance, size, folder)
        bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        (add_s, prepare_s), _ = in_fresh_process(_add_to_lance, size, folder)
    finally:
        rmtree(folder, ignore_errors=True)
    return {
        "recall_at_10": round(closest.recall(found), 4), **_times(times), **built, "build_mb": round(build_mb),
        "search_mb": round(search_mb), "disk_mb": round(bytes_ / 1e6), f"add_{ADDED}_s": round(add_s, 2),
        "prepare_s": round(prepare_s, 2),
    }  # fmt: skip


def _build_lance(size: Size, folder: Path) -> tuple[Closest, dict[str, float]]:
    simulation, search = Simulation(size), Lance(str(folder), half=size.half)
    closest = Closest(simulation.queries[WARM:])
    held: list[np.ndarray] = []
    add_s = 0.0
    for start, vectors in simulation.blocks():
        closest.see(start, vectors)
        held.append(vectors)
        if len(held) == SEGMENT_BLOCKS or start + len(vectors) == size.vectors:
            whole, first = np.concatenate(held), start + len(vectors) - sum(map(len, held))
            held.clear()
            ids = [str(row) for row in range(first, first + len(whole))]
            add_s += _timed(lambda w=whole, i=ids: search.add(i[0], i, w))[1]  # type: ignore[misc]
            print(f"lance: {first + len(whole):,} added in {add_s:.0f} s", flush=True)
    _, index_s = _timed(search.prepare)
    print(f"lance: prepared in {index_s:.0f} s", flush=True)
    return closest, {"write_s": round(add_s, 1), "build_s": round(add_s + index_s, 1)}


def _search_lance(size: Size, folder: Path) -> tuple[list[list[int]], list[float]]:
    simulation, search = Simulation(size), Lance(str(folder), half=size.half)
    return _asked(simulation, lambda query: [int(key) for key in search.search(query, NEAREST)[0].ids])


def _add_to_lance(size: Size, folder: Path) -> tuple[float, float]:
    simulation, search = Simulation(size), Lance(str(folder), half=size.half)
    more = simulation.more()
    _, add_s = _timed(lambda: search.add("more", [f"more {row}" for row in range(len(more))], more))
    return add_s, _timed(search.prepare)[1]


def qdrant(size: Size, folder: Path) -> dict[str, Any]:
    """Qdrant's engine in this process (`qdrant-edge-py`), by its graph: no server, no network."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        (closest, built), build_mb = in_fresh_process(_build_qdrant, size, folder)
        (found, times), search_mb = in_fresh_process(_search_qdrant, size, folder)
        bytes_ = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    finally:
        rmtree(folder, ignore_errors=True)
    return {
        "recall_at_10": round(closest.recall(found), 4), **_times(times), **built, "build_mb": round(build_mb),
        "search_mb": round(search_mb), "disk_mb": round(bytes_ / 1e6),
    }  # fmt: skip


def _build_qdrant(size: Size, folder: Path) -> tuple[Closest, dict[str, float]]:
    import qdrant_edge as edge

    simulation = Simulation(size)
    closest = Closest(simulation.queries[WARM:])
    vectors = edge.EdgeVectorParams(size.dim, edge.Distance.Dot, on_disk=True)
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors))
    write_s = 0.0
    for start, block in simulation.blocks():
        closest.see(start, block)
        for first in range(0, len(block), 1000):
            points = [
                edge.Point(start + first + row, vector.tolist())
                for row, vector in enumerate(block[first : first + 1000])
            ]
            write_s += _timed(lambda p=points: shard.update(edge.UpdateOperation.upsert_points(p)))[1]  # type: ignore[misc]
    _, index_s = _timed(shard.optimize)
    shard.flush()
    shard.close()
    return closest, {"write_s": round(write_s, 1), "build_s": round(write_s + index_s, 1)}


def _search_qdrant(size: Size, folder: Path) -> tuple[list[list[int]], list[float]]:
    import qdrant_edge as edge

    shard = edge.EdgeShard.load(str(folder))
    params = edge.SearchParams(hnsw_ef=256)

    def asked(query: np.ndarray) -> list[int]:
        request = edge.QueryRequest(NEAREST, query=edge.Query.Nearest(query[0].tolist()), params=params)
        return [point.id for point in shard.query(request)]

    return _asked(Simulation(size), asked)


SEARCHES: dict[str, Callable[[Size, Path], dict[str, Any]]] = {"exact": exact, "lance": lance, QDRANT: qdrant}


# --- Timing -----------------------------------------------------------------------------------------------------------


def _asked(simulation: Simulation, search: Any) -> tuple[list[list[int]], list[float]]:
    """What is found for each query, one after the other, and how long each took; after a few that are not counted."""
    for query in simulation.queries[:WARM]:
        search(query[None])
    answers = [_timed(lambda q=query: search(q[None])) for query in simulation.queries[WARM:]]  # type: ignore[misc]
    return [list(found) for found, _ in answers], [time_s for _, time_s in answers]


def _timed(work: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started


def _times(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{share}_ms": round(1000 * float(np.percentile(seconds, share)), 2) for share in (50, 99)}
