"""`POST /generate`: a synthesize job as RunPod's callers write it, answered as they expect, a file, or a stream."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from server import answers, openapi
from server.access import allowed
from server.errors import Refused
from server.jobs import Jobs
from server.reading import json_object
from synthesis import FORMATS

router = APIRouter(tags=["speech"])


@router.post(
    "/generate",
    dependencies=allowed("speak"),
    openapi_extra=openapi.GENERATE,
    responses=openapi.SPOKEN,
    response_class=JSONResponse,
    summary="Speak, as the worker's synthesize job",
)
async def generate(request: Request) -> Response:
    """The fields of a `synthesize` job, also inside `{"input": {...}}`. The answer is the job's: JSON with `audio` in
    base64. With `Accept: audio/*` it is the file itself. With `"stream": true` it comes in pieces as they are spoken:
    lines of JSON, with `Accept: text/event-stream` server-sent events, with `Accept: audio/*` the bytes of one file."""
    job_input = _synthesize_input(await json_object(request))
    jobs: Jobs = request.app.state.jobs
    accepts = _accepted(request)
    if job_input.get("stream") is True:
        encode, media_type = _STREAMS[accepts]
        return await answers.streamed(
            jobs.stream(job_input, request), encode, media_type or _media_type(job_input.get("format", "wav"))
        )
    answer = await jobs.speak(job_input, request)
    return answers.whole(answer) if accepts == "audio" else JSONResponse(answer)


_STREAMS: dict[str, tuple[answers.Encode, str]] = {
    "json": (answers.line_of, answers.NDJSON),
    "events": (answers.event_of, answers.EVENTS),
    "audio": (answers.audio_of, ""),  # the format's own
}


def _synthesize_input(body: dict[str, Any]) -> dict[str, Any]:
    """The job's input. Raises Refused for a job of another type: those have addresses of their own."""
    if isinstance(body.get("input"), dict) and set(body) <= {"input", "id"}:
        body = body["input"]
    if body.get("type", "synthesize") != "synthesize":
        raise Refused("INVALID_INPUT", "type is not synthesize; only that is answered here; for voices use /v1/voices")
    if "operation" in body:
        return body if body["operation"] == "tts" else {**body, "type": "synthesize"}  # the latter is refused by name
    return {**body, "type": "synthesize"}


def _accepted(request: Request) -> str:
    """What the caller would rather have: json, events or audio. The first it names that there is."""
    for entry in request.headers.get("accept", "").lower().split(","):
        media_type = entry.partition(";")[0].strip()
        if media_type.startswith("audio/"):
            return "audio"
        if media_type == answers.EVENTS:
            return "events"
        if media_type in ("application/json", answers.NDJSON):
            return "json"
    return "json"


def _media_type(format_name: object) -> str:
    return FORMATS[format_name].media_type if isinstance(format_name, str) and format_name in FORMATS else "audio/wav"
