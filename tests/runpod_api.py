"""What callers of an endpoint see: /run, /runsync, /status, /stream, /cancel and /health over the jobs of `Platform`.

Source: RunPod's "Operation reference". RunPod's own client library works against it (`RUNPOD_ENDPOINT_BASE_URL`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from runpod_platform import Job, Platform

MB = 1_000_000
INPUT_CAP_BYTES = {"run": 10 * MB, "runsync": 20 * MB}
DEFAULT_WAIT_MS, MAX_WAIT_MS = 90_000, 300_000


class PublicApi:
    """The routes, and which chunks of a stream were fetched already."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._fetched: dict[str, int] = {}  # job: chunks

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v2/ep/run", self._run)
        router.add_post("/v2/ep/runsync", self._runsync)
        router.add_get("/v2/ep/status/{job}", self._status)
        router.add_get("/v2/ep/stream/{job}", self._stream)
        router.add_post("/v2/ep/cancel/{job}", self._cancel)
        router.add_get("/v2/ep/health", self._health)

    async def _run(self, request: web.Request) -> web.Response:
        job = await self._queued(request, "run")
        return web.json_response({"id": job.id, "status": job.status})

    async def _runsync(self, request: web.Request) -> web.Response:
        job = await self._queued(request, "runsync")
        wait_ms = min(int(request.query.get("wait", DEFAULT_WAIT_MS)), MAX_WAIT_MS)
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._platform.ended(job), wait_ms / 1000)
        return web.json_response(_state(job))

    async def _queued(self, request: web.Request, kind: str) -> Job:
        if (request.content_length or 0) > INPUT_CAP_BYTES[kind]:
            raise web.HTTPBadRequest(text=f"the body is over {INPUT_CAP_BYTES[kind]} bytes")
        body = await request.json()
        if not isinstance(body, dict) or "input" not in body:
            raise web.HTTPBadRequest(text="input is missing")
        job_id = f"{'sync-' if kind == 'runsync' else ''}{uuid.uuid4()}-u1"
        return await self._platform.queue(job_id, body["input"], kind, body.get("webhook"))

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(_state(self._job(request)))

    async def _stream(self, request: web.Request) -> web.Response:
        job = self._job(request)
        start = self._fetched.get(job.id, 0)
        fresh = [{"output": chunk} for chunk in job.chunks[start:]]
        self._fetched[job.id] = start + len(fresh)
        return web.json_response({"status": job.status, "stream": fresh})

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        await self._platform.end_early(job, "CANCELLED")
        return web.json_response(_state(job))

    async def _health(self, _request: web.Request) -> web.Response:
        counts: dict[str, int] = {}
        for job in self._platform.jobs.values():
            counts[job.status] = counts.get(job.status, 0) + 1
        return web.json_response({"jobs": counts})

    def _job(self, request: web.Request) -> Job:
        job = self._platform.jobs.get(request.match_info["job"])
        if job is None:
            raise web.HTTPNotFound(text="job not found")
        return job


def _state(job: Job) -> dict[str, Any]:
    """A job as /status shows it. Times in ms."""
    now = time.monotonic()
    state: dict[str, Any] = {"id": job.id, "status": job.status}
    if job.taken_s:
        state["delayTime"] = round(1000 * (job.taken_s - job.submitted_s))
        state["executionTime"] = round(1000 * ((job.done_s or now) - job.taken_s))
    output = job.progress[-1] if job.status == "IN_PROGRESS" and job.progress else job.output
    return {
        **state,
        **({"output": output} if output is not None else {}),
        **({"error": job.error} if job.error else {}),
    }
