"""What `/openapi.json` says besides the routes: bodies, answers, examples. Data only.

Schemas of jobs are the worker's own (`worker.inputs`), so that no range stands in two places.
"""

from __future__ import annotations

from typing import Any

from worker.errors import CODES
from worker.inputs import RegisterVoiceInput, RenameVoiceInput, SynthesizeInput

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

ABOUT: dict[str, Any] = {
    "title": "worker-chatterbox",
    "version": "1",
    "summary": "Speech in cloned voices.",
    "description": (
        "Register a recording once, then speak any text in that voice. `/generate` takes the worker's own job; "
        "`/v1/audio/speech` is OpenAI's. Failures have a code and one line: what was wrong; what is allowed; what to "
        f"do. Codes: {', '.join(CODES)}, and of HTTP itself UNAUTHORIZED, FORBIDDEN, RATE_LIMITED, OVERLOADED and "
        "others. On `/v1` they come in OpenAI's shape, in lower case."
    ),
    "license_info": {"name": "MIT", "identifier": "MIT"},
}


def _json(schema: Schema, **examples: Any) -> dict[str, Any]:
    named = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    return {"application/json": {"schema": schema, **({"examples": named} if named else {})}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _without(schema: Schema, *names: str) -> Schema:
    kept = {name: value for name, value in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", ()) if name not in names]
    return {**schema, "properties": kept, "required": required}


STRING, NUMBER, INTEGER, BINARY = (
    {"type": "string"},
    {"type": "number"},
    {"type": "integer"},
    {"type": "string", "format": "binary"},
)
OR_NULL = {"type": ["string", "null"]}
EVENT = {"type": "object", "properties": {"data": {"type": "string", "description": "JSON"}}, "required": ["data"]}

ERROR = _object(("error",), error=STRING)
OPENAI_ERROR = _object(
    ("error",),
    error=_object(("message", "type", "code"), message=STRING, type=STRING, param=OR_NULL, code=STRING),
)
_FAILED = {"description": "Refused: what was wrong; what is allowed; what to do."}
# Any refusal, in either shape: which one, the address decides.
FAILURE = {**_FAILED, "content": _json({"anyOf": [ERROR, OPENAI_ERROR]})}


def answers(schema: Schema, *codes: int, status: int = 200, **examples: Any) -> Responses:
    """Responses of a route that answers JSON; codes: the refusals that are its own."""
    return {
        status: {"description": "Done.", "content": _json(schema, **examples)},
        **dict.fromkeys((*codes, 401, 403, 429), FAILURE),
        "default": FAILURE,
    }


def file(media_type: str, *codes: int) -> Responses:
    """Responses of a route that answers a file."""
    found = {"description": "The file.", "content": {media_type: {"schema": BINARY}}}
    return {200: found, **dict.fromkeys((*codes, 401, 403, 429), FAILURE), "default": FAILURE}


# ---------------------------------------------------------------- speech

_AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/mpeg", "audio/ogg", "audio/pcm", "audio/basic", "audio/aac")
_AUDIO = {media_type: {"schema": BINARY} for media_type in _AUDIO_TYPES}

SPOKEN_ANSWER = _object(
    ("format", "sample_rate", "duration", "engine", "seed", "timings"),
    audio={**STRING, "description": "base64"},
    audio_url={**STRING, "description": "instead of audio, where the answer lies in the bucket"},
    expires_at=STRING,
    format=STRING,
    sample_rate=INTEGER,
    duration={**NUMBER, "description": "seconds"},
    voice_id=OR_NULL,
    voice_name=OR_NULL,
    engine=STRING,
    seed=INTEGER,
    timings={"type": "object"},
)

GENERATE = _body(
    _json(
        {
            **SynthesizeInput.model_json_schema(),
            "properties": {
                "type": {"type": "string", "enum": ["synthesize"]},
                **SynthesizeInput.model_json_schema()["properties"],
            },
        },
        plain={"text": "Hello there."},
        in_a_voice={"text": "Any text, however long.", "voice_name": "Anna", "format": "mp3", "seed": 7},
        as_a_stream={"text": "First sentence. Second sentence.", "format": "pcm", "stream": True},
    )
)
SPOKEN: Responses = {
    200: {
        "description": "JSON with `audio` in base64; with `Accept: audio/*` the file; a stream in lines or events.",
        "content": {
            **_json(SPOKEN_ANSWER),
            "application/x-ndjson": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": EVENT},
            **_AUDIO,
        },
    },
    303: {"description": "With `Accept: audio/*`: the file lies in the bucket."},
    **dict.fromkeys((400, 401, 403, 404, 408, 413, 415, 422, 429), FAILURE),
    "default": FAILURE,
}

_OWN = _without(
    SynthesizeInput.model_json_schema(),
    *(
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
    ),
)["properties"]
SPEECH = _body(
    _json(
        {
            **_object(
                ("model", "input", "voice"),
                model={**STRING, "description": "one of /v1/models"},
                input={"type": "string", "minLength": 1, "maxLength": 100_000},
                voice={
                    "description": "name or id of a voice, or one of OpenAI's names for the built-in voice",
                    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, _object(("id",), id=STRING)],
                },
                response_format={
                    "type": "string",
                    "enum": ["mp3", "opus", "aac", "flac", "wav", "pcm"],
                    "default": "mp3",
                },
                speed={"type": "number", "minimum": 0.25, "maximum": 4, "default": 1},
                stream_format={"type": "string", "enum": ["audio", "sse"], "default": "audio"},
                instructions={"type": "string", "description": "refused unless empty: no engine follows any"},
                **_OWN,
            ),
            "additionalProperties": False,
        },
        plain={"model": "tts-1", "input": "Hello there.", "voice": "alloy"},
        in_a_voice={"model": "tts-1", "input": "Hello there.", "voice": "Anna", "response_format": "wav", "seed": 7},
        as_events={"model": "tts-1", "input": "Hello there.", "voice": "alloy", "stream_format": "sse"},
    )
)
SPEECH_ANSWERS: Responses = {
    200: {
        "description": "The audio as it is spoken, or events.",
        "content": {**_AUDIO, "text/event-stream": {"schema": EVENT}},
    },
    **dict.fromkeys((400, 401, 403, 404, 408, 413, 415, 429), FAILURE),
    "default": FAILURE,
}
MODEL = _object(("id", "object"), id=STRING, object=STRING, created=INTEGER, owned_by=STRING)
MODELS = _object(("object", "data"), object=STRING, data={"type": "array", "items": MODEL})

# ---------------------------------------------------------------- voices

VOICE = _object(
    ("voice_id", "speaker_name", "gender"),
    voice_id=STRING,
    speaker_name=STRING,
    gender=STRING,
    duration={"type": ["number", "null"]},
    sample_rate={"type": ["integer", "null"]},
    created_at=OR_NULL,
    description=OR_NULL,
)
VOICES = _object(
    ("voices", "total", "next_page_token"),
    voices={"type": "array", "items": VOICE},
    total=INTEGER,
    next_page_token=OR_NULL,
)
_REGISTER = RegisterVoiceInput.model_json_schema()
REGISTER = _body(
    {
        **_json(
            _REGISTER,
            recording={"voice_name": "Anna", "gender": "female", "reference_audio": "UklGRiQA..."},
            embedding={"voice_name": "Anna", "voice_embedding": "H4sIAAAA...", "on_conflict": "replace"},
        ),
        "multipart/form-data": {
            "schema": {
                **_REGISTER,
                "properties": {
                    **dict.fromkeys(_REGISTER["properties"], STRING),
                    "reference_audio": BINARY,
                    "voice_embedding": BINARY,
                },
            }
        },
    }
)
REGISTERED = _object(
    ("voice_id", "voice_name", "duration", "sample_rate"),
    voice_id=STRING,
    voice_name=STRING,
    duration=NUMBER,
    sample_rate=INTEGER,
    report={"type": "object", "description": "what the recording is like"},
)
RENAME = _body(
    _json(_without(RenameVoiceInput.model_json_schema(), "voice_id", "voice_name"), rename={"new_name": "Anne"})
)

# ---------------------------------------------------------------- the server

HEALTH = _object(("status", "engine", "model", "device", "voices"), status=STRING, engine=STRING, model=STRING)
PING: Responses = {200: {"description": "Ready."}, 204: {"description": "Starting."}, "default": FAILURE}
METRICS: Responses = {
    200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": STRING}}},
    401: FAILURE,
    "default": FAILURE,
}
