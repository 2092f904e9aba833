"""What a client may send, how slowly, and how much at once: through a socket, as it is used."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from tests.service_runs import GOOD, clip, listening, tone, until

from synthprint.web import protocol
from synthprint.web.application import application
from synthprint.web.settings import ServiceSettings

HEAD = b'--x\r\nContent-Disposition: form-data; name="clip"; filename="a.wav"\r\n\r\n'
FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return application(
        ServiceSettings(
            tmp_path_factory.mktemp("service"), workers=1, queue=2, most_upload_bytes=300_000, most_files=30,
            most_total_bytes=2_000_000, most_json_bytes=1000, upload_seconds=1.0, stall_seconds=0.7,
            least_bytes_s=1e6,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(app: FastAPI) -> Iterator[str]:
    with listening(app.state.settings, app) as place:
        yield place


def left_over(app: FastAPI) -> list[Path]:
    return list(app.state.settings.uploads.iterdir())


def connection(address: str) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    assert parts.hostname
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)


def problem(response: Any, status: int) -> Any:
    text = response.read() if isinstance(response, http.client.HTTPResponse) else response.content
    value = json.loads(text)
    assert value["status"] == status, value
    return value


# --- Size and number --------------------------------------------------------------------------------------------------


def test_a_file_that_is_too_large(address: str, app: FastAPI) -> None:
    large = ("clip", ("large.wav", b"x" * 300_001))
    value = problem(httpx.post(f"{address}/v1/trace", files=[large]), 413)
    assert value["file"] == "large.wav"
    assert "300,000" in value["detail"]
    until(lambda: not left_over(app))


def test_too_many_files_and_too_much_in_all(address: str, app: FastAPI) -> None:
    many = [("clips", (f"{i}.wav", b"x")) for i in range(31)]
    assert "more than 30 files" in problem(httpx.post(f"{address}/v1/cluster", files=many), 413)["detail"]
    heavy = [("clips", (f"{i}.wav", b"x" * 290_000)) for i in range(8)]
    value = problem(httpx.post(f"{address}/v1/cluster", files=heavy), 413)
    assert "2,000,000" in value["detail"]
    fields = {"other": "x"}
    problem(httpx.post(f"{address}/v1/trace", files=[clip()], data=fields), 422)
    field = {"gallery": "x" * 20_000}
    problem(httpx.post(f"{address}/v1/jobs", files=[clip(field="clips")], data=field), 413)
    until(lambda: not left_over(app))


def test_a_body_that_is_no_upload_is_bounded(address: str) -> None:
    large = {"token": "x" * 2000}
    problem(httpx.post(f"{address}/session", json=large), 413)

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    headers = {"Content-Type": "application/json"}
    problem(httpx.post(f"{address}/session", content=pieces(), headers=headers), 413)


def test_a_length_that_lies(address: str, app: FastAPI) -> None:
    asking = connection(address)
    asking.putrequest("POST", "/v1/trace")
    asking.putheader("Content-Type", FORM)
    asking.putheader("Content-Length", "99000000000")
    asking.endheaders(HEAD)
    began = time.monotonic()
    assert "99,000,000,000" in problem(asking.getresponse(), 413)["detail"]  # before any of it came
    assert time.monotonic() - began < 5
    asking.close()
    short = connection(address)
    short.putrequest("POST", "/v1/trace")
    short.putheader("Content-Type", FORM)
    short.putheader("Content-Length", "100000")
    short.endheaders(HEAD + b"RIFF")
    short.close()
    until(lambda: not left_over(app))
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_a_body_in_chunks(address: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield HEAD
        data = GOOD[0].read_bytes()
        yield from (data[start : start + 1000] for start in range(0, len(data), 1000))
        yield b"\r\n--x--\r\n"

    answered = httpx.post(f"{address}/v1/trace", content=pieces(), headers={"Content-Type": FORM}, timeout=60)
    assert answered.json()["path"] == "a.wav"
    assert answered.json()["candidates"]


# --- Time -------------------------------------------------------------------------------------------------------------


def test_a_client_that_says_nothing_more_is_cut_off(address: str, app: FastAPI) -> None:
    asking = connection(address)
    asking.putrequest("POST", "/v1/trace")
    asking.putheader("Content-Type", FORM)
    asking.putheader("Content-Length", "100000")
    asking.endheaders(HEAD + b"RIFF")
    response = asking.getresponse()
    assert response.headers["connection"] == "close"
    assert "too slowly" in problem(response, 408)["detail"]
    asking.close()
    until(lambda: not left_over(app))


def drip(asking: http.client.HTTPConnection) -> None:
    for _ in range(200):
        asking.send(b"x")
        time.sleep(0.1)


def test_a_client_that_drips_is_cut_off(address: str, app: FastAPI) -> None:
    asking = connection(address)
    asking.putrequest("POST", "/v1/trace")
    asking.putheader("Content-Type", FORM)
    asking.putheader("Content-Length", "100000")
    asking.endheaders(HEAD)
    began = time.monotonic()
    with pytest.raises(OSError, match=r"[Bb]roken|reset"):
        drip(asking)
    assert time.monotonic() - began < 10
    asking.close()
    until(lambda: not left_over(app))


def test_a_connection_that_asks_nothing_is_closed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_S", 0.3)
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
        assert idle.recv(100) == b""


# --- The queue --------------------------------------------------------------------------------------------------------


class Gate:
    """Holds what is traced, and counts it."""

    def __init__(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.begun = threading.Event(), 0
        tracer = app.state.desk.tracer()
        trace_many = tracer.trace_many

        def held(paths: list[Path]) -> Any:
            self.begun += len(paths)
            assert self.open.wait(30)
            return trace_many(paths)

        monkeypatch.setattr(tracer, "trace_many", held)


def test_one_more_than_can_wait_is_refused(address: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, statuses = Gate(app, monkeypatch), []

    def ask() -> None:
        statuses.append(httpx.post(f"{address}/v1/trace", files=[clip()], timeout=60).status_code)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    until(lambda: app.state.desk.workers.pending == 4)
    refused = httpx.post(f"{address}/v1/trace", files=[clip()])
    assert "try again" in problem(refused, 429)["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    gate.open.set()
    for thread in asking:
        thread.join()
    assert statuses == [200] * 4
    until(lambda: app.state.desk.workers.pending == 0)


def test_what_waits_is_traced_together(address: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, bodies = Gate(app, monkeypatch), [clip(), clip(), ("clip", ("notes.txt", b"no audio")), clip()]
    monkeypatch.setattr(app.state.desk.workers, "queue", 8)
    with ThreadPoolExecutor(4) as pool:
        answers = []
        for count, body in enumerate(bodies, 1):
            answers.append(pool.submit(httpx.post, f"{address}/v1/trace", files=[body], timeout=60))
            until(lambda count=count: app.state.desk.workers.pending == count)
        until(lambda: gate.begun == 1)  # and three wait
        gate.open.set()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [200, 200, 422, 200]
    assert "notes.txt" in answers[2].result().text
    assert gate.begun == 4


def test_what_a_client_left_behind_is_not_begun(address: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(app, monkeypatch)
    body = HEAD + GOOD[0].read_bytes() + b"\r\n--x--\r\n"
    askings = []
    for count in range(1, 5):  # one is begun, three wait
        askings.append(connection(address))
        askings[-1].request("POST", "/v1/trace", body, {"Content-Type": FORM})
        until(lambda count=count: app.state.desk.workers.pending == count)
    until(lambda: gate.begun == 1)
    for asking in askings[1:]:
        asking.close()
    until(lambda: app.state.desk.workers.pending == 1)
    gate.open.set()
    assert askings[0].getresponse().status == 200
    askings[0].close()
    until(lambda: app.state.desk.workers.pending == 0)
    assert gate.begun == 1
    until(lambda: not left_over(app))


# --- Hostile files ----------------------------------------------------------------------------------------------------


def test_hostile_files_between_good_ones(address: str) -> None:
    good = tone(1.0)
    hostile = [
        b"", b"\x00" * 1000, b"RIFF\xff\xff\xff\xffWAVE", good[:60], b"fLaC" + b"\xff" * 500, b"OggS" + b"\x00" * 900,
        good[:40] + b"\xff\xff\xff\xff" + b"\x01" * 200, b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"x" * 300,
        b"\x1a\x45\xdf\xa3" + b"\x01" * 400, b"<html>", b"PK\x03\x04" + b"\x00" * 100,
    ]  # fmt: skip
    parts: list[Any] = []
    for place, data in enumerate(hostile):
        parts += [
            ("clips", (f"bad-{place}.wav", data)),
            ("clips", (f"good-{place}.flac", GOOD[place % 4].read_bytes())),
        ]
    value = httpx.post(f"{address}/v1/cluster", files=parts, timeout=120).json()
    usable = {exhibit["path"] for exhibit in (*value["clips"], *value["human"])}
    assert {f"good-{place}.flac" for place in range(len(hostile))} <= usable
    assert set(value["failures"]) | usable == {part[1][0] for part in parts}
    for data in hostile:
        answered = httpx.post(f"{address}/v1/trace", files=[("clip", ("bad.wav", data))], timeout=60)
        assert answered.status_code in (200, 422), answered.text
    assert httpx.post(f"{address}/v1/trace", files=[clip()], timeout=60).status_code == 200


# --- The command ------------------------------------------------------------------------------------------------------


def serve(folder: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """`synthprint serve` in a process of its own; and the address that it prints."""
    command = [sys.executable, "-m", "synthprint", "serve", "--no-browser", "--port", "0", "--folder", str(folder)]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    return process, line.partition("http")[2].partition(" ")[0].join(("http", "")) if "http" in line else line


def test_serve_prints_its_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    process, address = serve(tmp_path)
    try:
        assert httpx.get(f"{address}healthz", timeout=60).json() == {"status": "alive"}
        command = [
            sys.executable,
            "-m",
            "synthprint",
            "serve",
            "--no-browser",
            "--port",
            "0",
            "--folder",
            str(tmp_path),
        ]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert second.returncode == 2
        assert "another service runs on this folder" in second.stderr
        port = str(urlsplit(address).port)
        other = [*command[:-3], port, "--folder", str(tmp_path / "other")]
        taken = subprocess.run(other, capture_output=True, text=True, check=False, timeout=60)
        assert taken.returncode == 2
        assert "take another port" in taken.stderr
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in log
    assert all(json.loads(line) for line in log.splitlines())


def test_an_address_beyond_this_machine_needs_a_token(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "synthprint", "serve", "--no-browser", "--host", "0.0.0.0", "--port", "0"]
    refused = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 2
    assert "has no token" in refused.stderr
    assert "(--host)" in refused.stderr
