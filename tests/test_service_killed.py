"""The service is killed in the middle of an edit of a gallery, with a case open, and starts again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from killing import ENVIRONMENT, command
from service_runs import CLIPS, HOST

KAL, SLT, RMS = ([CLIPS / name / f"{number:02d}.flac" for number in range(1, 4)] for name in
                 ("festival_kal", "flite_slt", "flite_rms"))  # fmt: skip
# `synthprint serve`, whose calls are counted from where the source "new" is enrolled.
SERVE = """
from synthprint.cli import main
from synthprint.web import editing

wanted, left = left, 0


def enrol(desk, name, ready, force, enrolled=editing.enrol):
    global left
    left = wanted if "new" in ready.sources else 0
    return enrolled(desk, name, ready, force)


editing.enrol = enrol
sys.argv = ["synthprint", "serve", "--no-browser", "--workers", "1", "--port", sys.argv[4], "--folder", sys.argv[3]]
main()
"""


@contextmanager
def serving(folder: Path, port: int, calls: int = 0) -> Iterator[httpx.Client]:
    """The service in a process of its own, killed before the call numbered `calls`; ready when the block begins."""
    words = command(SERVE, folder / "galleries" / "mine", calls, folder, str(port))
    process = subprocess.Popen(words, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout
        assert f":{port}/".encode() in process.stdout.readline()
        with httpx.Client(base_url=f"{HOST}:{port}", timeout=60) as client:
            client.get("/v1/galleries").raise_for_status()  # it waits for the model
            yield client
        if calls:
            assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()


def enrol(client: httpx.Client, name: str, clips: list[Path], key: str) -> httpx.Response:
    files = [("clips", (path.name, path.read_bytes())) for path in clips]
    headers = {"Idempotency-Key": key}
    return client.post("/v1/galleries/mine/sources", files=files, data={"name": name}, headers=headers)


def seen(client: httpx.Client, case: str) -> tuple[Any, ...]:
    """A case, and what is in the gallery."""
    sources = {source["name"]: source["clips"] for source in client.get("/v1/galleries/mine").json()["sources"]}
    return client.get(case).json(), sources, client.get(f"{case}/report").status_code


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


def test_killed_in_an_edit_gallery_and_case_are_as_they_were_and_it_goes_on(tmp_path: Path, port: int) -> None:
    with serving(tmp_path, port, calls=2) as client:
        client.post("/v1/galleries", json={"name": "mine"}).raise_for_status()
        for name, clips in (("kal", KAL), ("slt", SLT)):
            enrol(client, name, clips, name).raise_for_status()
        case = client.post("/v1/cases", json={"title": "Open", "gallery": "mine"}).headers["location"]
        client.post(f"{case}/clips", files={"clip": ("asked.flac", RMS[2].read_bytes())}).raise_for_status()
        before = seen(client, case)
        with pytest.raises(httpx.TransportError):
            enrol(client, "new", RMS[:2], "again-and-again")
    for calls in (7, 0):  # the second is killed later in the same edit, the third is not
        with serving(tmp_path, port, calls) as client:
            now = seen(client, case)
            if "new" in now[1]:  # it was killed between the edit and its answer
                assert client.post("/v1/galleries/mine/undo").json() == {"undone": "enrolment of 2 clips of 'new'"}
                now = seen(client, case)
            assert now == before
            if calls:
                with pytest.raises(httpx.TransportError):
                    enrol(client, "new", RMS[:2], "again-and-again")
                continue
            enrolled = enrol(client, "new", RMS[:2], "again-and-again")
            assert (enrolled.status_code, enrolled.json()["sources"]) == (201, 3)
            (clip,) = client.get(case).json()["clips"]
            assert clip["stale"]
            again = client.post(f"{case}/clips/{clip['id']}/trace").json()
            assert again["trace"]["candidates"][0]["source"] == "new"
            assert client.post("/v1/galleries/mine/undo").json() == {"undone": "enrolment of 2 clips of 'new'"}
