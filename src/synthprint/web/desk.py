"""The desk: what all routes work with: the model, the galleries, the threads that examine, and who is told of it."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import numpy as np

from synthprint.errors import GalleryError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.shipped import open_gallery
from synthprint.model.model import Model
from synthprint.model.shipped import DEFAULT
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.isolation import DecodingPool, isolated
from synthprint.tracing.tracer import Tracer
from synthprint.web import repeats
from synthprint.web.audit import AuditLog
from synthprint.web.batches import TraceBatches
from synthprint.web.cases import CaseStore
from synthprint.web.counting import ServiceMetrics
from synthprint.web.jobs import RUNNING, WAITING, Jobs
from synthprint.web.logs import LOGGER
from synthprint.web.problems import ServiceProblem
from synthprint.web.retention import Retention, clear
from synthprint.web.settings import ServiceSettings
from synthprint.web.working import Workers

THREADS_PER_WORKER = 2  # that examine: while one waits for its child process, another has the processor
P = ParamSpec("P")
R = TypeVar("R")


class Desk:
    """What the routes share, from the start of a service to its end.

    Attributes:
        settings: of the service.
        workers: the threads that examine, and the queue before them.
        batches: traces clips of several requests together.
        galleries: name -> open gallery; "default" is the shipped one, or that of the settings. An open one is never
            changed, as others read it: a change is made through `Gallery.load(folder)`, then `refresh(name)`.
        decoding: the child processes that decode.
        jobs: what is traced beside the requests.
        cases: those that are open.
        audit: who did what.
        metrics: what is counted.
        retention: deletes what is too old; `retention.sweeps` has what looks for it.
        stopping: set when the service ends: whoever streams ends then.
        failure: why the model or the default gallery could not be opened; None where they could.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.workers = Workers(THREADS_PER_WORKER * settings.workers, settings.queue)
        self.batches = TraceBatches(self.workers, lambda of: self.tracer(of.gallery, of.top, of.nearest))
        self.galleries: dict[str, Gallery] = {}
        self.decoding = DecodingPool(settings.workers, settings.memory_bytes, settings.decode_seconds)
        self.audit = AuditLog(settings.audit)
        self.metrics = ServiceMetrics()
        self.jobs = Jobs(settings.folder / "jobs", self.tracer, lambda what: self.metrics.clips.labels(what).inc())
        self.retention = Retention(settings.retention_h * 3600)
        self.cases = CaseStore(settings.folder / "cases")
        self.retention.sweeps += [
            self.jobs.sweep,
            self.cases.sweep,
            lambda _: repeats.sweep(settings.folder / "repeats", time.time()),
        ]
        self.stopping = threading.Event()
        self.failure: str | None = None
        self._ready = threading.Event()
        self._model: Model | None = None
        self._tracers: dict[str, Tracer] = {}
        self._opening = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator[Desk]:
        """Open the model and the galleries beside the block, which need not wait for them; end all when it ends."""
        clear(self.settings.uploads)
        self._watch()
        opening = threading.Thread(target=self._open, name="opening", daemon=True)
        with self.decoding, isolated(self.decoding):
            opening.start()
            self.jobs.start()
            self.retention.start()
            try:
                yield self
            finally:
                self.stopping.set()
                self.retention.close()
                opening.join()
                self.jobs.close()
                self.workers.close()

    @property
    def ready(self) -> bool:
        """Whether everything is open."""
        return self._ready.is_set() and self.failure is None

    @property
    def model(self) -> Model:
        """The model, as soon as it is open. Not for the event loop: it may wait.

        Raises:
            ServiceProblem: it could not be opened.
        """
        self._ready.wait()
        if self._model is None:
            raise ServiceProblem(503, f"the service could not open its model: {self.failure}")
        return self._model

    def gallery(self, name: str = DEFAULT) -> Gallery:
        """An open gallery.

        Raises:
            ServiceProblem: there is none of this name.
        """
        self._ready.wait()
        try:
            return self.galleries[name]
        except KeyError:
            there = ", ".join(sorted(self.galleries)) or "none"
            raise ServiceProblem(
                404, f"there is no gallery {name[:80]!r}; there are: {there}", field="gallery"
            ) from None

    def tracer(self, gallery: str = DEFAULT, top: int = 5, nearest: int = 3) -> Tracer:
        """A tracer of one gallery. Not for the event loop: it may wait, and open.

        Raises:
            ServiceProblem: there is no such gallery.
            GalleryError: it is of another extractor.
        """
        opened, model = self.gallery(gallery), self.model
        with self._opening:
            tracer = self._tracers.get(gallery)
            if tracer is None or tracer.gallery is not opened:
                tracer = self._tracers[gallery] = Tracer(model, opened)
        if (top, nearest) == (tracer.top, tracer.nearest):
            return tracer
        other = copy.copy(tracer)  # what was computed of the gallery is shared
        other.top, other.nearest = top, nearest
        return other

    def refresh(self, name: str) -> None:
        """Take up what was changed on disk of a gallery, or that it is new or gone."""
        folder = self.galleries[name].folder if name in self.galleries else self.settings.folder / "galleries" / name
        try:
            self.galleries[name] = Gallery.load(folder)
        except GalleryError:
            if folder.exists():
                raise
            self.galleries.pop(name, None)

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Call a function that takes its time in one of the threads, when it is its turn.

        What has not begun when the caller is cancelled, as its client went away, is never begun.

        Raises:
            ServiceProblem: too many wait already (429).
        """
        return self.workers.run(function, *args, **kwargs)

    def _watch(self) -> None:
        """What is measured when it is asked for."""
        self.metrics.watch("pending", "Requests that are examined, or wait for it.", lambda: self.workers.pending)
        self.metrics.watch("decoders_replaced", "Child processes that were replaced.", lambda: self.decoding.replaced)
        unfinished = (WAITING, RUNNING)
        self.metrics.watch(
            "job_clips_left", "Clips of jobs that are not answered yet.",
            lambda: sum(job.total - job.done for job in self.jobs.all() if job.state in unfinished),
        )  # fmt: skip

    def _open(self) -> None:
        try:
            self._model = Model.load(self.settings.model, threads=self.settings.workers)
            self.galleries[DEFAULT] = open_gallery(self.settings.gallery)
            below = self.settings.folder / "galleries"
            for folder in sorted(below.iterdir()) if below.is_dir() else ():
                if folder.is_dir() and not folder.name.startswith("."):
                    try:
                        self.galleries[folder.name] = Gallery.load(folder)
                    except GalleryError as error:  # it is the affair of those who use it, not of all
                        LOGGER.error(
                            "gallery left out", extra={"fields": {"gallery": folder.name, "error": str(error)}}
                        )
            self._ready.set()
            self.tracer().trace_wave(_tone(), SAMPLE_RATE)  # the first trace fits the backend: nobody is to wait for it
        except Exception as error:
            self.failure = str(error)
        finally:
            self._ready.set()


def _tone() -> np.ndarray:
    """Two seconds of a tone that rises and falls."""
    time_s = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return np.asarray(0.3 * np.sin(600.0 * time_s + 40.0 * np.sin(6.0 * time_s)), np.float32)
