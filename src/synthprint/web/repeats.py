"""Requests that are sent again: with the same Idempotency-Key and the same content, the same answer, for a day.

A program that got no answer cannot know whether its request was carried out; it sends it again with the key that it
gave before. What a form holds counts, not how it is written: each sending has a boundary of its own.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import Request
from msgspec import Meta, Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthprint import files
from synthprint.errors import ServingError, SynthprintError
from synthprint.reading import doors
from synthprint.reading.schemas import Count, Sha256
from synthprint.web.bounds import allow
from synthprint.web.logs import LOGGER
from synthprint.web.problems import ServiceProblem
from synthprint.web.receiving import body
from synthprint.web.settings import ServiceSettings
from synthprint.web.tokens import COOKIE, Tokens

HEADER = "idempotency-key"
KEY = re.compile(r"[\x21-\x7e]{1,200}")
LIFE_S = 24 * 3600
MOST_BODY = 8 << 20  # bytes of an answer that is stored
MOST_ANSWERS = 20_000
MOST_BYTES = 1 << 30  # of all of them
LOOK_EVERY = 100  # answers, after which the oldest go, where there are too many
STORED_HEADERS = (b"content-type", b"location")


class StoredAnswer(Struct, forbid_unknown_fields=True):
    """An answer as it was given, and the digest of what it was given to."""

    request: Sha256
    time: Count
    status: Annotated[int, Meta(ge=200, le=299)]
    headers: dict[str, Annotated[str, Meta(max_length=1000)]]
    body: Annotated[str, Meta(max_length=MOST_BODY * 2)]


class ContentDigest:
    """The digest of a request, fed with its body as it comes; of a form, of its parts."""

    def __init__(self, scope: Scope) -> None:
        self._digest = hashlib.sha256()
        self._add(scope["method"].encode(), scope["path"].encode(), scope["query_string"])
        kind, options = parse_options_header(Headers(scope=scope).get("content-type"))
        self._parser: Any = None
        boundary = options.get(b"boundary")
        if kind == b"multipart/form-data" and boundary and len(boundary) <= 256:
            self._part, self._size = hashlib.sha256(), 0
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_value": self._header,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                },
            )

    @property
    def is_form(self) -> bool:
        """Whether it is a form, and was one up to here."""
        return self._parser is not None

    def feed(self, piece: bytes) -> None:
        """Take up a piece of the body."""
        if self._parser is None:
            self._digest.update(piece)
            return
        try:
            self._parser.write(piece)
        except FormParserError:  # it will be refused in any case
            self._parser = None

    def hex(self) -> str:
        """Of all that came."""
        return self._digest.hexdigest()

    def _add(self, *values: bytes) -> None:
        for value in values:
            self._digest.update(len(value).to_bytes(8, "big") + value)

    def _begin(self) -> None:
        self._part = hashlib.sha256()

    def _header(self, data: bytes, start: int, end: int) -> None:
        self._part.update(memoryview(data)[start:end])

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.update(memoryview(data)[start:end])

    def _end(self) -> None:
        self._add(self._part.digest())


class Repeating:
    """Stores what is answered to a POST with an Idempotency-Key, and gives it again."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings, tokens: Tokens) -> None:
        self.app, self.settings, self.tokens = app, settings, tokens
        self.folder = settings.folder / "repeats"
        self._answering: set[Path] = set()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        key = headers.get(HEADER)
        if key is None or scope["method"] != "POST" or (place := self._place(headers, key)) is None:
            await self.app(scope, receive, send)
            return
        try:
            response = await self._again(place, scope, receive)
        except ServiceProblem as problem:
            response = problem.response()
        if response is not None:
            await response(scope, receive, send)
            return
        self._answering.add(place)
        try:
            await self._first(place, scope, receive, send)
        finally:
            self._answering.discard(place)

    def _place(self, headers: Headers, key: str) -> Path | None:
        """Where the answer is stored; None where nobody is known to ask, who is refused anyway."""
        session = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        who = self.tokens.caller(headers.get("authorization"), session)
        if who is None:
            return None
        return self.folder / f"{hashlib.sha256(f'{who.name} {key}'.encode()).hexdigest()}.json"

    async def _again(self, place: Path, scope: Scope, receive: Receive) -> Response | None:
        """The answer that was given before; None where there was none.

        Raises:
            ServiceProblem: it is being given, or was given to another request; or the key will not do.
        """
        if not KEY.fullmatch(Headers(scope=scope)[HEADER]):
            raise ServiceProblem(400, "a key is 1 to 200 visible ASCII characters", field="Idempotency-Key")
        if place in self._answering:
            words = "a request with this key is being answered: wait for it"
            raise ServiceProblem(409, words, field="Idempotency-Key", headers={"Retry-After": "2"})
        stored = _read(place)
        if stored is None:
            return None
        content = ContentDigest(scope)
        if content.is_form:
            allow(scope, self.settings.most_job_bytes)
        async for piece in body(Request(scope, receive)):
            content.feed(piece)
        if content.hex() != stored.request:
            words = "this key was sent with another request: take a new key for each"
            raise ServiceProblem(422, words, field="Idempotency-Key")
        return Response(base64.b64decode(stored.body), stored.status, {**stored.headers, "Idempotent-Replayed": "true"})

    async def _first(self, place: Path, scope: Scope, receive: Receive, send: Send) -> None:
        content, given = ContentDigest(scope), bytearray()
        start: Message = {}

        async def received() -> Message:
            message = await receive()
            content.feed(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif len(given) <= MOST_BODY:
                given.extend(message.get("body", b""))
                if not message.get("more_body", False) and 200 <= start["status"] < 300 and len(given) <= MOST_BODY:
                    try:
                        self._store(place, content.hex(), start, bytes(given))
                    except (SynthprintError, OSError):  # what was asked for is done: the answer is given all the same
                        LOGGER.exception("answer not stored")
            await send(message)

        await self.app(scope, received, sent)

    def _store(self, place: Path, request: str, start: Message, given: bytes) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"] if name in STORED_HEADERS}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._count % LOOK_EVERY == 0:
            _drop_old(place.parent)
        self._count += 1
        files.write_json(
            place,
            {
                "request": request,
                "time": int(time.time()),
                "status": start["status"],
                "headers": headers,
                "body": base64.b64encode(given).decode(),
            },
        )


def sweep(folder: Path, now: float) -> None:
    """Delete the stored answers that are older than a day."""
    for path in folder.glob("*.json"):
        if path.stat().st_mtime < now - LIFE_S:
            path.unlink(missing_ok=True)


def _drop_old(folder: Path) -> None:
    """Make room for one more: what is oldest goes."""
    stored = []
    for path in folder.glob("*.json"):
        with suppress(OSError):
            about = path.stat()
            stored.append((about.st_mtime, about.st_size, path))
    room = MOST_BYTES
    for number, (_, size, path) in enumerate(sorted(stored, reverse=True)):
        room -= size
        if number >= MOST_ANSWERS or room < 0:
            path.unlink(missing_ok=True)


def _read(place: Path) -> StoredAnswer | None:
    if not place.exists():
        return None
    with doors.ending_in(ServingError, place, "take it away"):
        stored = doors.read_json(place, StoredAnswer, MOST_BODY * 2)
    return stored if time.time() - stored.time < LIFE_S else None
