"""What a hostile client tries: by the names and sizes that a request claims, and by what it never finishes."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from tests.service_runs import asked, clip, listening, until

from synthprint.casework.case_contents import Question
from synthprint.casework.case_folder import CaseFolder
from synthprint.errors import GalleryError, OutputError
from synthprint.gallery.gallery import Gallery
from synthprint.gallery.shipped import open_gallery
from synthprint.web import protocol, repeats
from synthprint.web.application import application
from synthprint.web.audit import AuditLog, verify
from synthprint.web.cases import CaseStore, refusing_by_name
from synthprint.web.defences import is_ours
from synthprint.web.problems import ServiceProblem
from synthprint.web.settings import ServiceSettings

FORM = "multipart/form-data; boundary=x"
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LIMIT = 20
FIELD = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("service")
    return application(
        ServiceSettings(
            folder, workers=1, most_job_bytes=2_000_000, most_job_files=10, most_json_bytes=100_000, stall_seconds=0.7,
            upload_seconds=5.0,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[str]:
    with listening(app.state.settings, app, limit_concurrency=LIMIT) as place:
        yield place


def dialled(address: str, room: int | None = None) -> socket.socket:
    """A connection; `room` for bytes that are not read yet."""
    line = socket.socket()
    if room:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    line.settimeout(10)
    line.connect(("127.0.0.1", urlsplit(address).port))
    return line


def said(line: socket.socket) -> bytes:
    """All that a service says until it closes the connection."""
    heard = b""
    try:
        while piece := line.recv(1 << 16):
            heard += piece
    except ConnectionResetError:
        pass
    return heard


def problem(response: httpx.Response, status: int) -> Any:
    value = response.json()
    assert (response.status_code, value["status"]) == (status, status), value
    return value


# --- Bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["/v1/cases", "/session", "/v1/galleries"])
def test_json_is_bounded_whatever_it_calls_itself(address: str, app: FastAPI, route: str) -> None:
    before = app.state.desk.metrics.received._value.get()
    pieces = (b"x" * 50_000 for _ in range(200))
    try:
        answered = httpx.post(f"{address}{route}", content=pieces, headers={"Content-Type": FORM})
        assert problem(answered, 413)["detail"].startswith("the body has more than 100,000 bytes")
    except httpx.WriteError:
        pass  # it was refused, and the rest no longer wanted
    assert app.state.desk.metrics.received._value.get() - before < 1_000_000


@pytest.mark.parametrize("piece", [FIELD % (b"kind", b"y" * 9000), b"after the end" * 700], ids=["fields", "epilogue"])
def test_a_form_is_bounded_in_what_is_in_no_file(address: str, app: FastAPI, piece: bytes) -> None:
    before = app.state.desk.metrics.received._value.get()
    start = FIELD % (b"kind", b"trace") + (b"--x--\r\n" if b"--" not in piece else b"")
    pieces = (piece if number else start for number in range(12_000_000 // len(piece)))
    try:
        answered = httpx.post(f"{address}/v1/jobs", content=pieces, headers={"Content-Type": FORM})
        assert "the body has more than" in problem(answered, 413)["detail"]
    except httpx.WriteError:
        pass  # as above
    assert app.state.desk.metrics.received._value.get() - before < 5_000_000


@pytest.mark.parametrize(
    "trickle",
    [b"GET /healthz HTTP/1.1\r\nX: ", b"POST /v1/trace HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n"],
    ids=["headers", "body"],
)
def test_a_connection_is_not_held_by_a_byte_now_and_then(
    address: str, trickle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEADER_S", 0.6)
    with dialled(address) as line:
        line.sendall(HEAD + b"\r\n")
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        line.sendall(trickle)
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of them finds out
            while time.monotonic() - began < 5:
                line.sendall(b"x")
                time.sleep(0.1)


def test_whoever_does_not_read_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READING_S", 0.5)
    with dialled(address, 4096) as line:
        line.sendall(b"GET /v1/galleries/default/archive HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(3)
        line.settimeout(10)
        heard = said(line)
    length = int(heard.partition(b"content-length: ")[2].partition(b"\r")[0])
    assert 0 < len(heard) < length


def test_connections_beyond_the_limit_are_closed(address: str) -> None:
    lines = [dialled(address) for _ in range(LIMIT + protocol.MORE + 5)]
    try:
        assert said(lines[-1]) == b""
        lines[0].sendall(HEAD + b"\r\n")
        assert lines[0].recv(1 << 16).startswith(b"HTTP/1.1 503 ")
    finally:
        for line in lines:
            line.close()
    until(lambda: httpx.get(f"{address}/healthz").status_code == 200)


def test_json_that_never_comes(address: str) -> None:
    with dialled(address) as line:
        line.sendall(b"POST /v1/cases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        line.sendall(b"Content-Length: 20\r\n\r\n{")
        began = time.monotonic()
        assert said(line).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 5


def test_a_length_told_in_two_ways(address: str) -> None:
    with dialled(address) as line:
        line.sendall(
            b"POST /v1/cases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        )
        heard = said(line)
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.count(b"HTTP/1.1") == 1


# --- Names and sites --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["[::1", "[127.0.0.1]evil.example", "[::1]x/y", "localhost:x", "localhost:1/x", "", " "]
)
def test_a_host_that_is_none(host: str, tmp_path: Path) -> None:
    assert not is_ours(host, ServiceSettings(tmp_path))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_follows_links_and_loads_nothing(address: str, site: str) -> None:
    url, headers = f"{address}/v1/galleries/default/archive", {"Sec-Fetch-Site": site}
    assert "load nothing" in problem(httpx.get(url, headers=headers | {"Sec-Fetch-Mode": "no-cors"}), 403)["detail"]
    assert httpx.get(f"{address}/", headers=headers | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert httpx.get(f"{address}/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_methods_that_a_client_thinks_of_are_counted_as_one(address: str) -> None:
    for number in range(3):
        assert httpx.request(f"THINK{number}", f"{address}/healthz").status_code == 405
    text = httpx.get(f"{address}/metrics").text
    assert 'method="other"' in text
    assert "THINK" not in text


# --- HEAD -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/", "/v1/galleries", "/static/page.css", "/v1/jobs/none", "/nowhere"])
def test_head_is_get_without_a_body(address: str, path: str) -> None:
    got, headed = httpx.get(f"{address}{path}"), httpx.head(f"{address}{path}")
    assert headed.status_code == got.status_code
    assert headed.content == b""
    for name in ("content-type", "content-length", "content-security-policy", "etag"):
        assert headed.headers.get(name) == got.headers.get(name)


def test_head_of_what_is_long_or_has_no_end(address: str, app: FastAPI) -> None:
    with httpx.Client(timeout=20) as client:
        job = client.post(f"{address}/v1/jobs", files=[clip(field="clips")] * 8).json()["id"]
        try:
            began = time.monotonic()
            assert (
                client.head(f"{address}/v1/jobs/{job}/events").headers["content-type"].startswith("text/event-stream")
            )
            assert client.head(f"{address}/v1/galleries/default/archive").status_code == 200
            assert client.get(f"{address}/healthz").status_code == 200  # the connection is as it was
            assert time.monotonic() - began < 10
        finally:
            client.delete(f"{address}/v1/jobs/{job}")
    assert httpx.head(f"{address}/v1/trace").status_code == 405
    text = httpx.get(f"{address}/metrics").text
    assert 'method="HEAD",route="/v1/jobs/{job}/events",status="200"' in text
    until(lambda: not list(app.state.settings.uploads.iterdir()))


# --- Cases, galleries, the state on disk ------------------------------------------------------------------------------


def test_a_clip_that_is_named_twice_is_not_examined_twice(address: str) -> None:
    case = httpx.post(f"{address}/v1/cases", json={}).json()["id"]
    body = {"a": ["x"] * 3000, "b": ["y"]}
    assert "named twice" in problem(httpx.post(f"{address}/v1/cases/{case}/compare", json=body), 422)["detail"]
    body = {"clips": ["x"] * 3000}
    assert "named twice" in problem(httpx.post(f"{address}/v1/cases/{case}/cluster", json=body), 422)["detail"]


def test_a_case_that_is_closed_while_it_is_examined_leaves_nothing(tmp_path: Path) -> None:
    store = CaseStore(tmp_path / "cases")
    case = store.create(Question("a"), "default")
    with pytest.raises(ServiceProblem) as raised, refusing_by_name(case):  # noqa: PT012 - as a route has it
        CaseFolder.load(case.folder).close()
        (case.folder / "sounds").mkdir(parents=True)
        (case.folder / "sounds" / "x.wav").write_bytes(b"what was said")
        (case.folder / "clips" / "x").read_bytes()
    assert raised.value.status == 404
    assert not case.folder.exists()


def test_an_index_that_names_a_segment_twice(tmp_path: Path) -> None:
    open_gallery(None).copy(tmp_path / "g")
    path = tmp_path / "g" / "gallery.json"
    index = json.loads(path.read_bytes())
    index["segments"] *= 2
    path.write_text(json.dumps(index))
    with pytest.raises(GalleryError, match="is there twice"):
        Gallery.load(tmp_path / "g")


def test_a_damaged_gallery_or_job_does_not_end_the_service(tmp_path: Path) -> None:
    (tmp_path / "galleries" / "broken").mkdir(parents=True)
    (tmp_path / "galleries" / "broken" / "gallery.json").write_text("{")
    job = tmp_path / "jobs" / "0011223344556677"
    job.mkdir(parents=True)
    about = {"kind": "trace", "gallery": "default", "who": "local", "created": "2026", "clips": []}
    (job / "job.json").write_text(json.dumps(about))
    (job / "results.jsonl").write_bytes(b'\0"error": \n')
    with asked(ServiceSettings(tmp_path, workers=1)) as client:
        assert [row["name"] for row in client.get("/v1/galleries").json()] == ["default"]
        assert client.get("/v1/jobs").json() == []


def test_half_a_line_of_the_audit_log_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.note("ada", "trace")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(OSError, match="No space left"):
            log.note("ada", "trace")
    log.note("ada", "trace\nforged")
    assert verify(log.path).events == 2
    assert log.path.read_bytes().count(b"\n") == 2


def test_a_full_disk_takes_nothing_in(address: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    left = SimpleNamespace(free=app.state.settings.least_free_bytes - 1)
    with monkeypatch.context() as full:
        full.setattr("synthprint.web.uploads.shutil.disk_usage", lambda _: left)
        assert "full" in problem(httpx.post(f"{address}/v1/trace", files=[clip()]), 507)["detail"]
    assert httpx.post(f"{address}/v1/trace", files=[clip()]).status_code == 200


def test_stored_answers_are_so_many_and_one_that_cannot_be_stored_is_given(
    address: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app.state.settings.folder / "repeats"
    monkeypatch.setattr(repeats, "LOOK_EVERY", 1)
    monkeypatch.setattr(repeats, "MOST_ANSWERS", 2)
    for number in range(5):
        headers = {"Idempotency-Key": f"key{number}"}
        assert httpx.post(f"{address}/v1/cases", json={}, headers=headers).status_code == 201
    assert len(list(folder.glob("*.json"))) == 3

    def full(*_: Any) -> None:
        raise OutputError(folder, "the disk is full", "free some")

    monkeypatch.setattr(repeats.Repeating, "_store", full)
    assert httpx.post(f"{address}/v1/cases", json={}, headers={"Idempotency-Key": "last"}).status_code == 201


def test_whoever_has_no_token_fills_no_log(address: str, app: FastAPI) -> None:
    for _ in range(5):
        assert problem(httpx.post(f"{address}/session", json={"token": "x"}), 401)["field"] == "token"
    lines = [json.loads(line) for line in app.state.settings.audit.read_text().splitlines()]
    assert [line["times"] for line in lines if line["action"] == "refused to sign in"] == [1]
