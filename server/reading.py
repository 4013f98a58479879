"""A request's body as an object: JSON, of the right type and no other. What is in it, the worker checks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from fastapi import Request

from server.errors import Refused

BLOCKING_BYTES = 256 * 1024  # JSON above this is parsed on a thread


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Refused."""
    media_type = media_type_of(request)
    if media_type != "application/json":
        raise Refused(
            "UNSUPPORTED_MEDIA_TYPE",
            "the Content-Type is not one that is read here; allowed is application/json; set it",
            close=True,
        )
    body = await request.body()
    value = await asyncio.to_thread(_parsed, body) if len(body) > BLOCKING_BYTES else _parsed(body)
    if not isinstance(value, dict):
        raise Refused("INVALID_INPUT", "the body is no JSON object; one with named fields is needed; see /openapi.json")
    return value


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise Refused("INVALID_INPUT", "the body is not JSON; a JSON object is needed; see /openapi.json") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and infinity are no JSON
