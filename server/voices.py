"""`/v1/voices`: the jobs on voices as HTTP resources, and what only HTTP offers: a voice's files to download and hear.

A voice in an address is its id, or else its name.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.datastructures import UploadFile

from generate_voice_embedding import SAMPLE_RATE_HZ, encode_embedding, utc_now
from server import answers, openapi
from server.access import allowed
from server.errors import Refused
from server.jobs import Jobs
from server.reading import json_object, media_type_of
from synthesis import Samples, encode
from voice_library import Voice
from worker.inputs import RegisterVoiceInput
from worker.request import Output

router = APIRouter(prefix="/v1/voices", tags=["voices"])

UPLOADS = ("reference_audio", "voice_embedding")
MAX_FORM_FIELD_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 64  # the job parser's
PREVIEW_TEXT = "Hello! This is how I sound when I read a sentence aloud."
PREVIEW_SEED = 1

VoiceInPath = Annotated[str, Path(min_length=1, max_length=200, description="A voice's id, or its name.")]


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def find(voice: str, jobs: Jobs, request: Request) -> Output:
    """The metadata of the voice with this id, or else of this name. Raises Refused."""
    if len(voice) <= MAX_ID_CHARACTERS:
        try:
            return await jobs.manage({"type": "get_voice", "voice_id": voice}, request)
        except Refused as refused:
            if refused.code != "VOICE_NOT_FOUND":
                raise
    return await jobs.manage({"type": "get_voice", "voice_name": voice}, request)


@router.get(
    "", dependencies=allowed("speak", "voices"), responses=openapi.answers(openapi.VOICES, 400), summary="List voices"
)
async def list_voices(
    request: Request,
    page_size: Annotated[int | None, Query(ge=1, le=1000)] = None,
    page_token: str | None = None,
    gender: Annotated[str | None, Query(min_length=1, max_length=40)] = None,
    name_prefix: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> dict[str, Any]:
    """A page of voices by name, and the token of the next one."""
    given = {"page_size": page_size, "page_token": page_token, "gender": gender, "name_prefix": name_prefix}
    asked = {name: value for name, value in given.items() if value is not None}
    return await _jobs(request).manage({"type": "list_voices", **asked}, request)


@router.post(
    "",
    status_code=201,
    dependencies=allowed("voices"),
    openapi_extra=openapi.REGISTER,
    responses=openapi.answers(openapi.REGISTERED, 400, 408, 409, 413, 415, 422, status=201),
    summary="Register a voice",
)
async def register_voice(request: Request) -> dict[str, Any]:
    """The fields of a `register_voice` job, as JSON with base64, or as a form with the file itself."""
    fields = await (_form(request) if media_type_of(request) == "multipart/form-data" else json_object(request))
    return await _jobs(request).manage({"type": "register_voice", **fields}, request)


async def _form(request: Request) -> dict[str, str]:
    """A form's fields, its file in base64 as the job has it. Raises Refused."""
    async with request.form(
        max_files=1, max_fields=len(RegisterVoiceInput.model_fields), max_part_size=MAX_FORM_FIELD_BYTES
    ) as form:
        fields: dict[str, str] = {}
        for name, value in form.multi_items():
            if name in fields:
                raise Refused("INVALID_INPUT", f"{name[:60]!r} is there twice; once is allowed; remove one")
            if isinstance(value, UploadFile) != (name in UPLOADS):
                found = "a file" if isinstance(value, UploadFile) else "no file"
                raise Refused(
                    "INVALID_INPUT", f"{name[:60]!r} is {found}; allowed as files are {', '.join(UPLOADS)}; correct it"
                )
            fields[name] = value if isinstance(value, str) else base64.b64encode(await value.read()).decode("ascii")
    return fields


@router.get(
    "/{voice}",
    dependencies=allowed("speak", "voices"),
    responses=openapi.answers(openapi.VOICE, 404),
    summary="One voice",
)
async def get_voice(voice: VoiceInPath, request: Request) -> dict[str, Any]:
    """What is known of a voice."""
    return await find(voice, _jobs(request), request)


@router.patch(
    "/{voice}",
    dependencies=allowed("voices"),
    openapi_extra=openapi.RENAME,
    responses=openapi.answers(openapi.VOICE, 400, 404, 409, 415),
    summary="Rename a voice",
)
async def rename_voice(voice: VoiceInPath, request: Request) -> dict[str, Any]:
    """`{"new_name": "..."}`. Its id stays."""
    fields = await json_object(request)
    found = await find(voice, _jobs(request), request)
    job_input = {**fields, "type": "rename_voice", "voice_id": found["voice_id"]}
    return await _jobs(request).manage(job_input, request)


@router.delete(
    "/{voice}",
    dependencies=allowed("voices"),
    responses=openapi.answers(openapi.VOICE, 404),
    summary="Delete a voice",
)
async def delete_voice(voice: VoiceInPath, request: Request) -> dict[str, Any]:
    """For good: its files are removed, and its id is not given out again."""
    found = await find(voice, _jobs(request), request)
    return await _jobs(request).manage({"type": "delete_voice", "voice_id": found["voice_id"]}, request)


@router.get(
    "/{voice}/embedding",
    dependencies=allowed("voices"),
    response_class=Response,
    responses=openapi.file("application/gzip", 404, 422),
    summary="Download a voice",
)
async def embedding(voice: VoiceInPath, request: Request) -> Response:
    """Its `.pkl.gz`, to register elsewhere or put into a tree."""

    def packed(found: Voice, samples: Samples) -> bytes:
        return encode_embedding(samples, found.name, str(found.metadata.get("created_at") or utc_now()))

    voice_id, body = await _of_voice(voice, request, packed)
    return _download(body, "application/gzip", f"{voice_id}.pkl.gz")


@router.get(
    "/{voice}/reference",
    dependencies=allowed("voices"),
    response_class=Response,
    responses=openapi.file("audio/wav", 404, 422),
    summary="Hear the recording of a voice",
)
async def reference(voice: VoiceInPath, request: Request) -> Response:
    """The reference audio as it is kept: 24 kHz, mono."""
    voice_id, body = await _of_voice(voice, request, lambda _found, audio: encode(audio, SAMPLE_RATE_HZ, "wav"))
    return _download(body, "audio/wav", f"{voice_id}.wav")


@router.get(
    "/{voice}/preview",
    dependencies=allowed("speak"),
    response_class=Response,
    responses=openapi.file("audio/mpeg", 404),
    summary="Hear a voice speak",
)
async def preview(voice: VoiceInPath, request: Request) -> Response:
    """One sentence, always the same, as mp3."""
    found = await find(voice, _jobs(request), request)
    job_input = {
        "type": "synthesize",
        "text": PREVIEW_TEXT,
        "voice_id": found["voice_id"],
        "format": "mp3",
        "seed": PREVIEW_SEED,
        "delivery": "inline",
    }
    return answers.whole(await _jobs(request).speak(job_input, request))


async def _of_voice(voice: str, request: Request, make: Callable[[Voice, Samples], bytes]) -> tuple[str, bytes]:
    """The voice's id, and what `make` makes of the voice and its samples. Raises Refused."""
    jobs = _jobs(request)
    voice_id = (await find(voice, jobs, request))["voice_id"]
    library = jobs.worker.library

    def work() -> bytes:
        found = library.get(voice_id=voice_id)
        return make(found, library.reference_audio(found))

    return voice_id, await jobs.in_library(work)


def _download(body: bytes, media_type: str, file_name: str) -> Response:
    """file_name holds an id, which is never more than letters, digits, `.`, `_` and `-`."""
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"', "Cache-Control": "private, no-store"}
    return Response(body, media_type=media_type, headers=headers)
