"""A client of the service that `synthprint serve` runs: this one file, which needs nothing but Python.

    client = Client("http://127.0.0.1:8765", token="…")
    client.trace("clip.wav")["source"]
    job = client.submit(["1.wav", "2.wav"])
    for state in client.events(job["id"]): print(state["done"], "of", state["total"])
    for answer in client.results(job["id"]): print(answer["path"])

Answers are what the service gives as JSON: `GET /v1/openapi.json` describes them. Files are sent as they are read, so
they may be of any size. A service that has too much to do is asked again, when it says so.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ClipPaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
PIECE_BYTES = 1 << 16
LONGEST_WAIT_S = 60.0


class ServiceError(Exception):
    """The service did not answer, but named a problem.

    Attributes:
        status: of HTTP; 0 where the service could not be reached.
        title, detail: the problem in words.
        file: the clip that it is about, as it was called; None where it is about none.
        field: of the request that it is about; None where it is about none.
    """

    def __init__(self, status: int, title: str, detail: str, file: str | None = None, field: str | None = None) -> None:
        super().__init__(f"{detail} ({status} {title})" if file is None else f"{file}: {detail} ({status} {title})")
        self.status, self.title, self.detail, self.file, self.field = status, title, detail, file, field


class Client:
    """What the service can be asked.

    Args:
        address: of the service, such as "http://127.0.0.1:8765".
        token: where it needs one.
        timeout_s: that an answer may take.
        retries: how often a request is sent again, where the service has too much to do or the connection breaks. A
            POST carries a key by which the service knows that it is the same.
        context: of TLS, where the address is https and its certificate is not one that the system trusts.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8765",
        token: str | None = None,
        timeout_s: float = 300.0,
        retries: int = 5,
        context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{address!r} is no address of a service: give one such as http://127.0.0.1:8765")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._token, self._timeout_s, self._retries, self._context = token, timeout_s, retries, context

    # --- Clips --------------------------------------------------------------------------------------------------------

    def trace(self, clip: str | os.PathLike[str], gallery: str = "default", top: int = 5, nearest: int = 3) -> Any:
        """Where a clip comes from."""
        query = {"gallery": gallery, "top": top, "nearest": nearest}
        return self._post("/v1/trace", [("clip", clip)], query=query)

    def compare(self, a: ClipPaths, b: ClipPaths) -> Any:
        """How strongly two clips, or two sets of clips, speak for one source."""
        return self._post("/v1/compare", [*_as(a, "a"), *_as(b, "b")])

    def timeline(self, clip: str | os.PathLike[str], gallery: str = "default") -> Any:
        """Where in a clip the source changes."""
        return self._post("/v1/timeline", [("clip", clip)], query={"gallery": gallery})

    def cluster(self, clips: ClipPaths, gallery: str = "default", threshold: float | None = None) -> Any:
        """Which clips come from one source; an empty gallery: no group is traced."""
        return self._post("/v1/cluster", _as(clips, "clips"), query={"gallery": gallery, "threshold": threshold})

    # --- Jobs ---------------------------------------------------------------------------------------------------------

    def submit(self, clips: ClipPaths, gallery: str = "default", kind: str = "trace") -> Any:
        """Start a job of many clips; returns it, with its `id`."""
        return self._post("/v1/jobs", _as(clips, "clips"), {"kind": kind, "gallery": gallery})

    def jobs(self) -> Any:
        """All jobs."""
        return self._json("GET", "/v1/jobs")

    def job(self, job: str) -> Any:
        """A job, and how far it is."""
        return self._json("GET", f"/v1/jobs/{_part(job)}")

    def events(self, job: str) -> Iterator[Any]:
        """A job as it stands, whenever that changes, until it is over."""
        with self._stream(f"/v1/jobs/{_part(job)}/events") as lines:
            for line in lines:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    def results(self, job: str, offset: int = 0) -> Iterator[Any]:
        """The answers of a job that stand, in the order of its clips, from the one numbered `offset` on."""
        with self._stream(f"/v1/jobs/{_part(job)}/results?offset={int(offset)}") as lines:
            for line in lines:
                yield json.loads(line)

    def delete_job(self, job: str) -> None:
        """Stop a job, and delete its clips and its results."""
        self._json("DELETE", f"/v1/jobs/{_part(job)}")

    # --- Galleries ----------------------------------------------------------------------------------------------------

    def galleries(self) -> Any:
        """All galleries."""
        return self._json("GET", "/v1/galleries")

    def create_gallery(self, name: str, start_from: str | None = None) -> Any:
        """Make a gallery, empty or as a copy of another, such as "default"."""
        return self._json("POST", "/v1/galleries", {"name": name, "from": start_from})

    def sources(self, gallery: str, query: str = "", offset: int = 0, limit: int = 100) -> Any:
        """The sources of a gallery."""
        words = urllib.parse.urlencode({"query": query, "offset": offset, "limit": limit})
        return self._json("GET", f"/v1/galleries/{_part(gallery)}?{words}")

    def enrol(self, gallery: str, source: str, clips: ClipPaths, **details: str) -> Any:
        """Enrol clips as a source; `details` are its family, kind, title and publisher."""
        fields = {"name": source, **details}
        return self._post(f"/v1/galleries/{_part(gallery)}/sources", _as(clips, "clips"), fields)

    def remove(self, gallery: str, source: str) -> None:
        """Take a source out of a gallery."""
        self._json("DELETE", f"/v1/galleries/{_part(gallery)}/sources/{_part(source)}")

    def undo(self, gallery: str) -> Any:
        """Undo the last change of a gallery."""
        return self._json("POST", f"/v1/galleries/{_part(gallery)}/undo")

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value).encode()
        return self._asked(method, path, {"Content-Type": "application/json"} if body else {}, lambda: body)

    def _post(
        self,
        path: str,
        clips: Sequence[tuple[str, str | os.PathLike[str]]],
        fields: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        form = _Form(fields or {}, clips)
        address = f"{path}?{urllib.parse.urlencode(given)}" if given else path
        return self._asked("POST", address, form.headers, form.pieces)

    def _asked(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        if method == "POST":
            headers = {**headers, "Idempotency-Key": secrets.token_hex(16)}
        for left in range(self._retries, -1, -1):
            try:
                with self._sent(method, path, headers, body()) as response:
                    data = response.read()
                if response.status < 400:
                    return json.loads(data) if data else None
                error, wait_s = _error(response.status, response.reason, data), _wait_s(response)
            except (OSError, http.client.HTTPException) as broken:
                error, wait_s = self._unreachable(broken), 1.0
            if not left or error.status not in (0, 409, 429, 503) or (error.status == 409 and wait_s is None):
                raise error
            time.sleep(min(1.0 if wait_s is None else wait_s, LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    @contextmanager
    def _stream(self, path: str) -> Iterator[Iterator[bytes]]:
        try:
            with self._sent("GET", path, {}, None) as response:
                if response.status >= 400:
                    raise _error(response.status, response.reason, response.read())
                yield iter(response.readline, b"")
        except (OSError, http.client.HTTPException) as broken:
            raise self._unreachable(broken) from broken

    def _unreachable(self, error: Exception) -> ServiceError:
        where = f"{self._host}:{self._port or (443 if self._secure else 80)}"
        return ServiceError(
            0, "no answer", f"the service at {where} cannot be reached: {error or type(error).__name__}"
        )

    @contextmanager
    def _sent(
        self, method: str, path: str, headers: Mapping[str, str], body: Any
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        if self._secure:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        if self._token:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        try:
            connection.connect()
            with suppress(BrokenPipeError, ConnectionResetError):  # a refusal may come before all is sent
                connection.request(method, self._base + path, body, dict(headers))
            yield connection.getresponse()
        finally:
            connection.close()


class _Form:
    """Fields and files as multipart/form-data, read as they are sent."""

    def __init__(self, fields: Mapping[str, str], clips: Sequence[tuple[str, str | os.PathLike[str]]]) -> None:
        boundary = secrets.token_hex(16)
        start = f"--{boundary}\r\nContent-Disposition: form-data; "
        self._parts: list[tuple[bytes, Path | None]] = [
            (f'{start}name="{name}"\r\n\r\n{value}\r\n'.encode(), None) for name, value in fields.items()
        ]
        for name, clip in clips:
            label = Path(clip).name.translate({ord('"'): "%22", 10: "%0A", 13: "%0D"})
            head = f'{start}name="{name}"; filename="{label}"\r\nContent-Type: application/octet-stream\r\n\r\n'
            self._parts.append((head.encode("utf-8", "replace"), Path(clip)))
        self._end = f"--{boundary}--\r\n".encode()
        size = sum(len(head) + (clip.stat().st_size + 2 if clip else 0) for head, clip in self._parts)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(size + len(self._end)),
        }

    def pieces(self) -> Iterator[bytes]:
        """The body."""
        for head, clip in self._parts:
            yield head
            if clip:
                with open(clip, "rb") as file:
                    yield from iter(lambda: file.read(PIECE_BYTES), b"")
                yield b"\r\n"
        yield self._end


def _as(clips: ClipPaths, field: str) -> list[tuple[str, str | os.PathLike[str]]]:
    """Files, each with the field that it is sent as."""
    several: Iterable[str | os.PathLike[str]] = [clips] if isinstance(clips, str | os.PathLike) else clips
    return [(field, clip) for clip in several]


def _part(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _wait_s(response: http.client.HTTPResponse) -> float | None:
    """What the service says of when to ask again."""
    with suppress(TypeError, ValueError):
        return max(0.0, float(response.headers["Retry-After"]))
    return None


def _error(status: int, reason: str, data: bytes) -> ServiceError:
    try:
        problem = json.loads(data)
        return ServiceError(status, problem["title"], problem["detail"], problem.get("file"), problem.get("field"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServiceError(status, reason, "the answer is not one of this service")
