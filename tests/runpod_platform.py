"""RunPod's platform on loopback: the job API that the SDK's worker loop talks to, for tests and benchmarks.

It queues jobs, hands them out by long poll, takes answers, chunks and progress, stops cancelled jobs, queues the jobs
of a dead worker again, calls webhooks, and enforces the payload caps (400, and the answer is gone). Everything that
happens is an `Event` with a time. It serves from a thread of its own, so that plain tests can use it. It knows nothing
of what jobs mean. Sources: the SDK 1.12.0 (`rp_job`, `rp_http`, `rp_ping`), RunPod's documentation
("Job states", "Operation reference") for caps and times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aiohttp import ClientSession, ClientTimeout, web
from runpod_api import PublicApi

MB = 1_000_000
ANSWER_CAP_BYTES = {"run": 10 * MB, "runsync": 20 * MB}
CHUNK_CAP_BYTES = MB
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
T = TypeVar("T")


@dataclass
class Job:
    """One job and everything that became of it. Times are time.monotonic() seconds."""

    id: str
    input: Any
    kind: str = "run"  # "run" or "runsync": which cap its answer has
    webhook: str | None = None
    status: Status = "IN_QUEUE"
    output: Any = None
    error: str | None = None
    chunks: list[Any] = field(default_factory=list)
    progress: list[Any] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)  # everyone it was handed to, in order
    answers: int = 0  # final answers that arrived, the first of which counts
    submitted_s: float = 0.0
    taken_s: float = 0.0  # the last time it was handed out
    done_s: float = 0.0
    chunk_times_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    at_s: float
    kind: str  # the route's name, or "requeued", "webhook", "refused", "stop-pod", "late-progress", "broken"
    worker: str = ""
    job: str = ""
    detail: Any = None


class Platform:
    """A queue-based endpoint. `with Platform() as platform: …`; then `submit`, `wait`, `cancel`, `break_route`."""

    def __init__(self, *, poll_s: float = 2.0, dead_after_s: float = 4.0, execution_timeout_s: float = 600.0) -> None:
        """poll_s: how long job-take waits for a job; dead_after_s: silence after which a worker's jobs go back."""
        self.poll_s, self.dead_after_s, self.execution_timeout_s = poll_s, dead_after_s, execution_timeout_s
        self.jobs: dict[str, Job] = {}
        self.events: list[Event] = []
        self.url = ""
        self._queue: deque[str] = deque()
        self._stops: dict[str, list[str]] = {}  # worker: ids it must stop
        self._seen_s: dict[str, float] = {}  # worker: last ping
        self._broken: dict[str, tuple[int, float]] = {}  # route: status, until
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="platform", daemon=True)

    def __enter__(self) -> Platform:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *exc: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What tests do

    def submit(self, job_input: Any, *, kind: str = "run", webhook: str | None = None) -> Job:
        """Queue a job; synchronous requests have ids that start with "sync-", as on the platform."""
        job_id = f"{'sync-' if kind == 'runsync' else ''}{uuid.uuid4()}-u1"
        return self._call(self.queue(job_id, job_input, kind, webhook))

    def wait(self, *jobs: Job, timeout_s: float = 60.0) -> None:
        """Until every job has a final state. TimeoutError names those that have none."""
        self.until(lambda: all(job.status in FINAL for job in jobs), timeout_s, lambda: [
            f"{job.id} is {job.status}" for job in jobs if job.status not in FINAL
        ])  # fmt: skip

    def until(self, condition: Callable[[], bool], timeout_s: float, why: Callable[[], object] = lambda: "") -> None:
        async def changed() -> None:
            async with self._changed:
                await self._changed.wait_for(condition)

        try:
            self._call(asyncio.wait_for(changed(), timeout_s), timeout_s + 5)
        except (TimeoutError, asyncio.TimeoutError):
            raise TimeoutError(f"not true after {timeout_s:g} s: {why()}") from None

    def cancel(self, job: Job) -> None:
        """What POST /cancel does: a queued job never starts, a running one is stopped."""
        self._call(self.end_early(job, "CANCELLED"))

    def break_route(self, route: str, status: int, for_s: float) -> None:
        """Let `route` (job-take, job-take-batch, job-done, job-stream, job-stop, ping) answer `status` for a while."""
        self._broken[route] = (status, time.monotonic() + for_s)

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in list(self.events) if event.kind == kind]

    @property
    def webhook_url(self) -> str:
        """An address of this platform that records what it is sent as events of kind "webhook-received"."""
        return f"{self.url}/webhook"

    def worker_environment(self, worker: str) -> dict[str, str]:
        """The variables RunPod sets in a worker's container, pointing here."""
        base = f"{self.url}/v2/ep"
        return {
            "RUNPOD_POD_ID": worker,
            "RUNPOD_AI_API_KEY": "test-key",
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=X",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=X",
            "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=X",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=X",
            "RUNPOD_PING_INTERVAL": "1000",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }

    # What the public API asks, on the server's own loop

    async def queue(self, job_id: str, job_input: Any, kind: str, webhook: str | None) -> Job:
        job = self.jobs[job_id] = Job(job_id, job_input, kind, webhook, submitted_s=time.monotonic())
        self._queue.append(job_id)
        await self._tell()
        return job

    async def ended(self, job: Job) -> None:
        """Returns when the job has a final state."""
        async with self._changed:
            await self._changed.wait_for(lambda: job.status in FINAL)

    # What workers ask

    async def _take(self, request: web.Request) -> web.Response:
        worker, wanted = request.match_info["worker"], int(request.query.get("batch_size", "1"))
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            async with self._changed:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(self._queue)), self.poll_s)
                taken = [self._hand_out(worker) for _ in range(min(wanted, len(self._queue)))]
                return web.json_response(taken if request.path.startswith("/v2/ep/job-take-batch") else taken[0])
        return web.Response(status=204)

    def _hand_out(self, worker: str) -> dict[str, Any]:
        job = self.jobs[self._queue.popleft()]
        job.status, job.taken_s = "IN_PROGRESS", time.monotonic()
        job.workers.append(worker)
        self._seen_s.setdefault(worker, time.monotonic())
        self._note("job-take", worker, job.id)
        return {"id": job.id, "input": job.input, **({"webhook": job.webhook} if job.webhook else {})}

    async def _done(self, request: web.Request) -> web.Response:
        worker, job = request.match_info["worker"], self.jobs[request.match_info["job"]]
        body = await self._body(request, worker, job, ANSWER_CAP_BYTES[job.kind])
        if body.get("status") == "IN_PROGRESS":
            self._note("late-progress" if job.status in FINAL else "progress", worker, job.id, body.get("output"))
            job.progress.append(body.get("output"))
        else:
            job.answers += 1
            self._note(
                "job-done", worker, job.id, {"bytes": request.content_length, "stream": request.query["isStream"]}
            )
            if job.status not in FINAL:
                job.output, job.error = body.get("output"), body.get("error")
                await self._finish(job, "FAILED" if job.error else "COMPLETED")
            if body.get("stopPod"):
                self._note("stop-pod", worker, job.id)
        await self._tell()
        return web.json_response({})

    async def _stream(self, request: web.Request) -> web.Response:
        worker, job = request.match_info["worker"], self.jobs[request.match_info["job"]]
        body = await self._body(request, worker, job, CHUNK_CAP_BYTES)
        job.chunks.append(body["output"])
        job.chunk_times_s.append(time.monotonic())
        self._note("job-stream", worker, job.id, {"bytes": request.content_length})
        await self._tell()
        return web.json_response({})

    async def _body(self, request: web.Request, worker: str, job: Job, cap_bytes: int) -> dict[str, Any]:
        """The JSON that was sent; 400 where it is over the cap or no JSON, as the platform answers."""
        data = await request.read()
        try:
            if len(data) > cap_bytes:
                raise ValueError(f"{len(data)} bytes are over the cap of {cap_bytes}")  # noqa: TRY301
            body = json.loads(data, parse_constant=_refuse_constant)
        except ValueError as error:
            self._note("refused", worker, job.id, str(error))
            raise web.HTTPBadRequest(text=str(error)) from error
        assert isinstance(body, dict)
        return body

    async def _stop_signals(self, request: web.Request) -> web.Response:
        worker = request.match_info["worker"]
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            async with self._changed:
                await asyncio.wait_for(self._changed.wait_for(lambda: bool(self._stops.get(worker))), self.poll_s)
                self._note("job-stop", worker, detail=self._stops[worker])
                return web.json_response({"jobsToStop": self._stops.pop(worker)})
        return web.Response(status=204)

    async def _ping(self, request: web.Request) -> web.Response:
        worker = request.match_info["worker"]
        self._seen_s[worker] = time.monotonic()
        self._note("ping", worker, detail=dict(request.query))
        await self._tell()
        return web.json_response({})

    async def _webhook(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._note("webhook-received", job=body["id"], detail=body)
        await self._tell()
        return web.json_response({})

    # What happens by itself

    async def _finish(self, job: Job, status: Status) -> None:
        job.status, job.done_s = status, time.monotonic()
        if job.webhook:
            self._background.add(asyncio.create_task(self._call_webhook(job, job.webhook)))

    async def _call_webhook(self, job: Job, address: str) -> None:
        body = {"id": job.id, "status": job.status, "output": job.output, "error": job.error}
        async with self._client.post(address, json=body) as reply:
            self._note("webhook", job=job.id, detail=reply.status)

    async def end_early(self, job: Job, status: Status) -> None:
        """Take a job out of the queue, or tell its worker to stop it."""
        if job.status == "IN_QUEUE":
            self._queue.remove(job.id)
        elif job.status == "IN_PROGRESS":
            self._stops.setdefault(job.workers[-1], []).append(job.id)
        else:
            return
        await self._finish(job, status)
        await self._tell()

    async def _sweep(self) -> None:
        """Jobs of workers that fell silent go back to the front of the queue; jobs that run too long are stopped."""
        while True:
            await asyncio.sleep(0.2)
            now = time.monotonic()
            for job in [job for job in self.jobs.values() if job.status == "IN_PROGRESS"]:
                if now - self._seen_s[job.workers[-1]] > self.dead_after_s:
                    job.status = "IN_QUEUE"
                    self._queue.appendleft(job.id)
                    self._note("requeued", job.workers[-1], job.id)
                elif now - job.taken_s > self.execution_timeout_s:
                    await self.end_early(job, "TIMED_OUT")
            await self._tell()

    # The server

    async def _start(self) -> None:
        self._changed = asyncio.Condition()
        self._background: set[asyncio.Task[None]] = set()
        self._client = ClientSession(timeout=ClientTimeout(10))
        app = web.Application(middlewares=[self._maybe_broken], client_max_size=100 * MB)
        app.router.add_get("/v2/ep/job-take/{worker}", self._take)
        app.router.add_get("/v2/ep/job-take-batch/{worker}", self._take)
        app.router.add_post("/v2/ep/job-done/{worker}/{job}", self._done)
        app.router.add_post("/v2/ep/job-stream/{worker}/{job}", self._stream)
        app.router.add_get("/v2/ep/job-stop/{worker}", self._stop_signals)
        app.router.add_get("/v2/ep/ping/{worker}", self._ping)
        app.router.add_post("/webhook", self._webhook)
        PublicApi(self).add_routes(app.router)
        # A poll whose worker has gone must not take a job along.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://127.0.0.1:{1}".format(*self._runner.addresses[0][:2])
        self._background.add(asyncio.create_task(self._sweep()))

    async def _stop(self) -> None:
        for task in self._background:
            task.cancel()
        await self._client.close()
        await self._runner.cleanup()

    @web.middleware
    async def _maybe_broken(self, request: web.Request, handler: Any) -> web.StreamResponse:
        route = request.path.split("/")[3] if request.path.startswith("/v2/ep/") else ""
        status, until_s = self._broken.get(route, (0, 0.0))
        if time.monotonic() < until_s:
            self._note("broken", request.match_info.get("worker", ""), detail={"route": route, "status": status})
            return web.Response(status=status)
        response: web.StreamResponse = await handler(request)
        return response

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _note(self, kind: str, worker: str = "", job: str = "", detail: Any = None) -> None:
        self.events.append(Event(time.monotonic(), kind, worker, job, detail))

    def _call(self, work: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
