"""What a browser could be tricked into: pages of other origins, rebound host names, scripts that are not ours.

ASGI middleware. Cross-origin calls are refused unless their origin was allowed; without keys the Host must be this
machine, so that no name can be bent to point here. Every answer forbids framing, sniffing, and scripts from elsewhere.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import Refused, response_of
from server.keys import KeyRing
from server.settings import ServerSettings, is_loopback

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",  # what was recorded or spoken, played from memory
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=()",
}


class BrowserGuard:
    """Wraps an app: what a foreign page sends does not get in, and what goes out cannot be misused."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, keys: KeyRing) -> None:
        self._app, self._settings, self._keys = app, settings, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        protected = self._protected(send)
        try:
            self._check(Headers(scope=scope))
        except Refused as refused:
            await response_of(refused, scope["path"])(scope, receive, protected)
            return
        await self._app(scope, receive, protected)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._settings.is_local and not self._keys and not is_loopback(host_name(host)):
            raise Refused(
                "MISDIRECTED",
                "the Host is not this machine; without API keys only localhost is allowed; use http://127.0.0.1",
                close=True,
            )
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode")
        origin = headers.get("origin")
        if origin is None and site not in ("none", "same-origin") and mode != "navigate":
            raise Refused(
                "FORBIDDEN",
                "a page elsewhere has put this address into itself; a link to it is allowed; link to it",
                close=True,
            )
        if origin is not None and origin not in self._settings.allow_origins and address_of(origin) != host:
            raise Refused(
                "FORBIDDEN",
                "the request comes from a page of another origin; allowed are this server's own; "
                "start it with --allow-origin for others",
                close=True,
            )

    def _protected(self, send: Send) -> Send:
        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        return protected


def host_name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def address_of(origin: str) -> str:
    """An Origin header without its scheme: what the Host header of a page's own server is."""
    return origin.partition("://")[2]
