"""When a request is sent again, and how long to wait before: exponential, jittered, and never sooner than asked."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from client.errors import TooManyRequests, Unreachable
from client.steps import Flow, Open, Send, Wait

IN_TROUBLE = (500, 502, 503, 504)  # statuses of a server or proxy in trouble, which may pass
NOT_EXECUTED = (429, 503)  # with these nothing was begun: even what must not be done twice may be sent again
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)  # the request never left


@dataclass(frozen=True)
class Retries:
    """How patient a client is."""

    max_attempts: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_retry_after_s: float = 120.0  # a server that asks for more is taken to have refused

    def pause_s(self, attempt: int, asked_s: float | None = None) -> float:
        """After attempt number `attempt` (from 1): doubling, somewhere in its upper half; asked_s: Retry-After."""
        longest = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (attempt - 1))
        pause = longest * random.uniform(0.5, 1)
        if asked_s is None:
            return pause
        return asked_s + random.uniform(0, self.first_pause_s)  # all who were told the same do not come at once


def exchange(
    request: httpx.Request, retries: Retries, *, repeatable: bool, opened: bool = False
) -> Flow[httpx.Response]:
    """The response, of whatever status, sent again while that can help.

    repeatable: doing it twice is as good as once. opened: the body is read later (`Open`).
    Raises TooManyRequests or Unreachable when all attempts are used up.
    """
    attempt = 1
    while True:
        try:
            response: httpx.Response = yield (Open if opened else Send)(request)
        except httpx.TransportError as error:
            if attempt >= retries.max_attempts or not (repeatable or isinstance(error, NOT_SENT)):
                raise Unreachable(_unreachable(request, error, attempt)) from error
            asked_s = None
        else:
            status = response.status_code
            asked_s = retry_after_s(response)
            again = status in NOT_EXECUTED or (repeatable and status in IN_TROUBLE)
            if not again:
                return response
            if attempt >= retries.max_attempts or (asked_s or 0) > retries.longest_retry_after_s:
                return _given_up(response, asked_s, attempt)
        yield from pause(retries.pause_s(attempt, asked_s))
        attempt += 1


def pause(seconds: float) -> Flow[None]:
    """Wait."""
    yield Wait(seconds)


def retry_after_s(response: httpx.Response) -> float | None:
    """The seconds of a Retry-After header, in either of its forms; None where there is none that can be read."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _given_up(response: httpx.Response, asked_s: float | None, attempts: int) -> httpx.Response:
    """A 429 as its error; other statuses go to whoever can read the answer's body."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wish = f", which asks to wait {asked_s:g} s" if asked_s else ""
        raise TooManyRequests(
            f"{response.request.url.host} takes no more requests now{wish}; {attempts} attempts were made; "
            "send fewer at a time or try later",
            retry_after_s=asked_s,
        )
    return response


def _unreachable(request: httpx.Request, error: httpx.TransportError, attempts: int) -> str:
    return (
        f"no answer from {request.url.host} ({type(error).__name__}) in {attempts} attempts; a server that listens "
        "there is needed; check the address and that it runs"
    )
