"""Signing in on the page: a token becomes a session, whose cookie no script can read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from synthprint.web.answers import PROBLEMS, SessionAnswer, SessionRequest, answer
from synthprint.web.problems import ServiceProblem
from synthprint.web.tokens import COOKIE, READ, SESSION_S, Caller, Tokens, may

router = APIRouter(prefix="/session", tags=["service"], responses=PROBLEMS)


@router.get("", response_model=SessionAnswer)
async def session(who: Annotated[Caller, Depends(may(READ))]) -> Response:
    """Who is signed in, and what they may do."""
    return answer({"name": who.name, "roles": sorted(who.roles)})


@router.post("", status_code=204)
async def sign_in(request: Request, given: SessionRequest) -> Response:
    """Open a session for whoever holds the token."""
    tokens: Tokens = request.app.state.tokens
    opened = tokens.open_session(given.token)
    if opened is None:
        if times := tokens.count_refused():
            request.app.state.desk.audit.note("nobody", "refused to sign in", times=times)
        raise ServiceProblem(401, "this is no token of this service", field="token")
    response = Response(status_code=204)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, opened, max_age=SESSION_S, httponly=True, samesite="strict", secure=secure)
    return response


@router.delete("", status_code=204)
async def sign_out(request: Request) -> Response:
    """End the session."""
    request.app.state.tokens.close_session(request.cookies.get(COOKIE, ""))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE)
    return response
