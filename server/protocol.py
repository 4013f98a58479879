"""One HTTP connection: uvicorn's h11 protocol with the two clocks that it lacks.

Headers must be complete in time, the first ones of a connection included, and what was sent must be taken in time;
otherwise the connection is cut. So neither a caller who sends a byte a minute nor one who stops reading holds anything
for long.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """Cuts connections that stall. Its times are set by `with_timeouts`."""

    header_timeout_s = 15.0
    send_timeout_s = 60.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # between requests, or in the middle of headers
            if self.conn.trailing_data[0]:
                self._await_headers()
        else:
            self._stop_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self.send_timeout_s, self._cut)

    def resume_writing(self) -> None:
        self._stop_send_timer()
        super().resume_writing()

    def _await_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_timeout_s, self._cut)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _cut(self) -> None:
        self.transport.abort()


def with_timeouts(header_timeout_s: float, send_timeout_s: float) -> type[TimedProtocol]:
    """The protocol class of a server with these times."""
    return type(
        "ServerProtocol", (TimedProtocol,), {"header_timeout_s": header_timeout_s, "send_timeout_s": send_timeout_s}
    )
