"""The application: routes, the layers around them, and what they share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from server import errors, generate, models, openapi, page, speech, status, voices
from server.access import Gate
from server.bodies import BoundedBodies
from server.browsers import BrowserGuard
from server.jobs import Jobs
from server.keys import KeyRing, key_of_environment
from server.metrics import Metrics
from server.observe import Observed
from server.settings import ServerSettings
from worker.core import Worker

ROUTERS = (generate.router, speech.router, models.router, voices.router, status.router, page.router)


def key_ring(settings: ServerSettings) -> KeyRing:
    """The keys of these settings. Raises KeyFileError."""
    fixed = [key_of_environment(settings.api_key)] if settings.api_key else []
    return KeyRing(settings.keys_file, fixed)


def create_app(worker: Worker, settings: ServerSettings, on_failure: Callable[[], None] = lambda: None) -> FastAPI:
    """The app of one worker. on_failure: called when the worker turns out not to be able to serve. Raises KeyFileError,
    or ServerSettingsError for a server that others could reach without a key."""
    keys, metrics = key_ring(settings), Metrics()
    settings.check_exposure(has_keys=bool(keys))
    readiness = status.Readiness(worker, on_failure)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs(worker, settings.jobs_running, settings.jobs_waiting, metrics)
        readiness.start()
        yield

    app = FastAPI(**openapi.ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.readiness, app.state.metrics = readiness, metrics
    app.state.gate = Gate(keys, settings)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(errors.Refused, errors.on_refused)
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(RequestValidationError, errors.on_invalid)
    app.add_exception_handler(Exception, errors.on_failure)
    # From the innermost to the outermost.
    app.add_middleware(BoundedBodies, settings=settings)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
            expose_headers=["X-Request-Id", "X-Seed", "X-Engine", "X-Duration", "X-Sample-Rate"],
        )
    app.add_middleware(BrowserGuard, settings=settings, keys=keys)
    app.add_middleware(Observed, metrics=metrics)
    return app
