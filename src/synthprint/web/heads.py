"""HEAD, where there is GET: the same status and headers, and no body."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Told(OSError):
    """The headers are sent, and nothing more is wanted: as if the client had gone, which all routes know to end at."""


class Heads:
    """Answers HEAD as GET, up to the body, of which not more is made than a first piece."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        asked, told = {**scope, "method": "GET"}, False

        async def sent(message: Message) -> None:
            nonlocal told
            if message["type"] == "http.response.body":
                raise Told
            await send(message)
            if message["type"] == "http.response.start":
                told = True
                await send({"type": "http.response.body"})

        try:
            await self.app(asked, receive, sent)
        except (Told, ClientDisconnect):
            if not told:
                raise
        finally:
            scope["route"] = asked.get("route")  # for whoever counts
