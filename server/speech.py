"""OpenAI's `POST /v1/audio/speech`, translated to a synthesize job: their clients speak to it unchanged.

What the engine cannot do as asked is refused in words, never ignored. Our own speaking options (`exaggeration`, `seed`,
...) may come along, as their clients' `extra_body` sends them.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response

from server import aac, answers, openapi
from server.access import allowed
from server.errors import Refused
from server.jobs import Jobs
from server.models import check_model
from server.reading import json_object
from server.voices import find
from synthesis import FORMATS, SAMPLE_RATE_HZ
from synthesis.audio_streams import STREAM_FORMATS
from worker.inputs import SynthesizeInput
from worker.request import Output

router = APIRouter(tags=["OpenAI"])

OPENAI_FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
# The voices that OpenAI's API documents (openai-python 3.57): here each means the engine's built-in voice.
# fmt: off
OPENAI_VOICES = frozenset((
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
))
# fmt: on
BUILTIN = "default"
# Of ours that may come along: how to speak, not what, in whose voice, or where to put it.
OWN_OPTIONS = tuple(
    name
    for name in SynthesizeInput.model_fields
    if name
    not in (
        "text",
        "voice_id",
        "voice_name",
        "reference_audio",
        "model",
        "format",
        "delivery",
        "stream",
        "speed",
        "subtitles",
    )
)
FIELDS = ("model", "input", "voice", "response_format", "speed", "stream_format", "instructions", *OWN_OPTIONS)
MIN_SPEED, MAX_SPEED = 0.25, 4.0  # OpenAI's
TOKENS_PER_S = 25  # Chatterbox's speech tokens


@router.post(
    "/v1/audio/speech",
    dependencies=allowed("speak"),
    openapi_extra=openapi.SPEECH,
    responses=openapi.SPEECH_ANSWERS,
    response_class=Response,
    summary="Speak, as OpenAI's API",
)
async def speech(request: Request) -> Response:
    """`voice` is a name or id of this server's, or one of OpenAI's, which is the built-in voice. The audio comes as it
    is spoken, flac excepted; `stream_format` is audio or sse."""
    body = await json_object(request)
    jobs: Jobs = request.app.state.jobs
    audio_format, as_events = _checked(body)
    await check_model(body.get("model"), jobs)
    job_input = {
        "type": "synthesize",
        "text": body.get("input"),
        "format": "pcm" if audio_format == "aac" else audio_format,
        "delivery": "inline",
        **{name: body[name] for name in OWN_OPTIONS if name in body},
        **await _voice(body.get("voice"), jobs, request),
    }
    if body.get("speed", 1) != 1:
        job_input["speed"] = body["speed"]
    chunks = _chunks(job_input, jobs, request)
    if as_events:
        return await answers.streamed(
            chunks, functools.partial(_events, num_characters=len(body["input"])), answers.EVENTS
        )
    if audio_format == "aac":
        return await answers.streamed(chunks, aac.Encoder(SAMPLE_RATE_HZ).encode, aac.MEDIA_TYPE)
    return await answers.streamed(chunks, answers.audio_of, FORMATS[audio_format].media_type)


async def _chunks(job_input: dict[str, Any], jobs: Jobs, request: Request) -> AsyncGenerator[Output, None]:
    """The job's chunks; a format that has to be whole, or a level, comes as one."""
    if job_input["format"] in STREAM_FORMATS and job_input.get("normalize") is None:
        async with aclosing(jobs.stream(job_input, request)) as chunks:
            async for chunk in chunks:
                yield chunk
    else:
        yield {**await jobs.speak(job_input, request), "last": True}


def _events(chunk: Output, num_characters: int) -> bytes:
    """OpenAI's events. It counts tokens; here they are the characters of the input and 25 a second of speech."""
    events = b""
    if chunk["audio"]:
        events = answers.event_of({"type": "speech.audio.delta", "audio": chunk["audio"]})
    if chunk["last"]:
        spoken = round(chunk["duration"] * TOKENS_PER_S)
        usage = {"input_tokens": num_characters, "output_tokens": spoken, "total_tokens": num_characters + spoken}
        events += answers.event_of({"type": "speech.audio.done", "usage": usage})
    return events


def _checked(body: dict[str, Any]) -> tuple[str, bool]:
    """The format, and whether it comes in events. Raises Refused for what OpenAI's API would not take, or we cannot."""
    for name in body:
        if name not in FIELDS:
            raise Refused("INVALID_INPUT", f"unknown field {name[:60]!r}; allowed are {', '.join(FIELDS)}; remove it")
    if not isinstance(body.get("input"), str):
        raise Refused("INVALID_INPUT", "input is no string; the text to speak is needed; send it")
    audio_format = body.get("response_format", "mp3")
    if audio_format not in OPENAI_FORMATS:
        raise Refused(
            "INVALID_INPUT", f"response_format is unknown; allowed are {', '.join(OPENAI_FORMATS)}; choose one"
        )
    if audio_format == "aac":
        aac.check()
    stream_format = body.get("stream_format", "audio")
    if stream_format not in ("audio", "sse"):
        raise Refused("INVALID_INPUT", "stream_format is unknown; allowed are audio and sse; choose one of them")
    if stream_format == "sse" and audio_format == "aac":
        raise Refused(
            "INVALID_INPUT", "stream_format is sse with aac; all other formats are allowed; choose one of them"
        )
    _check_speed(body.get("speed", 1))
    if body.get("instructions"):
        raise Refused(
            "INVALID_INPUT", "instructions are given; no engine here follows any; leave them out, or use exaggeration"
        )
    return audio_format, stream_format == "sse"


def _check_speed(speed: object) -> None:
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not MIN_SPEED <= speed <= MAX_SPEED:
        raise Refused("INVALID_INPUT", f"speed is out of range; allowed is {MIN_SPEED} to {MAX_SPEED:g}; correct it")
    if speed != 1 and "speed" not in SynthesizeInput.model_fields:
        raise Refused(
            "INVALID_INPUT",
            "speed is not 1; this worker speaks at its own speed only, and stretched speech would sound worse; "
            "leave speed out and set playbackRate in your player",
        )


async def _voice(voice: object, jobs: Jobs, request: Request) -> dict[str, str]:
    """The job's fields for a voice: a registered one by name or id, else one of OpenAI's names."""
    if isinstance(voice, dict) and set(voice) == {"id"}:
        voice = voice["id"]
    if not isinstance(voice, str) or not voice:
        raise Refused("INVALID_INPUT", "voice is missing; the name or id of a voice is needed; /v1/voices lists them")
    try:
        return {"voice_id": (await find(voice, jobs, request))["voice_id"]}
    except Refused as refused:
        if refused.code == "VOICE_NOT_FOUND" and voice.lower() in {*OPENAI_VOICES, BUILTIN}:
            return {}
        raise
