"""Jobs: many clips beside the requests, stopped, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from tests.service_runs import GOOD, asked, clip, until

from synthprint.client import Client
from synthprint.web.application import application
from synthprint.web.jobs import Jobs
from synthprint.web.problems import ServiceProblem
from synthprint.web.retention import Retention
from synthprint.web.settings import ServiceSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    settings = ServiceSettings(folder)
    with asked(settings, application(settings)) as client:
        yield client


def mixed(count: int = 3) -> list[Any]:
    """Clips of a form: good ones, and after the first one that is none."""
    good = [("clips", (f"{place}.flac", GOOD[place % len(GOOD)].read_bytes())) for place in range(count)]
    return [good[0], ("clips", ("notes.txt", b"no audio")), *good[1:]]


def submitted(service: TestClient, parts: list[Any], **fields: str) -> Any:
    response = service.post("/v1/jobs", files=parts, data=fields)
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    return response.json()


def ended(service: TestClient, job: str) -> Any:
    until(lambda: service.get(f"/v1/jobs/{job}").json()["state"] not in ("waiting", "running"), 60)
    return service.get(f"/v1/jobs/{job}").json()


def test_a_job_answers_its_clips_in_order(service: TestClient, folder: Path) -> None:
    job = submitted(service, mixed(), kind="trace", gallery="default")
    state = ended(service, job["id"])
    assert {"total": 4, "done": 4, "failed": 1, "state": "done", "error": None}.items() <= state.items()
    response = service.get(f"/v1/jobs/{job['id']}/results")
    assert response.headers["content-type"] == "application/x-ndjson"
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert [answer["path"] for answer in answers] == ["0.flac", "notes.txt", "1.flac", "2.flac"]
    assert "error" in answers[1]
    alone = service.post("/v1/trace", files=[("clip", ("0.flac", GOOD[0].read_bytes()))]).json()
    assert answers[0] == alone
    assert service.get(f"/v1/jobs/{job['id']}/results?offset=3").text.splitlines() == response.text.splitlines()[3:]
    assert service.get(f"/v1/jobs/{job['id']}/results?offset=9").text == ""
    assert not (folder / "jobs" / job["id"] / "clips").exists()  # what was uploaded goes when it is done
    assert job["id"] in {one["id"] for one in service.get("/v1/jobs").json()}


def test_events_say_how_far_it_is(service: TestClient) -> None:
    job = submitted(service, mixed())["id"]
    with service.stream("GET", f"/v1/jobs/{job}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = response.read().decode()
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert [event["event"] for event in events][-1] == "done"
    assert {event["event"] for event in events[:-1]} <= {"progress"}
    done = [json.loads(event["data"])["done"] for event in events]
    assert done == sorted(done)
    assert done[-1] == 4


def test_a_job_is_stopped_and_deleted(service: TestClient, folder: Path) -> None:
    job = submitted(service, mixed(30))["id"]
    assert service.delete(f"/v1/jobs/{job}").status_code == 204
    assert service.get(f"/v1/jobs/{job}").status_code == 404
    assert service.get(f"/v1/jobs/{job}/results").status_code == 404
    until(lambda: not (folder / "jobs" / job).exists())


def test_what_a_job_cannot_be(service: TestClient) -> None:
    assert service.post("/v1/jobs", files=mixed(), data={"kind": "enrol"}).json()["field"] == "kind"
    assert service.post("/v1/jobs", files=mixed(), data={"gallery": "none"}).json()["field"] == "gallery"
    assert service.post("/v1/jobs", files=[clip()]).json()["field"] == "clip"


def test_old_jobs_go(service: TestClient, folder: Path) -> None:
    job = submitted(service, mixed(1))["id"]
    ended(service, job)
    desk: Any = service.app.state.desk  # type: ignore[attr-defined]
    desk.jobs.sweep(time.time() - 3600)
    assert service.get(f"/v1/jobs/{job}").status_code == 200
    desk.jobs.sweep(time.time() + 1)
    assert service.get(f"/v1/jobs/{job}").status_code == 404
    assert not (folder / "jobs" / job).exists()


def test_retention_looks_by_itself_and_outlives_a_fault() -> None:
    seen: list[float] = []

    def faulty(_before: float) -> None:
        raise OSError("gone")

    retention = Retention(3600.0)
    retention.sweeps += [faulty, seen.append]
    retention.start()
    until(lambda: seen)
    retention.close()
    assert 3590 < time.time() - seen[0] < 3700


def test_damaged_jobs_are_left_out(tmp_path: Path) -> None:
    for name, text in (("a", "{"), ("b", '{"kind": "trace"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(text)
    (tmp_path / "c").mkdir()
    evil = {"kind": "trace", "gallery": "default", "who": "x", "created": "", "clips": [
        {"file": "../../secret", "name": "x", "sha256": "0" * 64}]}  # fmt: skip
    (tmp_path / "c" / "job.json").write_text(json.dumps(evil))
    (tmp_path / ".half").mkdir()
    jobs = Jobs(tmp_path, lambda _: pytest.fail("nothing is to be traced"), lambda _: None)
    jobs.start()
    try:
        assert jobs.all() == []
        assert not (tmp_path / ".half").exists()
        with pytest.raises(ServiceProblem, match="no job"):
            jobs.get("a")
    finally:
        jobs.close()


def test_a_job_that_cannot_be_done_fails_with_its_reason(tmp_path: Path) -> None:
    def gone(_gallery: str) -> Any:
        raise ServiceProblem(404, "there is no gallery 'x'")

    (tmp_path / "a").mkdir()
    about = {"kind": "trace", "gallery": "x", "who": "x", "created": "", "clips": [
        {"file": "000001.wav", "name": "x", "sha256": "0" * 64}]}  # fmt: skip
    (tmp_path / "a" / "job.json").write_text(json.dumps(about))
    for _ in range(2):  # and it is still so at the next start
        jobs = Jobs(tmp_path, gone, lambda _: None)
        jobs.start()
        until(lambda jobs=jobs: jobs.get("a").state == "failed")
        assert jobs.get("a").error == "there is no gallery 'x'"
        jobs.close()


# --- Killed, and interrupted ------------------------------------------------------------------------------------------


def started(folder: Path) -> tuple[subprocess.Popen[str], Client]:
    command = [sys.executable, "-m", "synthprint", "serve", "--no-browser", "--port", "0", "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    address = "http" + process.stdout.readline().partition("http")[2].partition(" ")[0]
    process.stdout.close()
    client = Client(address, retries=60)
    until(lambda: httpx.get(f"{address}readyz", timeout=60).status_code == 200, 60)
    return process, client


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_job_goes_on_where_the_service_ended(tmp_path: Path, how: signal.Signals) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    count = 120
    paths = [clips / f"{place:03d}.flac" for place in range(count)]
    for place, path in enumerate(paths):
        path.write_bytes(GOOD[place % len(GOOD)].read_bytes())
    folder = tmp_path / "state"
    process, client = started(folder)
    job = client.submit(paths)["id"]
    until(lambda: 0 < client.job(job)["done"] < count, 60)
    process.send_signal(how)
    process.wait(60)
    lines = (folder / "jobs" / job / "results.jsonl").read_bytes().count(b"\n")
    assert 0 < lines < count
    with open(folder / "jobs" / job / "results.jsonl", "ab") as results:
        results.write(b'{"path": "half a li')  # as a power cut may leave it
    process, client = started(folder)
    try:
        *_, last = client.events(job)
        assert (last["state"], last["done"], last["failed"]) == ("done", count, 0)
        assert [answer["path"] for answer in client.results(job)] == [path.name for path in paths]
        assert not os.listdir(folder / "uploads")  # noqa: PTH208
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)
