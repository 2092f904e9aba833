"""Stores on this machine: an S3 server as a child process, and a web server that can fail in many ways."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from synthprint.stores import drivers

PAGE_KEYS = 7  # of a page of a listing
S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server's address, while the block runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    environment = {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE_KEYS), "PATH": ""}
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert child.poll() is None, "the S3 server has ended"
                time.sleep(0.05)
        yield address
    finally:
        child.kill()
        child.wait()


@contextmanager
def s3_bucket(name: str) -> Iterator[Any]:
    """The client of an S3 server that has a bucket of this name; while the block runs, drivers ask this server."""
    import botocore.session

    with pytest.MonkeyPatch.context() as patch, s3_server() as address:
        for variable, value in {**S3_KEYS, "AWS_ENDPOINT_URL": address, "AWS_CONFIG_FILE": os.devnull}.items():
            patch.setenv(variable, value)
        drivers._opened.cache_clear()
        client = botocore.session.get_session().create_client("s3")
        client.create_bucket(Bucket=name)
        yield client
        client.close()
        drivers._opened.cache_clear()


class WebStore:
    """What a web server gives, and how it fails.

    Attributes:
        files: path -> bytes.
        failing: path -> answers that come before the file's own: a status, or "cut" for a body that breaks off.
        plain: paths of which no parts are given.
        endless: paths whose bodies have no length and no end.
        locked: path -> the query with which alone it is given.
        redirects: path -> where it is said to be.
        served: bytes that went out, by path; asked: requests, by path.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failing: dict[str, list[int | str]] = {}
        self.plain: set[str] = set()
        self.endless: set[str] = set()
        self.locked: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.served: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.address = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: WebStore

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        store, (path, _, query) = self.store, self.path.partition("?")
        store.asked[path] += 1
        failures = store.failing.get(path, [])
        failure = failures.pop(0) if failures and with_body else None
        if isinstance(failure, int):
            self._head(failure, 0)
        elif path in store.redirects:
            self._head(302, 0, Location=store.redirects[path])
        elif path not in store.files:
            self._head(404, 0)
        elif store.locked.get(path, query) != query:
            self._head(403, 0)
        else:
            self._give(path, store.files[path], failure == "cut", with_body)

    def _give(self, path: str, data: bytes, cut: bool, with_body: bool) -> None:
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if path in self.store.endless:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while with_body and self._send(path, data):
                pass
            self.close_connection = True
            return
        if span and path not in self.store.plain:
            first, last = int(span[1]), min(int(span[2] or len(data)), len(data) - 1)
            head = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            status, data = 206, data[first : last + 1]
        else:
            status, head = 200, {} if path in self.store.plain else {"Accept-Ranges": "bytes"}
        self._head(status, len(data), ETag='"1"', **head)
        if with_body:
            self._send(path, data[: len(data) // 2] if cut else data)
        self.close_connection = cut

    def _head(self, status: int, length: int, **head: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **head}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, path: str, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:
            return False
        self.store.served[path] += len(data)
        return True


@contextmanager
def web_store() -> Iterator[WebStore]:
    """A web server while the block runs."""
    store = WebStore()
    handler = type("Handler", (_Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        store.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
