"""A service run: the socket, the server, the browser.

The socket listens before the libraries of the service are loaded: whoever comes that early waits, and is not refused.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from synthprint.errors import MissingDependency, ServingError
from synthprint.files import locked
from synthprint.web.settings import ServiceSettings

LIBRARIES = {
    "fastapi": "fastapi", "jinja2": "jinja2", "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart", "uvicorn": "uvicorn",
}  # fmt: skip
KEEP_ALIVE_S = 30
SHUTDOWN_S = 10
MOST_CONNECTIONS = 1000
MOST_FILES = 4096  # open at once


def service_folder() -> Path:
    """Where a service has its state, unless it is told another place."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "synthprint"


def serve(settings: ServiceSettings, browser: bool = True, announce: Callable[[str], None] | None = None) -> None:
    """Run the service until it is interrupted.

    Args:
        browser: whether its page is opened.
        announce: is called with its address, as soon as it listens.

    Raises:
        MissingDependency: what a service needs is not installed.
        ServingError: it may not listen there without a token; the address is taken; another service has the folder.
    """
    check_libraries()
    if not settings.loopback and not _has_token(settings):
        raise ServingError(
            f"{settings.host} can be reached from other machines, and {settings.tokens} has no token: make one first, "
            "or listen on the loopback address",
            parameter="host",
        )
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(settings.folder / ".service", wait=False) as ours:
        if not ours:
            raise ServingError(
                f"{settings.folder}: another service runs on this folder; name another", parameter="folder"
            )
        with _bound(settings) as listener:
            address = _address(settings, listener.getsockname()[1])
            if announce:
                announce(address)
            if browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            _run(settings, listener)


def check_libraries() -> None:
    """Make sure that what a service needs is installed.

    Raises:
        MissingDependency: it is not.
    """
    for module, library in LIBRARIES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingDependency.extra(library, "serve")


def _has_token(settings: ServiceSettings) -> bool:
    from synthprint.web.tokens import Tokens

    return bool(Tokens(settings.tokens).stored())


def _run(settings: ServiceSettings, listener: socket.socket) -> None:
    import uvicorn

    from synthprint.web import logs
    from synthprint.web.application import application
    from synthprint.web.protocol import TimedProtocol

    logs.start()
    _allow_files()
    config = uvicorn.Config(
        application(settings), http=TimedProtocol, ws="none", lifespan="on", access_log=False, log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=SHUTDOWN_S, limit_concurrency=MOST_CONNECTIONS,
        server_header=False, proxy_headers=False,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):  # uvicorn raises it again, when all is ended
        uvicorn.Server(config).run([listener])


def _allow_files() -> None:
    """Let this process open as many files as it may be allowed to: a connection is one, and 1024 are soon open."""
    with suppress(ImportError, OSError, ValueError):  # a system without such limits
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bound(settings: ServiceSettings) -> socket.socket:
    """A socket that listens, so that whoever is told the address is not refused."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(2048)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        remedy = "end what listens there, or take another port" if taken else "name another address"
        reason = error.strerror or str(error)
        raise ServingError(
            f"{settings.host}:{settings.port}: cannot be listened on ({reason}); {remedy}",
            parameter="port" if taken else "host",
        ) from error
    return listener


def _address(settings: ServiceSettings, port: int) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else "[::1]" if settings.host == "::" else settings.host
    return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}/"
