"""The body of a request within bounds: so many bytes, and so much time, whatever route it is for and whoever sends it.

A route that takes files says so before it reads (`allow`); to every other one, what its request calls itself makes no
difference: a form that is sent to a route of JSON may have no more bytes than JSON.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive, Scope

from synthprint.web.problems import ServiceProblem
from synthprint.web.settings import ServiceSettings

MOST_BODY = "most_body"  # in the state of a request


def allow(scope: Scope, count: int) -> None:
    """Let the body of a request have so many bytes, instead of those of JSON."""
    scope["state"][MOST_BODY] = count


class BoundedBody:
    """`receive` of a request, which ends one that sends too much, or too slowly.

    Raises:
        ServiceProblem: it did, when it is called.
    """

    def __init__(self, receive: Receive, scope: Scope, settings: ServiceSettings) -> None:
        self._receive, self._settings = receive, settings
        self._state = scope.setdefault("state", {})
        self._began: float | None = None
        self._count, self._whole = 0, False

    async def __call__(self) -> Message:
        """The next message, as ASGI has it."""
        if self._whole:
            return await self._receive()  # that the client goes away, which may take its time
        message = await self._in_time()
        self._count += len(message.get("body", b""))
        self._check(self._count)
        self._whole = not message.get("more_body", False)
        return message

    def check_declared(self, length: str) -> None:
        """Refuse a body by the length that its request says it has.

        Raises:
            ServiceProblem: it is too large.
        """
        if length.isdecimal():
            self._check(int(length))

    async def _in_time(self) -> Message:
        settings = self._settings
        self._began = time.monotonic() if self._began is None else self._began
        left = self._began + settings.upload_seconds + self._count / settings.least_bytes_s - time.monotonic()
        try:
            return await asyncio.wait_for(self._receive(), max(min(settings.stall_seconds, left), 0.001))
        except TimeoutError:
            words = f"{self._count:,} bytes in {time.monotonic() - self._began:.0f} s; send it again"
            raise ServiceProblem(408, f"the body came too slowly: {words}", headers={"Connection": "close"}) from None

    def _check(self, count: int) -> None:
        most = self._state.get(MOST_BODY, self._settings.most_json_bytes)
        if count > most:
            words = (
                "send fewer files at a time" if MOST_BODY in self._state else "files are sent as multipart/form-data"
            )
            raise ServiceProblem(413, f"the body has more than {most:,} bytes; {words}")
