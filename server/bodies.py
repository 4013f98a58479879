"""Bodies, bounded before they are read: how large, how slow, how many at a time.

ASGI middleware. A compressed body is refused, not unpacked. Nothing here looks into a body. Slow headers and callers
who do not take their answer are the business of `protocol`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import Refused, response_of
from server.settings import MB, ServerSettings

UPLOADS = ("/generate", "/v1/voices")  # whose bodies may hold a recording


class BoundedBodies:
    """Wraps an app: what it receives is within the limits."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._settings, self._clock = app, settings, clock
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._settings.max_upload_bytes if scope["path"] in UPLOADS else self._settings.max_body_bytes
        try:
            _check_headers(scope, limit)
        except Refused as refused:
            await response_of(refused, scope["path"])(scope, receive, send)
            return
        body = _Body(self, receive, limit)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._held_bytes -= body.num_bytes

    def hold(self, num_bytes: int) -> None:
        """Raises Refused OVERLOADED where all bodies together are too much."""
        self._held_bytes += num_bytes
        if self._held_bytes > self._settings.max_bodies_bytes:
            raise Refused(
                "OVERLOADED",
                "the server holds as many large requests as it can; wait a little; then try again",
                headers={"Retry-After": "5"},
                close=True,
            )

    def deadline(self, started_s: float, num_bytes: int) -> float:
        return started_s + self._settings.body_timeout_s + num_bytes / self._settings.slowest_bytes_per_s

    def now(self) -> float:
        return self._clock()


class _Body:
    """One request's body as it comes."""

    def __init__(self, bounds: BoundedBodies, receive: Receive, limit: int) -> None:
        self._bounds, self._receive, self._limit = bounds, receive, limit
        self._started_s: float | None = None
        self._complete = False
        self.num_bytes = 0

    async def receive(self) -> Message:
        if self._complete:  # what comes now is the end of the connection, whenever that is
            return await self._receive()
        now = self._bounds.now()
        self._started_s = self._started_s or now
        left_s = self._bounds.deadline(self._started_s, self.num_bytes) - now
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left_s))
        except asyncio.TimeoutError as error:
            raise Refused(
                "TIMEOUT", "the body came too slowly; it must come without long pauses; send it again", close=True
            ) from error
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.num_bytes += size
            if self.num_bytes > self._limit:
                raise _too_large(self._limit)
            self._bounds.hold(size)
            self._complete = not message.get("more_body", False)
        return message


def _check_headers(scope: Scope, limit: int) -> None:
    headers = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"", b"identity"):
        raise Refused(
            "UNSUPPORTED_MEDIA_TYPE", "the body is compressed; allowed is a plain one; send it as it is", close=True
        )
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:19]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Refused:
    return Refused(
        "TOO_LARGE",
        f"the body is over {limit / MB:.0f} MiB; that is the limit here; send a shorter recording or text",
        close=True,
    )
