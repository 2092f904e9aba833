"""A gallery that grows: identification, opening and enrolling at a million clips."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.measuring import Figure, Paired, Topic, cores, in_fresh_process, paired, seconds
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.index import EnrolledClip, EnrolledSource, Index
from synthprint.gallery.segments import Clips, write_segment
from synthprint.model.model import Model
from synthprint.tracing.tracer import Tracer
from synthprint.types import Embeddings
from synthprint.vectors.closest_clips import ClosestClips
from synthprint.vectors.directions import cosines, unit

EXTRACTOR = "0" * 64
SPREAD = 0.5  # of a source's clips around its centre, whose coordinates have a spread of 1
NEAREST = 3
BACKENDS = ("centroid", "cosine", "knn")
LIBRARIES = {"faiss": "faiss-cpu", "usearch": "usearch", "hnswlib": "hnswlib"}  # module -> package


class Given:
    """Stands where embeddings are given and nothing is embedded."""

    digest, window_samples, dim = EXTRACTOR, 32000, 0

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Never called."""
        raise NotImplementedError


def run(tiny: bool) -> Topic:
    """A thousand sources with a thousand clips each; 64 values a clip as the shipped extractor gives, 50 and 192."""
    sources, per_source, dims = (20, 50, (64,)) if tiny else (1000, 1000, (64, 50, 192))
    runs = 3 if tiny else 9
    figures: list[Figure] = []
    for dim in dims:
        with TemporaryDirectory() as temporary:
            gallery, test = enrolled(Path(temporary) / "gallery", sources, per_source, dim)
            figures += identification(gallery, test, runs)
            if dim == dims[0]:
                figures += growth(gallery, test, 20 if tiny else 1000)
    figures += segments(20 if tiny else 5000)
    table, skipped = crossover((300, 1000) if tiny else (1000, 10_000, 100_000, 1_000_000), dims[0], tiny)
    settings = {
        "sources": sources, "clips_per_source": per_source, "dims": dims, "seed": 0, "spread": SPREAD, "runs": runs,
        "nearest": NEAREST, "skipped": skipped,
    }  # fmt: skip
    return Topic(figures, settings, {"crossover_ms": table})


def crowd(sources: int, per_source: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors [N, D] around the centres of sources, the owner of each [N], and test vectors [256, D] like them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((sources, dim), np.float32)
    owners = np.repeat(np.arange(sources), per_source)
    drawn = np.concatenate([owners, rng.integers(0, sources, 256)])
    vectors = unit(centres[drawn] + SPREAD * rng.standard_normal((len(drawn), dim), np.float32))
    return vectors[: len(owners)], owners, vectors[len(owners) :]


def enrolled(folder: Path, sources: int, per_source: int, dim: int) -> tuple[Gallery, np.ndarray]:
    """A gallery on disk, enrolled in ten parts; and test vectors."""
    vectors, owners, test = crowd(sources, per_source, dim)
    gallery = Gallery.create(folder, EXTRACTOR)
    for part in np.array_split(np.arange(len(vectors)), 10):
        add(gallery, vectors[part], owners[part], int(part[0]))
    return gallery, test


def add(gallery: Gallery, vectors: np.ndarray, owners: np.ndarray, first: int) -> None:
    """Enrol clips that are numbered from `first`."""
    names = [(first + i, f"system-{owner:04d}") for i, owner in enumerate(owners.tolist())]
    clips = [EnrolledClip(f"{name}/{i:07d}.wav", name, hashlib.sha256(b"%d" % i).hexdigest(), 4.0) for i, name in names]
    gallery.enrol(Embeddings(tuple(clip.id for clip in clips), vectors, EXTRACTOR), clips, {})


def identification(gallery: Gallery, test: np.ndarray, runs: int) -> Iterator[Figure]:
    """One query and many, by each backend, with the nearest clips."""
    size = f"{len(gallery.clips):,} × {gallery.vectors.shape[1]}"
    queries = iter(np.tile(test, (100, 1)))
    read = reader(gallery.vectors)
    names = [f"{i}.wav" for i in range(len(test))]
    for backend in BACKENDS:
        tracer = Tracer(Model(Given()), gallery, backend, nearest=NEAREST)
        plain = plain_way(gallery, backend)

        def one(tracer: Tracer = tracer) -> None:
            tracer.answer(next(queries), "x.wav")

        def many(tracer: Tracer = tracer) -> None:
            tracer.answer_many(test, names)

        one()
        yield milliseconds(f"one query, {backend}, {size}", paired(one, lambda p=plain: p(next(queries)), runs),
                           "x the plain way (all cosines, sorted)")  # fmt: skip
        yield milliseconds(f"one query, {backend}, {size}", paired(one, read, 2 * runs),
                           "x reading the embeddings once, all cores")  # fmt: skip
        timed = paired(many, lambda: [test[i : i + 16] @ gallery.vectors.T for i in range(0, len(test), 16)], 3)
        yield milliseconds(f"each of {len(test)} queries at once, {backend}, {size}", timed,
                           "x their matrix products alone", len(test))  # fmt: skip


def milliseconds(what: str, timed: Paired, against: str, of: int = 1) -> Figure:
    """A figure of paired timings."""
    return Figure(what, 1000 * timed.a_s / of, "ms", timed.ratio, against, timed.spread)


def reader(vectors: np.ndarray) -> Callable[[], Any]:
    """Reads all the bytes once on all cores: what no exact search of one vector can be faster than."""
    pool = ThreadPoolExecutor(cores())
    parts = np.array_split(vectors, 16)
    return lambda: list(pool.map(np.max, parts))


def plain_way(gallery: Gallery, backend: str) -> Callable[[np.ndarray], Any]:
    """The definition, written with numpy in a few lines: normalise, multiply, reduce by source, sort all clips."""
    vectors, owners = gallery.vectors, gallery.owners
    directions, starts = unit(vectors), np.searchsorted(owners, np.arange(len(gallery.names)))
    centroids = np.add.reduceat(directions, starts, axis=0, dtype=np.float64)

    def scores(query: np.ndarray) -> np.ndarray:
        if backend == "centroid":
            return cosines(centroids, query[None])[:, 0]
        similar = cosines(vectors, query[None])[:, 0]
        if backend == "cosine":
            return np.maximum.reduceat(similar, starts)
        return np.array([np.sort(of)[-5:].mean() for of in np.split(similar, starts[1:])])

    def answer(query: np.ndarray) -> Any:
        return np.argsort(-scores(query)), np.argsort(-(directions @ query), kind="stable")[:NEAREST]

    return answer


def growth(gallery: Gallery, test: np.ndarray, more: int) -> Iterator[Figure]:
    """Opening the gallery in a new process, and enrolling more clips into it."""
    count, dim = gallery.vectors.shape
    held_mb = gallery.vectors.nbytes / 1e6
    stored_mb = sum(path.stat().st_size for path in gallery.folder.rglob("*") if path.is_file()) / 1e6
    for backend in BACKENDS:
        (load_s, first_s), peak_mb = in_fresh_process(opened_cold, gallery.folder, backend, test[0])
        if backend == BACKENDS[0]:
            yield Figure(f"opening {count:,} clips ({stored_mb:.0f} MB)", load_s, "s")
        yield Figure(f"from open to the first answer, {backend}", first_s, "s")
        yield Figure(f"peak memory of both, {backend}", peak_mb, "MB", peak_mb / held_mb, "x the embeddings alone")
    before = {path: path.stat() for path in gallery.folder.rglob("*") if path.is_file()}
    vectors = np.random.default_rng(1).standard_normal((more, dim)).astype(np.float32)
    small = Gallery.create(gallery.folder.parent / "small", EXTRACTOR)
    small_s = seconds(lambda: add(small, vectors, np.arange(more) % 1000, count))
    large_s = seconds(lambda: add(gallery, vectors, np.arange(more) % 1000, count))
    changed = [path for path in before if path.stat().st_mtime_ns != before[path].st_mtime_ns]
    if {path.name for path in changed} - {".lock", "gallery.json"}:
        raise AssertionError(f"enrolling rewrote {changed}")
    written, small_written = (written_by_last(one) for one in (gallery, small))
    yield Figure(f"enrolling {more:,} more into {count:,}", large_s, "s", large_s / small_s, "x into an empty gallery")
    yield Figure("bytes it wrote, index included", written / 1e6, "MB", written / small_written,
                 "x into an empty gallery")  # fmt: skip


def written_by_last(gallery: Gallery) -> int:
    """Bytes of the newest segment and of the index."""
    newest = max((gallery.folder / "segments").iterdir())
    return newest.stat().st_size + (gallery.folder / "gallery.json").stat().st_size


def opened_cold(folder: Path, backend: str, query: np.ndarray) -> tuple[float, float]:
    """Seconds to open a gallery, and from there to an answer."""
    started = time.perf_counter()
    gallery = Gallery.load(folder)
    loaded = time.perf_counter()
    Tracer(Model(Given()), gallery, backend).answer(query, "x.wav")
    return loaded - started, time.perf_counter() - loaded


def segments(count: int) -> Iterator[Figure]:
    """A gallery of many small enrolments, one clip each."""
    vectors, owners, _ = crowd(10, max(1, count // 10), 64)
    with TemporaryDirectory() as temporary:
        gallery = Gallery.create(Path(temporary) / "gallery", EXTRACTOR)
        written = tuple(
            write_segment(gallery.folder, i + 1, vectors[[i]],
                          Clips.from_clips([EnrolledClip(str(i), f"system-{owners[i]:04d}")]), EXTRACTOR)
            for i in range(count)
        )  # fmt: skip
        sources = {f"system-{owner:04d}": EnrolledSource() for owner in set(owners.tolist())}
        Index(EXTRACTOR, sources=sources, segments=written).write(gallery.folder)
        load_s = statistics.median(seconds(lambda: Gallery.load(gallery.folder)) for _ in range(3))
        gallery.reload()
        added = [seconds(lambda i=i: add(gallery, vectors[[i]], owners[[i]], i)) for i in range(5)]  # type: ignore[misc]
    yield Figure(f"opening {count:,} segments of one clip", load_s, "s")
    yield Figure(f"enrolling one clip more after {count:,} enrolments", 1000 * statistics.median(added), "ms")


def crossover(sizes: Sequence[int], dim: int, tiny: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """The 3 nearest clips by plain products, by our search and by what else is installed: ms a call, and recall."""
    vectors, _, test = crowd(1000, max(1, sizes[-1] // 1000), dim)
    skipped = [f"{package}: not installed" for module, package in LIBRARIES.items() if not find_spec(module)]
    table = []
    for size in sizes:
        chosen = np.ascontiguousarray(vectors[:: len(vectors) // size][:size])
        right = np.argsort(-cosines(chosen, test).T, axis=1)[:, :NEAREST] if size <= 100_000 else None
        for name, search in searches(chosen).items():
            found = search(test)
            right = found if right is None else right  # our own search comes first, and is exact
            recall = np.mean(
                [len(set(a) & set(b)) / NEAREST for a, b in zip(found.tolist(), right.tolist(), strict=True)]
            )
            row: dict[str, Any] = {"search": name, "clips": size, "recall": round(float(recall), 4)}
            for queries in (1, 16) if tiny else (1, 4, 16, 64, 256):
                few = test[:queries]
                times = [seconds(lambda s=search, q=few: s(q)) for _ in range(3 if size > 100_000 else 9)]  # type: ignore[misc]
                row[f"{queries} at once"] = round(1000 * statistics.median(times), 3)
            table.append(row)
    return table, skipped


def searches(vectors: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name -> a function from test vectors [T, D] to the positions [T, 3] of the nearest."""
    ours = ClosestClips(vectors, np.zeros(len(vectors), np.int64))

    def products(test: np.ndarray) -> np.ndarray:
        return np.argpartition(test @ vectors.T, -NEAREST, axis=1)[:, -NEAREST:]

    found = {"synthprint, exact": lambda test: ours.search(test, NEAREST)[1], "numpy products, argpartition": products}
    return found | with_faiss(vectors) | with_usearch(vectors) | with_hnswlib(vectors)


def with_faiss(vectors: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """A flat index, which is exact; an inverted file and a graph, which are not."""
    if not find_spec("faiss"):
        return {}
    import faiss

    count, dim = vectors.shape
    flat = faiss.IndexFlatIP(dim)
    flat.add(vectors)
    found = {"faiss flat": lambda test: flat.search(test, NEAREST)[1]}
    if count >= 10_000:
        lists = int(count**0.5)
        inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
        inverted.train(vectors[:: max(1, count // 100_000)])
        inverted.add(vectors)
        inverted.nprobe = 16
        found[f"faiss ivf, {lists} lists, 16 probed"] = lambda test: inverted.search(test, NEAREST)[1]
    return found


def with_usearch(vectors: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Its exact search."""
    if not find_spec("usearch"):
        return {}
    from usearch.index import MetricKind, search

    def exact(test: np.ndarray) -> np.ndarray:
        keys = search(vectors, test, NEAREST, MetricKind.IP, exact=True, threads=cores()).keys
        return np.asarray(keys).reshape(len(test), -1)

    return {"usearch exact": exact}


def with_hnswlib(vectors: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """A graph, which is not exact; up to 100,000 clips, for it takes minutes to build beyond."""
    if not find_spec("hnswlib") or len(vectors) > 100_000:
        return {}
    import hnswlib

    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(vectors), ef_construction=200, M=16, random_seed=0)
    graph.add_items(vectors)
    graph.set_ef(64)
    return {"hnswlib, M 16, ef 64": lambda test: graph.knn_query(test, NEAREST)[0]}
