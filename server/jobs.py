"""Jobs from the event loop: each on a thread, through `Worker.answer`, watched for callers who leave.

A caller who hangs up while the job waits gives its place away at once; while it runs, the job sees it as cancelled.
Knows no routes and no formats.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request as HttpRequest

from server.access import Caller
from server.errors import Refused
from server.limits import Places
from server.metrics import Metrics
from worker.core import Worker
from worker.errors import describe
from worker.request import Output, Request

T = TypeVar("T")

MAX_CHUNKS_AHEAD = 64  # that wait for a slow caller before its job waits too: minutes of speech
LOOKING_AGAIN_S = 0.25
LIBRARY_THREADS = 8

_END = None


class Jobs:
    """One worker's jobs. Speaking and the voices have threads of their own: a list is not to wait for a chapter."""

    def __init__(self, worker: Worker, running: int, waiting: int, metrics: Metrics) -> None:
        self.worker = worker
        self.places = Places(running, waiting)
        self._metrics = metrics
        self._speaking = ThreadPoolExecutor(running, thread_name_prefix="job")
        self._library = ThreadPoolExecutor(LIBRARY_THREADS, thread_name_prefix="library")
        metrics.watch(self.places)

    async def speak(self, job_input: dict[str, Any], http: HttpRequest) -> Output:
        """The whole answer of a synthesis. Raises Refused."""
        stopped = threading.Event()
        request = Request(http.state.id, cancelled=stopped.is_set)
        gone = asyncio.create_task(left(http))
        try:
            await self._place(http, gone)
            running = self._start(job_input, request, http)
            either: set[asyncio.Future[Any]] = {running, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                stopped.set()
            answer = _checked(await running)
            self._metrics.spoken(answer, request)
            return answer
        finally:
            stopped.set()
            gone.cancel()

    async def stream(self, job_input: dict[str, Any], http: HttpRequest) -> AsyncGenerator[Output, None]:
        """The chunks of a synthesis, the last with the totals. To be closed when nobody takes them any more. Raises
        Refused, before the first chunk or between two."""
        stopped, room = threading.Event(), threading.Semaphore(MAX_CHUNKS_AHEAD)
        loop, chunks = asyncio.get_running_loop(), asyncio.Queue[Output | None]()

        def take(chunk: Output) -> None:
            while not stopped.is_set():  # looked at again and again: the caller may leave while there is no room
                if room.acquire(timeout=LOOKING_AGAIN_S):
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                    return

        request = Request(http.state.id, cancelled=stopped.is_set, on_chunk=take)
        gone = asyncio.create_task(left(http))
        gone.add_done_callback(lambda _task: stopped.set())
        try:
            await self._place(http, gone)
            running = self._start({**job_input, "stream": True}, request, http)
            running.add_done_callback(lambda _future: chunks.put_nowait(_END))
            first = True
            while (chunk := await chunks.get()) is not _END:
                room.release()
                if first:
                    self._metrics.first_chunk(request)
                    first = False
                yield chunk
            self._metrics.spoken(_checked(await running), request)
        finally:
            stopped.set()
            gone.cancel()

    async def manage(self, job_input: dict[str, Any], http: HttpRequest) -> Output:
        """The answer of a job on voices, or of a health job. Raises Refused. Not cancelled: it is short, and done whole
        or not at all."""
        request = Request(http.state.id)
        job = {"id": http.state.id, "input": job_input}
        return _checked(await self.in_library(lambda: self.worker.answer(job, request)))

    async def in_library(self, work: Callable[[], T]) -> T:
        """What work returns, on a thread of the voices'. What it raises is a Refused."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._library, work)
        except Exception as error:
            line = describe(error)
            if line.startswith("INTERNAL"):
                raise  # the boundary logs it
            raise Refused.of_line(line) from error

    async def _place(self, http: HttpRequest, gone: asyncio.Task[None]) -> None:
        """Waits for a place. Raises Refused: the caller left meanwhile, or too many wait."""
        caller: Caller = http.state.caller
        mine = asyncio.create_task(self.places.take(caller.name, caller.jobs_at_once))
        try:
            await asyncio.wait({mine, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            mine.add_done_callback(lambda place: self._give_back(place, caller))
            mine.cancel()
            raise
        if not mine.done():
            mine.cancel()
            raise Refused("CANCELLED", "the caller left while the job waited; nothing was done; send it again")
        await mine

    def _give_back(self, place: asyncio.Task[None], caller: Caller) -> None:
        if not place.cancelled() and place.exception() is None:
            self.places.leave(caller.name)

    def _start(self, job_input: dict[str, Any], request: Request, http: HttpRequest) -> asyncio.Future[Output]:
        """The job, on a thread; its place is given away when it ends, whoever still waits for it."""
        job = {"id": request.job_id, "input": job_input}
        running = asyncio.get_running_loop().run_in_executor(self._speaking, self.worker.answer, job, request)
        running.add_done_callback(lambda _future: self.places.leave(http.state.caller.name))
        return running


async def left(http: HttpRequest) -> None:
    """Returns when the caller has hung up. The body must have been read."""
    while (await http.receive())["type"] != "http.disconnect":
        continue


def _checked(answer: Output) -> Output:
    if "error" in answer:
        raise Refused.of_line(answer["error"])
    return answer
