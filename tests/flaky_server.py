"""A real HTTP server on loopback that gives the answers a test has laid out, one after the other; keeps requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """status 0 closes the connection without an answer; cut sends that many bytes less than promised."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Flaky:
    url: str
    replies: list[Reply]  # the last one is given again and again
    requests: list[tuple[float, str, str, Mapping[str, str]]] = field(
        default_factory=list
    )  # when, method, path, headers


@contextmanager
def flaky_server(*replies: Reply) -> Iterator[Flaky]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            state.requests.append((time.monotonic(), self.command, self.path, dict(self.headers)))
            reply = state.replies.pop(0) if len(state.replies) > 1 else state.replies[0]
            self.close_connection = True
            if reply.status == 0:
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])

        do_GET = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Flaky(f"http://127.0.0.1:{server.server_address[1]}", list(replies))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
