"""What is done on the wire, said once for the sync and the async client.

A call is a generator, a `Flow`: it yields the request it wants sent, or the seconds it wants to wait, is sent the
response (or thrown the transport's error), and returns its result. `run` and `run_async` are the only code that waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Send a request; the whole response comes back, whatever its status."""

    request: httpx.Request


@dataclass(frozen=True)
class Open:
    """Send a request; on a 200 the response comes back as soon as its headers are there, else whole."""

    request: httpx.Request


@dataclass(frozen=True)
class Read:
    """The next piece of an opened response comes back; b"" at its end, when it is closed."""

    response: httpx.Response


@dataclass(frozen=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Emit:
    """Hand a piece of audio to the caller of a stream."""

    audio: bytes


Step: TypeAlias = Send | Open | Read | Wait
Flow: TypeAlias = Generator[Step, Any, T]  # a call
StreamFlow: TypeAlias = Generator[Step | Emit, Any, T]  # a call that hands out pieces before it returns


def run(flow: Flow[T], http: httpx.Client, sleep: Callable[[float], object] = time.sleep) -> T:
    """The flow's result."""
    with SyncSteps(http, sleep) as steps:
        try:
            step = next(flow)
            while True:
                step = advance(flow, *steps.outcome(step))
        except StopIteration as end:
            result: T = end.value
            return result


async def run_async(flow: Flow[T], http: httpx.AsyncClient) -> T:
    """The flow's result."""
    async with AsyncSteps(http) as steps:
        try:
            step = next(flow)
            while True:
                step = advance(flow, *await steps.outcome(step))
        except StopIteration as end:
            result: T = end.value
            return result


def pieces(flow: StreamFlow[Any], http: httpx.Client) -> Iterator[bytes]:
    """What the flow emits."""
    with SyncSteps(http) as steps:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Emit):
                    yield step.audio
                    step = next(flow)
                else:
                    step = advance(flow, *steps.outcome(step))
        except StopIteration:
            return
        finally:
            flow.close()


async def pieces_async(flow: StreamFlow[Any], http: httpx.AsyncClient) -> AsyncIterator[bytes]:
    """What the flow emits."""
    async with AsyncSteps(http) as steps:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Emit):
                    yield step.audio
                    step = next(flow)
                else:
                    step = advance(flow, *await steps.outcome(step))
        except StopIteration:
            return
        finally:
            flow.close()


def advance(flow: Generator[Any, Any, Any], value: Any, error: Exception | None) -> Any:
    """The flow's next step, after this outcome of its last one."""
    return flow.throw(error) if error is not None else flow.send(value)


class SyncSteps:
    """Steps done in this thread. Whatever they have opened is closed at the end of the block."""

    def __init__(self, http: httpx.Client, sleep: Callable[[float], object] = time.sleep) -> None:
        self._http, self._sleep = http, sleep
        self._open: dict[httpx.Response, Iterator[bytes]] = {}

    def __enter__(self) -> SyncSteps:
        return self

    def __exit__(self, *_exception: object) -> None:
        for response in self._open:
            response.close()

    def outcome(self, step: Step) -> tuple[Any, Exception | None]:
        """What a step gave, or the transport's error."""
        try:
            return self._do(step), None
        except httpx.TransportError as error:
            return None, error

    def _do(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return self._sleep(step.seconds)
        if isinstance(step, Send):
            return self._http.send(step.request)
        if isinstance(step, Read):
            return next(self._open[step.response], b"")
        response = self._http.send(step.request, stream=True)
        self._open[response] = response.iter_bytes()
        if response.status_code != httpx.codes.OK:
            response.read()
        return response


class AsyncSteps:
    """Steps done in the running event loop. Whatever they have opened is closed at the end of the block."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: dict[httpx.Response, AsyncIterator[bytes]] = {}

    async def __aenter__(self) -> AsyncSteps:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for response in self._open:
            await response.aclose()

    async def outcome(self, step: Step) -> tuple[Any, Exception | None]:
        """What a step gave, or the transport's error."""
        try:
            return await self._do(step), None
        except httpx.TransportError as error:
            return None, error

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Send):
            return await self._http.send(step.request)
        if isinstance(step, Read):
            return await anext(self._open[step.response], b"")
        response = await self._http.send(step.request, stream=True)
        self._open[response] = response.aiter_bytes()
        if response.status_code != httpx.codes.OK:
            await response.aread()
        return response
