"""The outermost layer: every request gets an id, a log line, and its place in the metrics; a failure gets an answer.

The id is the job's too, so that the worker's lines are found by it. One that the caller sends is taken if it is made of
letters, digits, `.`, `_` and `-`: nothing that could end a log line or a header.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import CLIENT_CLOSED_REQUEST
from server.metrics import Metrics
from worker.logs import fields

log = logging.getLogger("server")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are counted as one


class Observed:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        request_id = _id_of(Headers(scope=scope))
        scope.setdefault("state", {})["id"] = request_id
        status = CLIENT_CLOSED_REQUEST  # until there is an answer

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            self._tell(scope, request_id, status, time.perf_counter() - started_s)

    def _tell(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route, method = _route_of(scope), scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.answered(route, method, status, seconds)
        level = logging.DEBUG if route in ("/ping", "/metrics") else logging.INFO  # asked every few seconds
        caller = getattr(scope["state"].get("caller"), "name", None)
        log.log(
            level,
            "request",
            extra=fields(request_id, method=method, route=route, status=status, caller=caller, total_s=seconds),
        )


def _id_of(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else f"http-{secrets.token_hex(8)}"


def _route_of(scope: Scope) -> str:
    """The route's template, not the path: a path may be anything, and metrics would grow without end."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "other"
