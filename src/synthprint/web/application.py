"""The application: the routes, with what stands before them."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from fastapi import FastAPI

import synthprint
from synthprint.web import problems, routes
from synthprint.web.defences import Defences
from synthprint.web.desk import Desk
from synthprint.web.heads import Heads
from synthprint.web.observing import Leaving, Observing
from synthprint.web.repeats import Repeating
from synthprint.web.settings import ServiceSettings
from synthprint.web.tokens import Tokens

SCHEMA = "/v1/openapi.json"


def application(settings: ServiceSettings) -> FastAPI:
    """The service, ready for a server; it opens its model when that starts it.

    Its state has `settings`, `tokens` and the `desk`, which is opened and closed with the server.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with desk.opened():
            yield

    app = FastAPI(
        title="synthprint",
        version=synthprint.__version__,
        summary="Which text-to-speech system made this clip, is it one that is enrolled, are these two from the same?",
        openapi_url=SCHEMA,
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    desk, tokens = Desk(settings), Tokens(settings.tokens, settings.require_tokens or not settings.loopback)
    app.state.settings, app.state.desk, app.state.tokens = settings, desk, tokens
    problems.install(app)
    for module in sorted(module.name for module in pkgutil.iter_modules(routes.__path__)):
        app.include_router(import_module(f"{routes.__name__}.{module}").router)
    app.add_middleware(Heads)  # the innermost; the last is the first that a request meets
    app.add_middleware(Leaving)
    app.add_middleware(Repeating, settings=settings, tokens=tokens)
    app.add_middleware(Defences, settings=settings)
    app.add_middleware(Observing, metrics=desk.metrics)
    return app
