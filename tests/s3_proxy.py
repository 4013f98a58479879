"""A real TCP proxy on loopback that stands between boto3 and a store and spoils what a test tells it to.

It relays whole HTTP/1.1 requests and replies, so a fault hits exactly one exchange: the reply is lost after the store
has committed, a 500 takes the reply's place, a request is refused, delayed, or nothing answers at all. It knows HTTP,
but nothing of S3 or voices, and serves plain HTTP only.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """One request's first line and headers, as the client sent them."""

    method: str
    path: str
    headers: dict[str, str]  # lower-case names


@dataclass(frozen=True)
class Fault:
    """What happens to a request. At most one of refuse, lose_reply, fail_after and fail_before is set."""

    delay_s: float = 0.0  # before the request reaches the store
    refuse: bool = False  # the connection is cut before the store hears of it
    lose_reply: bool = False  # the store answers, then the connection is cut
    fail_after: bool = False  # the store answers; the client is told 500
    fail_before: bool = False  # the store hears nothing; the client is told 500
    status: int = 500  # what the client is told instead of 500


Rule = Callable[[Request], "Fault | None"]


class Proxy:
    """Listens on 127.0.0.1 and relays to `target_url`. `rule` is asked about every request; None lets it pass."""

    def __init__(self, target_url: str) -> None:
        target = urlsplit(target_url)
        self._target = (target.hostname or "", target.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.rule: Rule = lambda request: None
        self.partitioned = False  # while set, connections are cut as soon as something is sent
        self.seen: list[Request] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def once(self, method: str, path_part: str, fault: Fault) -> None:
        """The fault hits the first request with this method and part of the path; later ones pass."""
        left = [fault]

        def rule(request: Request) -> Fault | None:
            hit = request.method == method and path_part in request.path and left
            return left.pop() if hit else None

        self.rule = rule

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Exchanges of one client connection until either side ends it or a fault does."""
        try:
            with client, socket.create_connection(self._target) as server:
                from_client, from_server = client.makefile("rb"), server.makefile("rb")
                while self._exchange(client, from_client, server, from_server):
                    pass
        except OSError:
            pass  # either side went away; the other sees its connection end

    def _exchange(
        self, client: socket.socket, from_client: BinaryIO, server: socket.socket, from_server: BinaryIO
    ) -> bool:
        """One request and its reply; False when the connection is to end."""
        head, request = _read_head(from_client)
        if request is None or self.partitioned:
            return False
        self.seen.append(request)
        fault = self.rule(request) or Fault()
        time.sleep(fault.delay_s)
        if fault.refuse:
            return False
        if request.headers.get("expect") == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
        body = from_client.read(int(request.headers.get("content-length", 0)))
        if fault.fail_before:
            client.sendall(_error_reply(fault.status))
            return False
        server.sendall(head + body)
        reply = _read_reply(from_server, request.method)
        if fault.lose_reply or self.partitioned:
            return False
        client.sendall(_error_reply(fault.status) if fault.fail_after else reply)
        return not fault.fail_after and b"connection: close" not in reply[:2000].lower()


def _error_reply(status: int) -> bytes:
    return f"HTTP/1.1 {status} Spoilt\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _read_head(stream: BinaryIO) -> tuple[bytes, Request | None]:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            break
    if not lines or lines[-1] != b"\r\n":
        return b"", None
    method, path, *_ = lines[0].decode("latin-1").split(" ")
    pairs = (line.decode("latin-1").partition(":") for line in lines[1:-1])
    return b"".join(lines), Request(method, path, {name.strip().lower(): value.strip() for name, _, value in pairs})


def _read_reply(stream: BinaryIO, method: str) -> bytes:
    """A whole reply: head and body, by its length or in chunks."""
    head, first_line = _read_head(stream)
    if first_line is None:
        raise ConnectionError("the store closed the connection")
    status, headers = first_line.path, first_line.headers  # "HTTP/1.1 200 OK" splits like a request line
    if method == "HEAD" or status in ("204", "304"):
        return head
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return head + _read_chunks(stream)
    return head + stream.read(int(headers.get("content-length", 0)))


def _read_chunks(stream: BinaryIO) -> bytes:
    chunks = []
    while True:
        size_line = stream.readline()
        size = int(size_line.split(b";")[0], 16)
        chunks += [size_line, stream.read(size + 2)]
        if size == 0:
            return b"".join(chunks)
