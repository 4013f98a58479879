"""Whether the server is up, what it runs, and what it counts: `/ping`, `/health`, `/metrics`.

`/ping` is what RunPod's load balancer asks: 204 while the worker starts, 200 when it may be given requests. It needs no
key, and says nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from server import metrics, openapi
from server.access import allowed
from server.errors import Refused
from server.jobs import Jobs
from worker import readiness
from worker.core import Worker
from worker.errors import describe
from worker.logs import fields

log = logging.getLogger("server")

router = APIRouter(tags=["server"])


class Readiness:
    """The worker's checks, run once at the server's start on a thread of their own."""

    def __init__(self, worker: Worker, on_failure: Callable[[], None]) -> None:
        """on_failure: called on that thread when a check fails."""
        self._worker, self._on_failure = worker, on_failure
        self.ready = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="readiness", daemon=True).start()

    def _run(self) -> None:
        try:
            for check in readiness.checks(lambda: self._worker):
                check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the server cannot serve
            log.critical("not ready", extra=fields(reason=describe(error)))
            self._on_failure()
        else:
            self.ready.set()
            log.info("ready", extra=fields(engine=self._worker.engine.name))


@router.get("/ping", responses=openapi.PING, response_class=Response, summary="Whether it may be given requests")
async def ping(request: Request) -> Response:
    """200 when ready, 204 while it starts."""
    return Response(status_code=200 if request.app.state.readiness.ready.is_set() else 204)


@router.get(
    "/health",
    dependencies=allowed(),
    responses=openapi.answers(openapi.HEALTH, 503),
    summary="Engine, voices, versions, load",
)
async def health(request: Request) -> dict[str, Any]:
    """The worker's health job, and the server's load."""
    if not request.app.state.readiness.ready.is_set():
        raise Refused("STARTING", "the worker is starting; wait until /ping is 200", headers={"Retry-After": "2"})
    jobs: Jobs = request.app.state.jobs
    answer = await jobs.manage({"type": "health"}, request)
    return {**answer, "jobs": {"running": jobs.places.running, "waiting": jobs.places.waiting}}


@router.get(
    "/metrics", dependencies=allowed(), response_class=Response, responses=openapi.METRICS, summary="For Prometheus"
)
async def prometheus(request: Request) -> Response:
    """Requests, seconds, jobs, memory, in Prometheus' text format."""
    counted: metrics.Metrics = request.app.state.metrics
    return Response(await asyncio.to_thread(counted.text), media_type=metrics.CONTENT_TYPE)
