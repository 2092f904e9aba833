"""Errors as RFC 9457 problems: each says what is wrong, of which file or field, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from synthprint import errors

MEDIA_TYPE = "application/problem+json"
NO_STATUS = "about:blank"
# An error of ours -> the status that it is told by; of several, the first that fits.
STATUSES: Mapping[type[errors.SynthprintError], int] = {
    errors.AudioError: 422,
    errors.EmbeddingsError: 422,
    errors.GalleryError: 409,
    errors.CaseError: 409,
    errors.OutputError: 507,
    errors.MissingDependency: 501,
}


class ServiceProblem(HTTPException):
    """What a client is told in place of an answer.

    Args:
        status: of HTTP.
        detail: what is wrong here, and what to do.
        file: the client's name of the file that it is about.
        field: of the request that it is about.
        headers: of the answer, such as Retry-After.
        title: of the kind of problem; by default the status in words.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        file: str | None = None,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.status, self.file, self.field = status, file, field
        self.title = title or HTTPStatus(status).phrase

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        members = {"type": NO_STATUS, "title": self.title, "status": self.status, "detail": self.detail}
        more = {"file": self.file, "field": self.field}
        return members | {name: value for name, value in more.items() if value is not None}

    def response(self) -> Response:
        """The answer that tells it."""
        return Response(json.dumps(self.to_dict()), self.status, self.headers, MEDIA_TYPE)


def problem_of(error: errors.SynthprintError) -> ServiceProblem:
    """The problem that an error of ours is; an AudioError names its file."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    if isinstance(error, errors.AudioError):
        return ServiceProblem(status, error.reason, file=error.path)
    return ServiceProblem(status, str(error), field=error.parameter)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem; what nobody foresaw is told without its words."""

    @app.exception_handler(ServiceProblem)
    async def _problem(_request: Request, problem: ServiceProblem) -> Response:
        return problem.response()

    @app.exception_handler(errors.SynthprintError)
    async def _ours(request: Request, error: errors.SynthprintError) -> Response:
        problem = problem_of(error)
        if upload := getattr(request.state, "upload", None):
            problem.detail, problem.file = upload.labelled([problem.detail, problem.file])
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return _first(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        words = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not possible here"}
        headers = dict(error.headers or {})
        return ServiceProblem(
            error.status_code, words.get(error.status_code, str(error.detail)), headers=headers
        ).response()


def unforeseen() -> ServiceProblem:
    """The problem that is a fault of the service."""
    return ServiceProblem(500, "this is a fault of the service; its log says more")


def _first(faults: Sequence[Mapping[str, Any]]) -> ServiceProblem:
    """The problem of the first of several fields that do not do."""
    first = faults[0]
    place, *steps = first["loc"]
    field = ".".join(map(str, steps)) or str(place)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] == "json_invalid":
        return ServiceProblem(400, "the body is not JSON", field="body")
    return ServiceProblem(422, f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}", field=field)
