"""Around all: requests are counted and logged, faults told without their words, whoever leaves is not waited for."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthprint.web import problems
from synthprint.web.counting import ServiceMetrics
from synthprint.web.defences import guarded
from synthprint.web.logs import LOGGER
from synthprint.web.repeats import HEADER

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
LEFT = 499  # as others log a client that went away before its answer


class Observing:
    """Counts and logs each request, and answers for what nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, count = time.perf_counter(), 0, 0
        scope.setdefault("state", {})["id"] = secrets.token_hex(8)

        async def received() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, received, sent)
        except ClientDisconnect:
            status = status or LEFT
        except asyncio.CancelledError:
            status = status or LEFT
            raise
        except Exception:
            LOGGER.exception("fault", extra={"fields": {"id": scope["state"]["id"]}})
            if status:
                raise
            await problems.unforeseen().response()(scope, receive, guarded(sent, scope))
        finally:
            self._note(scope, status or LEFT, time.perf_counter() - began, count)

    def _note(self, scope: Scope, status: int, seconds: float, count: int) -> None:
        route = route_path(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"  # a client may think of any number of them
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        self.metrics.received.inc(count)
        fields: dict[str, Any] = {
            "id": scope["state"]["id"],
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "bytes": count,
            "who": scope["state"].get("who"),
        }
        level = logging.ERROR if status == 500 else logging.INFO
        LOGGER.log(level, "request", extra={"fields": fields})


class Leaving:
    """Cancels the answer to a client that goes away, once all of its request is here.

    Not where it gave an Idempotency-Key: it will ask for that answer again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http" or HEADER in Headers(scope=scope):
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        if not _has_body(scope):
            await exchange.take_first()
        answering = asyncio.ensure_future(self.app(scope, exchange.receive, exchange.send))
        exchange.watching = asyncio.ensure_future(exchange.watch(answering))
        try:
            await asyncio.shield(answering)
        except asyncio.CancelledError:
            if exchange.left.is_set():
                raise ClientDisconnect from None
            answering.cancel()
            await asyncio.wait([answering])
            raise
        finally:
            exchange.watching.cancel()


class _Exchange:
    """The messages of one request: the application's until the request is whole; from then on we listen ourselves."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._first: Message | None = None
        self._whole = asyncio.Event()
        self.left = asyncio.Event()
        self.watching: asyncio.Future[None] | None = None

    async def take_first(self) -> None:
        """Take the message of a request without a body, for the application may never ask for it."""
        self._first = await self._receive()
        self._whole.set()

    async def receive(self) -> Message:
        """For the application."""
        if self._first is not None:
            message, self._first = self._first, None
            return message
        if self._whole.is_set():
            await self.left.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._whole.set()
        return message

    async def send(self, message: Message) -> None:
        """For the application."""
        await self._send(message)
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if last and self.watching is not None:
            self.watching.cancel()  # what is left to do after the answer is done in any case

    async def watch(self, answering: asyncio.Future[None]) -> None:
        """Cancel the answer when the client has left."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        answering.cancel()


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def route_path(scope: Scope) -> str:
    """The route of a request, without what stands for its parameters: "/v1/jobs/{job}"."""
    return str(getattr(scope.get("route"), "path", None) or "none")
