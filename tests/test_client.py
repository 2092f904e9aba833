"""The client: against a service, and against servers that behave badly."""

from __future__ import annotations

import ast
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.service_runs import GOOD, listening

import synthprint.client
from synthprint.client import Client, ServiceError
from synthprint.web.application import application
from synthprint.web.settings import ServiceSettings
from synthprint.web.tokens import Tokens


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The address of a service, and two tokens that it knows: one that may read, one that may enrol."""
    folder = tmp_path_factory.mktemp("service")
    tokens = Tokens(folder / "tokens.json")
    read, enrol = tokens.add("program", "read"), tokens.add("boss", "enrol")
    settings = ServiceSettings(folder, most_upload_bytes=4_000_000)
    with listening(settings, application(settings)) as address:
        yield address, read, enrol


@pytest.fixture
def client(place: tuple[str, str, str]) -> Client:
    return Client(*place[:2])


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(Path(synthprint.client.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_clips_are_examined(client: Client) -> None:
    trace = client.trace(GOOD[0], top=2, nearest=1)
    assert trace["path"] == "01.flac"
    assert (len(trace["candidates"]), len(trace["nearest"])) == (2, 1)
    compared = client.compare(GOOD[0], [GOOD[1], GOOD[2]])
    assert (len(compared["a"]), len(compared["b"])) == (1, 2)
    assert client.timeline(str(GOOD[0]))["segments"]
    assert len(client.cluster(GOOD[:3], gallery="", threshold=0.9)["clips"]) == 3


def test_a_job_from_its_start_to_its_end(client: Client, tmp_path: Path) -> None:
    (bad := tmp_path / 'no "audio".txt').write_text("no audio")
    job = client.submit([GOOD[0], bad])
    *_, last = client.events(job["id"])
    assert (last["state"], last["done"], last["failed"]) == ("done", 2, 1)
    assert [answer["path"] for answer in client.results(job["id"])] == ["01.flac", 'no "audio".txt']
    assert [answer["path"] for answer in client.results(job["id"], 1)] == ['no "audio".txt']
    assert client.job(job["id"]) == last
    assert last in client.jobs()
    client.delete_job(job["id"])
    with pytest.raises(ServiceError, match="no job") as told:
        list(client.results(job["id"]))
    assert (told.value.status, told.value.field) == (404, "job")


def test_a_gallery_is_made_and_changed(place: tuple[str, str, str]) -> None:
    client = Client(place[0], place[2])
    client.create_gallery("lab")
    assert "lab" in {gallery["name"] for gallery in client.galleries()}
    client.enrol("lab", "rms", sorted(GOOD[0].parent.glob("*.flac"))[:2], family="clustergen", kind="tts")
    assert [source["name"] for source in client.sources("lab")["sources"]] == ["rms"]
    assert client.trace(GOOD[0], gallery="lab")["candidates"][0]["source"] == "rms"
    client.remove("lab", "rms")
    assert client.sources("lab")["sources"] == []
    assert client.undo("lab")["undone"]
    assert [source["name"] for source in client.sources("lab", "rm")["sources"]] == ["rms"]


def test_problems_are_errors_with_their_fields(client: Client, place: tuple[str, str, str], tmp_path: Path) -> None:
    (bad := tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(ServiceError, match=r"notes\.txt: is not audio") as told:
        client.trace(bad)
    assert (told.value.status, told.value.file, told.value.field) == (422, "notes.txt", None)
    with pytest.raises(ServiceError) as told:
        client.trace(GOOD[0], top=0)
    assert told.value.field == "top"
    with pytest.raises(ServiceError, match="needs a token") as told:
        Client(place[0]).trace(GOOD[0])
    assert told.value.status == 401
    with pytest.raises(FileNotFoundError):
        client.trace(tmp_path / "none.wav")


def test_a_refusal_that_comes_before_all_is_sent_is_heard(client: Client, tmp_path: Path) -> None:
    (large := tmp_path / "large.wav").write_bytes(b"x" * 30_000_000)
    with pytest.raises(ServiceError, match="4,000,000") as told:
        client.trace(large)
    assert (told.value.status, told.value.file) == (413, "large.wav")


def test_an_address_that_will_not_do() -> None:
    for address in ("127.0.0.1:8765", "ftp://x", "http://"):
        with pytest.raises(ValueError, match="no address"):
            Client(address)


class Moody(BaseHTTPRequestHandler):
    """Answers with what it is told to, and remembers what it was asked."""

    answers: ClassVar[list[tuple[int, dict[str, str], bytes] | None]] = []
    asked: ClassVar[list[tuple[str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Idempotency-Key"], body))
        answer = self.answers.pop(0)
        if answer is None:
            self.connection.close()
            return
        status, headers, data = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.answers.clear()
    Moody.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


BUSY = json.dumps({"title": "Too Many Requests", "status": 429, "detail": "later"}).encode()


def test_it_asks_again_as_the_service_says(moody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("synthprint.client.time.sleep", waits.append)
    Moody.answers[:] = [(429, {"Retry-After": "7"}, BUSY), (503, {"Retry-After": "900"}, BUSY), (200, {}, b'{"a": 1}')]
    assert Client(moody).trace(GOOD[0]) == {"a": 1}
    assert waits == [7.0, 60.0]
    keys, bodies = zip(*Moody.asked, strict=True)
    assert len(set(keys)) == 1
    assert keys[0]
    assert len(set(bodies)) == 1
    assert GOOD[0].read_bytes() in bodies[0]


def test_it_gives_up(moody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthprint.client.time.sleep", lambda _: None)
    Moody.answers[:] = [(429, {}, BUSY)] * 3
    with pytest.raises(ServiceError, match="later") as told:
        Client(moody, retries=2).trace(GOOD[0])
    assert told.value.status == 429
    assert len(Moody.asked) == 3
    Moody.answers[:] = [(422, {}, BUSY)]
    with pytest.raises(ServiceError):
        Client(moody).trace(GOOD[0])
    Moody.answers[:] = [(502, {}, b"<html>")]
    with pytest.raises(ServiceError, match="not one of this service") as told:
        Client(moody).trace(GOOD[0])
    assert told.value.status == 502


def test_a_connection_that_breaks(moody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthprint.client.time.sleep", lambda _: None)
    Moody.answers[:] = [None, (200, {}, b"[]")]
    assert Client(moody).trace(GOOD[0]) == []
    Moody.answers[:] = [None] * 2
    with pytest.raises(ServiceError, match="cannot be reached") as told:
        Client(moody, retries=1).trace(GOOD[0])
    assert told.value.status == 0
