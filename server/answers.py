"""How audio leaves: whole, or in pieces as it is spoken, as bytes, lines of JSON or server-sent events.

A refusal before the first piece is an answer with its status; after it, the last line or event says so, and a stream
of bytes is cut off before its end, so that no caller takes a part for the whole.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from server.errors import Refused
from synthesis import FORMATS
from worker.logs import fields
from worker.request import Output

log = logging.getLogger("server")

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
Encode = Callable[[Output], bytes]


class Pieces(StreamingResponse):
    """A stream whose source is closed whatever becomes of it."""

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers}  # a proxy is not to collect it
        super().__init__(source, media_type=media_type, headers=headers)

    async def stream_response(self, send: Send) -> None:
        source: Any = self.body_iterator
        async with aclosing(source):
            try:
                await super().stream_response(send)
            except Refused as refused:  # too late for a status: the connection is closed before the stream's end
                log.info("stream cut off", extra=fields(code=refused.code))


async def streamed(chunks: AsyncGenerator[Output, None], encode: Encode, media_type: str) -> Pieces:
    """The answer in pieces. Returns when there is a first one; raises Refused where there is none."""
    first = await anext(chunks)
    on_failure = _failure_of(encode) if media_type in (NDJSON, EVENTS) else None
    return Pieces(_encoded(first, chunks, encode, on_failure), media_type, facts_of(first))


async def _encoded(
    first: Output, chunks: AsyncGenerator[Output, None], encode: Encode, on_failure: Callable[[Refused], bytes] | None
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        try:
            if piece := encode(first):
                yield piece
            async for chunk in chunks:
                if piece := encode(chunk):
                    yield piece
        except Refused as refused:
            if on_failure is None:
                raise
            yield on_failure(refused)


def audio_of(output: Output) -> bytes:
    """The audio of a chunk, or of a whole answer."""
    return base64.b64decode(output["audio"])


def line_of(chunk: Output) -> bytes:
    return json.dumps(chunk, ensure_ascii=False).encode() + b"\n"


def event_of(value: Output) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _failure_of(encode: Encode) -> Callable[[Refused], bytes]:
    frame = line_of if encode is line_of else event_of
    return lambda refused: frame({"error": f"{refused.code}: {refused}"})


def whole(answer: Output) -> Response:
    """A whole answer as the file it holds. Where it lies in the bucket, the caller is sent there."""
    headers = {"Cache-Control": "no-store", **facts_of(answer)}
    if "audio" not in answer:
        return Response(status_code=303, headers={**headers, "Location": answer["audio_url"]})
    return Response(audio_of(answer), media_type=FORMATS[answer["format"]].media_type, headers=headers)


def facts_of(output: Output) -> dict[str, str]:
    """What an answer's headers say of it: numbers and ids, never a name or text."""
    names = {"sample_rate": "X-Sample-Rate", "duration": "X-Duration", "seed": "X-Seed", "engine": "X-Engine"}
    return {header: str(output[name]) for name, header in names.items() if output.get(name) is not None}
