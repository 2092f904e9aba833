"""Jobs: many clips traced beside the requests, one job after another, from where each stood when the service ended.

A job is a folder: `job.json` says what is to be done, `clips/` has the files that are not answered yet, `results.jsonl`
a line for each that is, and `ended.json` is there when it is over. A clip's file goes when its line stands.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from synthprint import files
from synthprint.errors import ServingError, SynthprintError
from synthprint.progress import silent
from synthprint.reading import doors
from synthprint.reading.schemas import Count, Name, Sha256, Text
from synthprint.tracing.tracer import Tracer
from synthprint.tracing.traces import Failure
from synthprint.web.logs import LOGGER
from synthprint.web.problems import ServiceProblem
from synthprint.web.uploads import Upload, labelled_json

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
MAX_JOB_BYTES = 64 << 20  # of job.json
MOST_JOBS = 1000
RESULTS, ENDED, DESCRIPTION, CLIPS = "results.jsonl", "ended.json", "job.json", "clips"


class JobClip(Struct, forbid_unknown_fields=True):
    """A clip of a job: its file in `clips/`, and what the client calls it."""

    file: Annotated[str, Meta(pattern=r"\A\d{6}(\.[a-z0-9]{1,5})?\Z")]
    name: Name
    sha256: Sha256


class JobDescription(Struct, forbid_unknown_fields=True):
    """What is to be done, as job.json has it."""

    kind: Annotated[str, Meta(pattern=r"\Atrace\Z")]
    gallery: Name
    who: Name
    created: Text
    clips: list[JobClip]


class JobEnd(Struct, forbid_unknown_fields=True):
    """How a job ended, as ended.json has it."""

    state: Annotated[str, Meta(pattern=r"\A(done|stopped|failed)\Z")]
    ended: Count
    error: Text | None = None


class Job:
    """A job as it stands.

    Attributes:
        id: random, its name.
        folder: of its files.
        description: what is to be done.
        state: "waiting", "running", "done", "stopped" or "failed".
        done, failed: clips that are answered; those among them that could not be used.
        size: bytes of the results, up to the last whole line.
        error: why it failed as a whole.
        ended: when it ended, in seconds since 1970; None before.
        stopping: set when it is to stop.
    """

    def __init__(self, folder: Path) -> None:
        self.id, self.folder = folder.name, folder
        with doors.ending_in(ServingError, folder / DESCRIPTION, "take the folder away"):
            self.description = doors.read_json(folder / DESCRIPTION, JobDescription, MAX_JOB_BYTES)
        self.state = WAITING
        self.error: str | None = None
        self.ended: float | None = None
        self.done = self.failed = self.size = 0
        self.stopping = threading.Event()
        self._take_up()

    @property
    def total(self) -> int:
        """How many clips it has."""
        return len(self.description.clips)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        about = self.description
        return {
            "id": self.id, "kind": about.kind, "gallery": about.gallery, "state": self.state, "total": self.total,
            "done": self.done, "failed": self.failed, "created": about.created, "error": self.error,
        }  # fmt: skip

    def results(self, offset: int = 0) -> Iterator[bytes]:
        """The lines that stand, from the one numbered `offset` on, counted from 0."""
        size = self.size
        if not size:
            return
        with open(self.folder / RESULTS, "rb") as file:
            for number, line in enumerate(iter(file.readline, b"")):
                if number >= offset:
                    yield line
                if file.tell() >= size:
                    return

    def run(self, tracer: Tracer, counted: Callable[[str], None]) -> None:
        """Trace what is not traced yet; `counted` is told what came of each clip.

        Raises:
            SynthprintError: it cannot go on; what stands stays.
        """
        self.state = RUNNING
        clips = self.folder / CLIPS
        left = self.description.clips[self.done :]
        names = {clip.file: clip.name for clip in left}
        answers = tracer.trace_many([clips / clip.file for clip in left])
        with open(self.folder / RESULTS, "ab", buffering=0) as results:
            for clip, answered in zip(left, answers, strict=True):
                failed = isinstance(answered, Failure)
                line = labelled_json(answered.to_dict(), clips, names).encode() + b"\n"
                results.write(line)
                self.failed += failed
                self.size += len(line)
                self.done += 1
                (clips / clip.file).unlink(missing_ok=True)
                counted("failed" if failed else "traced")
                if self.stopping.is_set():
                    break

    def end(self, state: str, error: str | None = None) -> None:
        """Write down how it ended; its clips go."""
        now = datetime.now(UTC).timestamp()
        files.write_json(self.folder / ENDED, {"state": state, "ended": int(now), "error": error})
        self.state, self.error, self.ended = state, error, now
        shutil.rmtree(self.folder / CLIPS, ignore_errors=True)

    def _take_up(self) -> None:
        """Count what stands of a job that was begun before; half a line at the end is taken off."""
        path = self.folder / RESULTS
        if path.exists():
            with doors.open_regular(path) as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.done += 1
                    self.failed += b'"error":' in line and "error" in json.loads(line)
                    self.size += len(line)
            os.truncate(path, self.size)
        if (self.folder / ENDED).exists():
            with doors.ending_in(ServingError, self.folder / ENDED, "take the folder away"):
                end = doors.read_json(self.folder / ENDED, JobEnd, 1 << 16)
            self.state, self.error, self.ended = end.state, end.error, float(end.ended)


class Jobs:
    """All jobs of a service; a thread does one after another.

    Args:
        folder: that theirs are in.
        tracer: gives the tracer of a gallery by its name.
        counted: is told what came of each clip.
    """

    def __init__(self, folder: Path, tracer: Callable[[str], Tracer], counted: Callable[[str], None]) -> None:
        self.folder = folder
        self._tracer, self._counted = tracer, counted
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        """Take up the jobs that are there, and go on with them."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = []
        for folder in self.folder.iterdir():
            if folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)  # of a job that was being made
                continue
            try:
                found.append(Job(folder))
            except (SynthprintError, OSError, ValueError) as error:  # ValueError: a line of results is no JSON
                LOGGER.error("job left out", extra={"fields": {"job": folder.name, "error": str(error)}})
        self._jobs = {job.id: job for job in sorted(found, key=lambda job: job.description.created)}
        self._thread.start()

    def close(self) -> None:
        """Stop where it is; what is left goes on at the next start."""
        with self._changed:
            self._closing.set()
            for job in self._jobs.values():
                job.stopping.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def all(self) -> list[Job]:
        """The jobs, the oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def get(self, id: str) -> Job:
        """A job.

        Raises:
            ServiceProblem: there is none of this id.
        """
        with self._changed:
            job = self._jobs.get(id)
        if job is None:
            raise ServiceProblem(404, f"there is no job {id[:80]!r}: it was deleted, or never was", field="job")
        return job

    def submit(self, upload: Upload, kind: str, gallery: str, who: str) -> Job:
        """Make a job of the clips of an upload, whose files it takes.

        Raises:
            ServiceProblem: there are too many.
        """
        if len(self.all()) >= MOST_JOBS:
            words = f"there are {MOST_JOBS:,} jobs: delete those whose results you have"
            raise ServiceProblem(429, words, headers={"Retry-After": "60"})
        new = self.folder / f".{secrets.token_hex(8)}"
        new.mkdir(mode=0o700)
        upload.folder.rename(new / CLIPS)
        clips = [{"file": file.path.name, "name": file.name, "sha256": file.sha256} for file in upload.files]
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = {"kind": kind, "gallery": gallery, "who": who, "created": created, "clips": clips}
        files.write_json(new / DESCRIPTION, about)
        folder = self.folder / new.name[1:]
        new.rename(folder)
        job = Job(folder)
        with self._changed:
            self._jobs[job.id] = job
            self._changed.notify_all()
        return job

    def delete(self, id: str) -> None:
        """Stop a job, and delete all of it.

        Raises:
            ServiceProblem: there is none of this id.
        """
        job = self.get(id)
        with self._changed:
            job.stopping.set()
            self._jobs.pop(id, None)
            running = job.state == RUNNING
        if not running:
            shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self, before: float) -> None:
        """Delete the jobs that ended before that time, in seconds since 1970."""
        for job in self.all():
            if job.ended is not None and job.ended < before:
                self.delete(job.id)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._closing.is_set():
                if job := next((job for job in self._jobs.values() if job.state == WAITING), None):
                    job.state = RUNNING
                    return job
                self._changed.wait()
        return None

    def _work(self) -> None:
        while job := self._next():
            try:
                with silent():
                    job.run(self._tracer(job.description.gallery), self._counted)
                if job.done == job.total:
                    job.end(DONE)
            except (SynthprintError, ServiceProblem) as error:
                self._fail(job, str(error.detail if isinstance(error, ServiceProblem) else error))
            except Exception:
                LOGGER.exception("job failed", extra={"fields": {"job": job.id}})
                self._fail(job, "a fault of the service; its log says more")
            if job.id not in self._jobs:  # it was deleted meanwhile
                shutil.rmtree(job.folder, ignore_errors=True)

    def _fail(self, job: Job, reason: str) -> None:
        try:
            job.end(FAILED, reason[:1000])
        except (SynthprintError, OSError):
            job.state, job.error = FAILED, reason
            LOGGER.exception("job cannot be ended", extra={"fields": {"job": job.id}})
