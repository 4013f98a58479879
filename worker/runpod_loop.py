"""The worker under RunPod's SDK 1.12: an async handler, so that jobs run side by side, can be cancelled and can speak
while they run. The only module that knows the SDK.

Whole answers must stay plain dicts, so that the handler is no generator: under the SDK a generator makes every output a
list. Chunks and progress are posted here instead, with the SDK's own functions, one after the other and each before the
job's answer, which `progress_update` does not promise. Under --test_input and --rp_serve_api there is nobody to post
to, and a stream's chunks come in the answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

from worker.core import Worker, job_id_of
from worker.logs import fields
from worker.request import Output, Request

log = logging.getLogger("worker")

PROGRESS_EVERY_S = 2.0  # often enough for people to watch, seldom enough for the platform's rate limits

Job = dict[str, Any]


class Loop:
    """Serves one worker's jobs to the SDK."""

    def __init__(self, worker: Callable[[], Worker], *, on_platform: bool) -> None:
        """worker: makes it when first called. on_platform: the SDK runs its job loop, which hears running jobs."""
        self._worker = worker
        self._on_platform = on_platform

    def config(self) -> dict[str, Any]:
        """What `runpod.serverless.start` takes."""
        return {"handler": self.handle, "concurrency_modifier": lambda _current: self._max_concurrency}

    @property
    def _max_concurrency(self) -> int:
        return self._worker().settings.max_concurrency

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._max_concurrency, thread_name_prefix="job")

    async def handle(self, job: Job) -> Output:
        """The SDK's handler. A job that the platform stops raises CancelledError here; its thread sees the flag."""
        if not self._on_platform:
            return await self._answer(job, Request(job_id_of(job)))
        from runpod.http_client import AsyncClientSession

        async with AsyncClientSession() as session:
            channel = Channel(job, session, asyncio.get_running_loop())
            request = Request(job_id_of(job), on_progress=channel.progress, on_chunk=channel.chunk)
            try:
                return await self._answer(job, request)
            finally:
                await channel.close()

    async def _answer(self, job: Job, request: Request) -> Output:
        stopped = threading.Event()
        request.cancelled = stopped.is_set
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._worker().answer, job, request)
        try:
            output = await running
        except asyncio.CancelledError:
            stopped.set()
            raise
        if output.get("error", "").startswith("OUT_OF_MEMORY"):
            output["refresh_worker"] = True  # what filled the memory may be stuck there: a fresh process has it all
        return output

    async def finish_left_behind(self) -> None:
        """Answer jobs that the SDK took but will not start: it goes on taking until its open poll ends, also after
        SIGTERM has ended the part of it that starts jobs."""
        from runpod.http_client import AsyncClientSession
        from runpod.serverless.modules.rp_job import handle_job
        from runpod.serverless.modules.worker_state import JobsProgress

        jobs = [dict(vars(job)) for job in JobsProgress()]
        async with AsyncClientSession() as session:
            await asyncio.gather(*(handle_job(session, self.config(), job) for job in jobs))


class Channel:
    """What a running job tells the platform, from its own thread: at most one message is on its way, in order."""

    def __init__(self, job: Job, session: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._job, self._session, self._loop = job, session, loop
        self._on_its_way: Future[None] | None = None
        self._last_progress_s = time.monotonic()
        self._closed = False

    def chunk(self, chunk: Output) -> None:
        """Post one chunk of a stream. Returns while it is on its way, so that the next one is spoken meanwhile."""
        from runpod.serverless.modules.rp_http import stream_result

        self._post(stream_result(self._session, {"output": chunk}, self._job))

    def progress(self, done: int, total: int) -> None:
        """Post how far the job is, now and then; never at the end, where the answer says so."""
        from runpod.serverless.modules.rp_http import send_result

        now = time.monotonic()
        if done < total and now - self._last_progress_s >= PROGRESS_EVERY_S:
            self._last_progress_s = now
            update = {"segments_done": done, "segments": total}
            self._post(send_result(self._session, {"status": "IN_PROGRESS", "output": update}, self._job))

    async def close(self) -> None:
        """Until the last message has arrived: the answer must not overtake it."""
        self._closed = True
        if self._on_its_way is not None:
            await asyncio.wrap_future(self._on_its_way)

    def _post(self, message: Coroutine[Any, Any, None]) -> None:
        if self._on_its_way is not None:
            self._on_its_way.result()
        if self._closed:  # the job was stopped: its session is gone
            message.close()
            return
        self._on_its_way = asyncio.run_coroutine_threadsafe(self._sent(message), self._loop)

    async def _sent(self, message: Coroutine[Any, Any, None]) -> None:
        """The SDK's functions try three times, log, and go on where the platform refuses; so does this for the rest."""
        try:
            await message
        except Exception as error:  # noqa: BLE001 - a lost message must not turn the job's answer into a traceback
            log.warning(
                "a message to the platform was lost", extra=fields(self._job["id"], reason=type(error).__name__)
            )


def serves_locally(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the SDK will run one test job or its local API, and not the platform's job loop."""
    flags = {argument.partition("=")[0] for argument in arguments}
    realtime = environment.get("RUNPOD_REALTIME_PORT", "0") != "0"
    return bool(flags & {"--test_input", "--rp_serve_api"}) or realtime or not environment.get("RUNPOD_WEBHOOK_GET_JOB")
