"""What stands before every route: whose name the service is called by, which site a request comes from, the headers.

*DNS rebinding.* A page elsewhere may have its own name lead to this machine; the request then names it as its host. A
host that is no name of ours is refused.
*Requests forged by another site.* A browser says from which site a request comes; one that changes something must come
from this site, or from no browser.
A page elsewhere may follow a link to here, but load nothing, for that would cost us work on its word.
*What a page may load.* The content security policy: only what comes from here, no inline script.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthprint.web.bounds import BoundedBody
from synthprint.web.problems import ServiceProblem
from synthprint.web.settings import LOOPBACK_NAMES, ServiceSettings

HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/?#@\[\]]+))(?::\d{1,5})?")
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self' blob:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PAGES = "/static/"  # may be kept by a browser; all else is answered anew


class Defences:
    """Refuses what comes by another name, from another site, or is too large; sets the headers of every answer."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        send, body = guarded(send, scope), BoundedBody(receive, scope, self.settings)
        try:
            self._check(scope)
            headers = Headers(scope=scope)
            if not _is_form(headers):
                body.check_declared(headers.get("content-length", ""))
        except ServiceProblem as problem:
            await problem.response()(scope, receive, send)
            return
        await self.app(scope, body, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not is_ours(host, self.settings):
            words = "name the service by an address of its own, or allow this host when it is started"
            raise ServiceProblem(421, f"{host[:80]!r} is no name of this service: {words}", field="Host")
        if (
            "transfer-encoding" in headers and "content-length" in headers
        ):  # a proxy may take the other for the true one
            words = "the request says in two ways where it ends: send Content-Length or Transfer-Encoding"
            raise ServiceProblem(400, words, headers={"Connection": "close"})
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        foreign = site not in (None, "same-origin", "none")
        if scope["method"] not in SAFE_METHODS:
            if foreign or (origin is not None and origin.lower().partition("://")[2] != host.lower()):
                raise ServiceProblem(
                    403, "the request comes from a page of another site, which may change nothing here"
                )
        elif foreign and headers.get("sec-fetch-mode") != "navigate":  # a link is followed; an image is not made of us
            raise ServiceProblem(403, "the request comes from a page of another site, which may load nothing from here")


def is_ours(host: str, settings: ServiceSettings) -> bool:
    """Whether a Host header names this service: an address, which no name elsewhere can stand for, or a name of it."""
    named = HOST.fullmatch(host.lower())
    if named is None:
        return False
    name = named[1] or named[2]
    names = {settings.host.lower(), *(allowed.lower() for allowed in settings.allowed_hosts)}
    if name in names or name in LOOPBACK_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not settings.loopback


def _is_form(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def guarded(send: Send, scope: Scope) -> Send:
    """`send`, which sets the headers that every answer has."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not scope["path"].startswith(PAGES):
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
