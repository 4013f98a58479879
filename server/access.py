"""Who is asking, and whether they may: an API key with the scope that a route wants, and a rate.

Runs before a body is read. Where the server has no keys, it listens on this machine only (`settings`), and everyone
there may do everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security, params
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from server.errors import Refused
from server.keys import Key, KeyRing, Scope
from server.limits import RateLimit
from server.settings import ServerSettings

_BEARER = HTTPBearer(auto_error=False, description="An API key of this server.", scheme_name="bearer")
_HEADER = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    scheme_name="header",
    description="The same key, where a platform uses the Authorization header for its own.",
)


@dataclass(frozen=True)
class Caller:
    """Who asks, in what may be logged, and how many jobs they may have under way."""

    name: str
    jobs_at_once: int


class Gate:
    """The keys of one server, and what their holders have asked lately."""

    def __init__(self, keys: KeyRing, settings: ServerSettings) -> None:
        self._keys = keys
        self._per_minute = settings.requests_per_minute
        self._jobs_at_once = settings.jobs_of_one_caller
        self._failures_per_minute = settings.failures_per_minute
        self._open = settings.is_local and not keys
        self._asked, self._failed = RateLimit(), RateLimit()

    def admit(self, secret: str | None, scopes: tuple[Scope, ...], address: str) -> Caller:
        """The caller. scopes: any of them opens; none at all: any key does. Raises Refused."""
        self._open = self._open and not self._keys  # once there was a key, removing the last one lets nobody in
        if self._open:
            self._asked.take(f"address:{address}", self._per_minute)
            return Caller(f"address:{address}", self._jobs_at_once)
        key = self._keys.find(secret) if secret else None
        if key is None:
            self._failed.take(address, self._failures_per_minute)
            found = "the API key is wrong" if secret else "there is no API key"
            raise Refused(
                "UNAUTHORIZED",
                f"{found}; a key of this server is needed; send it as Authorization: Bearer or X-API-Key",
                headers={"WWW-Authenticate": "Bearer"},
                close=True,
            )
        self._asked.take(f"key:{key.name}", key.requests_per_minute or self._per_minute)
        if scopes and not set(scopes) & set(key.scopes):
            raise Refused(
                "FORBIDDEN",
                f"this key may {_may(key)}; here {' or '.join(scopes)} is needed; use a key that has it",
                close=True,
            )
        return Caller(key.name, key.jobs_at_once or self._jobs_at_once)


def _may(key: Key) -> str:
    return " and ".join(key.scopes)


def needs(*scopes: Scope) -> Callable[..., Awaitable[Caller]]:
    """A route's dependency: `Depends(needs("speak"))`."""

    async def caller(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        header: Annotated[str | None, Security(_HEADER)],
    ) -> Caller:
        gate: Gate = request.app.state.gate
        secret = header or (bearer.credentials if bearer else None)
        found = gate.admit(secret, scopes, request.client.host if request.client else "-")
        request.state.caller = found
        return found

    return caller


def allowed(*scopes: Scope) -> list[params.Depends]:
    """The same, for a route's `dependencies`."""
    found: params.Depends = Depends(needs(*scopes))
    return [found]
