"""Whether the service lives, and is ready."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from synthprint.web.answers import answer
from synthprint.web.problems import ServiceProblem
from synthprint.web.tokens import READ, Caller, may

router = APIRouter(tags=["service"])


@router.get("/healthz")
async def healthz() -> Response:
    """Whether the service answers at all."""
    return answer({"status": "alive"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether the model and the galleries are open."""
    desk = request.app.state.desk
    if desk.ready:
        return answer({"status": "ready"})
    raise ServiceProblem(503, desk.failure or "the model is being opened: ask again", headers={"Retry-After": "1"})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, _who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """What the service counts, in the form of Prometheus."""
    return Response(request.app.state.desk.metrics.text(), media_type=CONTENT_TYPE_LATEST)
