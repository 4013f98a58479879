"""Audio behind the `audio_url` of an answer: fetched if the address is one that may be, and held against its promises.

A presigned address comes from the endpoint, so the key that opens the endpoint never goes there, no redirect is
followed, and a file in the private network is not fetched because an answer says so.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

import httpx

from client.errors import Unreachable, UnsafeDownload
from client.retries import Retries, exchange, pause
from client.steps import Flow, Read

DEFAULT_PORTS = {"https": 443, "http": 80}

MAGIC = {  # format: how such a file begins; headerless ones may begin with anything
    "wav": (b"RIFF",),
    "flac": (b"fLaC",),
    "opus": (b"OggS",),
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
}


@dataclass(frozen=True)
class Downloads:
    """What may be fetched."""

    hosts: tuple[str, ...] = ()  # "host" or "host:port", fetched from whatever they resolve to, and over http too
    max_bytes: int = 500_000_000

    def fetch(self, url: str, retries: Retries) -> Flow[bytes]:
        """The file behind url. Raises UnsafeDownload, TooManyRequests or Unreachable."""
        self.check(url)
        attempt = 1
        while True:
            try:
                return (yield from self._whole(url, retries))
            except httpx.TransportError as error:  # in the middle of the file
                if attempt >= retries.max_attempts:
                    raise Unreachable(
                        f"{_shown(url)} broke off {attempt} times ({type(error).__name__}); it is not whole; try later"
                    ) from error
            yield from pause(retries.pause_s(attempt))
            attempt += 1

    def _whole(self, url: str, retries: Retries) -> Flow[bytes]:
        response = yield from exchange(httpx.Request("GET", url), retries, repeatable=True, opened=True)
        if response.status_code != httpx.codes.OK:
            raise UnsafeDownload(
                f"{_shown(url)} answered {response.status_code}; a presigned address is good for a day; ask again"
            )
        pieces, size = [], 0
        while piece := (yield Read(response)):  # shorter than its Content-Length is a TransportError
            size += len(piece)
            if size > self.max_bytes:
                raise UnsafeDownload(
                    f"{_shown(url)} has more than {self.max_bytes:,} bytes; that many are allowed; raise the limit"
                )
            pieces.append(piece)
        return b"".join(pieces)

    def check(self, url: str) -> None:
        """Raises UnsafeDownload for an address that must not be fetched."""
        rule = "https to a public host, or a host you name, is allowed"
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UnsafeDownload(f"the audio_url is not an address; {rule}") from error
        host = parsed.host
        port = parsed.port or DEFAULT_PORTS.get(parsed.scheme, 0)
        if parsed.scheme not in DEFAULT_PORTS or not host or parsed.userinfo:
            raise UnsafeDownload(f"{_shown(url)} is not a plain web address; {rule}; check the worker's bucket")
        if host in self.hosts or f"{host}:{port}" in self.hosts:
            return
        if parsed.scheme != "https":
            raise UnsafeDownload(f"{_shown(url)} is not https; {rule}; name {host}:{port} if you trust it")
        if not all(address.is_global for address in _addresses(host, port)):
            raise UnsafeDownload(f"{_shown(url)} is in a private network; {rule}; name {host} if you trust it")


def check_format(audio: bytes, audio_format: str) -> None:
    """Raises UnsafeDownload where audio does not begin as a file of that format does."""
    beginnings = MAGIC.get(audio_format)
    if beginnings and not audio.startswith(beginnings):
        raise UnsafeDownload(f"what was fetched is no {audio_format} file; the worker's audio was expected; ask again")


def _addresses(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnsafeDownload(
            f"{host} cannot be resolved; a host that exists is needed; check the worker's bucket"
        ) from error
    return [ipaddress.ip_address(str(address[4][0]).partition("%")[0]) for address in found]


def _shown(url: str) -> str:
    """Without the signature in its query."""
    return url.partition("?")[0][:200]
