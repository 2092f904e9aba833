"""The drivers of the stores: fsspec's, opened by the scheme of an address, with credentials in their own ways only."""

from __future__ import annotations

import ipaddress
import os
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from synthprint.addresses import SCHEMES, scheme, shown
from synthprint.errors import MissingDependency, StoreError

LIBRARIES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "http": "aiohttp", "https": "aiohttp"}
CONNECT_S, READ_S = 30.0, 60.0  # without a byte, over HTTP


def driver(address: str) -> Any:
    """The file system of fsspec that a URL belongs to.

    Raises:
        StoreError: its scheme is none of ours, or it is not encrypted, or holds a password.
        MissingDependency: the driver is not installed.
    """
    kind = scheme(address)
    if kind not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES[:-1])
        raise StoreError(shown(address), f"is of a kind that is not known here; addresses are paths, or {known}")
    place = urlsplit(address).netloc
    if "@" in place:
        remedy = "give it in the driver's own way, such as ~/.netrc or a profile"
        raise StoreError(shown(address), f"holds a name or password: {remedy}")
    check_encrypted(address)
    return _opened(kind, os.getpid())


def check_encrypted(address: str) -> None:
    """Refuse http:// but from this machine.

    Raises:
        StoreError: what comes over it may have been changed on its way.
    """
    if scheme(address) == "http" and not _is_here(urlsplit(address).hostname or ""):
        raise StoreError(shown(address), "what comes over http:// may have been changed on its way; use https://")


def _is_here(host: str) -> bool:
    """Whether it names this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _opened(kind: str, _process: int) -> Any:  # a driver's threads do not survive a fork
    library = LIBRARIES[kind]
    try:
        import fsspec

        __import__(library)
    except ImportError as error:
        raise MissingDependency.extra(error.name or library, "remote") from error
    options = _over_http() if kind in ("http", "https") else {}
    return fsspec.filesystem(kind, use_listings_cache=False, skip_instance_cache=True, **options)


def _over_http() -> dict[str, Any]:
    import aiohttp

    async def check(_session: Any, _context: Any, redirect: Any) -> None:
        onward = redirect.response.headers.get("Location", "")
        check_encrypted(urljoin(str(redirect.url), onward))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(check)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S)
    return {
        "client_kwargs": {"trust_env": True, "timeout": timeout, "trace_configs": [tracing]},
        "headers": {"Accept-Encoding": "identity"},  # what is packed for the way would be unpacked without a bound
    }
