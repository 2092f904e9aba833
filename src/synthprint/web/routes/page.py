"""The page that an analyst opens: shells without data, and the files that they load.

A shell holds no case and no source; its scripts ask the endpoints, so that whoever may not read sees an empty page.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from synthprint.web.description import endpoints, schemas
from synthprint.web.problems import ServiceProblem

router = APIRouter(include_in_schema=False)

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}


class Asset(NamedTuple):
    """A file that the page loads: its bytes, its media type, the tag by which a browser asks whether it changed."""

    content: bytes
    media_type: str
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """All files below `static`, by their path there; nothing else can be asked for."""
    return dict(_below(resources.files("synthprint.web").joinpath("static"), ""))


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    named: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            named += _below(entry, f"{name}/")
        elif (suffix := PurePosixPath(name).suffix) in MEDIA_TYPES:
            content = entry.read_bytes()
            named.append((name, Asset(content, MEDIA_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')))
    return named


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("synthprint.web"), autoescape=True, undefined=StrictUndefined)


def _shown(template: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(values), headers={"Cache-Control": "no-cache"})


@router.get("/")
def start() -> HTMLResponse:
    """A new case, and those that are open."""
    return _shown("case.html", script="case_page.js", place="cases", case="")


@router.get("/cases/{case}")
def case_page(case: str) -> HTMLResponse:
    """A case."""
    return _shown("case.html", script="case_page.js", place="cases", case=case)


@router.get("/galleries/{gallery}")
def gallery_page(gallery: str) -> HTMLResponse:
    """A gallery, and what can be done with it."""
    return _shown("gallery.html", script="gallery_page.js", place="galleries", gallery=gallery)


@router.get("/endpoints")
def endpoints_page(request: Request) -> HTMLResponse:
    """The endpoints, from their OpenAPI description."""
    app, described = request.app, request.app.openapi()
    return _shown(
        "endpoints.html", script="endpoints_page.js", place="endpoints", schema=app.openapi_url,
        endpoints=list(endpoints(described)), schemas=schemas(described),
    )  # fmt: skip


@router.get("/static/{name:path}")
def asset(name: str, request: Request) -> Response:
    """A file that the page loads.

    Raises:
        ServiceProblem: 404, the page has no such file.
    """
    if (stored := assets().get(name)) is None:
        raise ServiceProblem(404, f"the page has no file {name!r}")
    headers = {"ETag": stored.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == stored.tag:
        return Response(status_code=304, headers=headers)
    return Response(stored.content, media_type=stored.media_type, headers=headers)
