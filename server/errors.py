"""What went wrong, as HTTP says it: a status, and a body in the worker's words.

    Refused     a code of the worker's or of HTTP_CODES below, with "what was wrong; what is allowed; what to do"

On `/v1` the body has OpenAI's shape, which its clients turn into typed errors; elsewhere it is the contract's
`{"error": "CODE: ..."}`. A caller never sees a traceback: what nobody foresaw is INTERNAL, as in the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from worker.errors import INTERNAL_MESSAGE, describe
from worker.logs import fields

log = logging.getLogger("server")

CLIENT_CLOSED_REQUEST = 499  # nginx's: nobody is there to read the answer

STATUS_OF_CODE: dict[str, int] = {
    "INVALID_INPUT": 400,
    "VOICE_NOT_FOUND": 404,
    "NAME_TAKEN": 409,
    "UNREADABLE_AUDIO": 422,
    "UNSAFE_FILE": 422,
    "TOO_LARGE": 413,
    "STORAGE_UNAVAILABLE": 503,
    "OUT_OF_MEMORY": 503,
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    "INTERNAL": 500,
}
# What only HTTP can refuse.
HTTP_CODES: dict[str, int] = {
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "MODEL_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "TIMEOUT": 408,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "MISDIRECTED": 421,
    "RATE_LIMITED": 429,
    "OVERLOADED": 503,
    "STARTING": 503,
}
# How OpenAI names the same thing, where it has a name of its own.
_OPENAI_CODES = {"UNAUTHORIZED": "invalid_api_key", "RATE_LIMITED": "rate_limit_exceeded"}


class Refused(Exception):
    """A request that gets an error. message: "what was wrong; what is allowed; what to do"."""

    def __init__(
        self, code: str, message: str, *, headers: Mapping[str, str] | None = None, close: bool = False
    ) -> None:
        """close: the connection ends with the answer, because what the caller still sends will not be read."""
        super().__init__(message)
        self.code = code
        self.headers = {**(headers or {}), **({"Connection": "close"} if close else {})}

    @classmethod
    def of_line(cls, line: str) -> Refused:
        """From the worker's `CODE: what was wrong; what is allowed; what to do`."""
        code, _, message = line.partition(": ")
        return cls(code, message)

    @property
    def status(self) -> int:
        return STATUS_OF_CODE.get(self.code) or HTTP_CODES.get(self.code, 500)


def body_of(refused: Refused, path: str) -> dict[str, object]:
    """The error body that callers of this path expect."""
    if not path.startswith("/v1/"):
        return {"error": f"{refused.code}: {refused}"}
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    code = _OPENAI_CODES.get(refused.code, refused.code.lower())
    return {"error": {"message": str(refused), "type": kind, "param": None, "code": code}}


def response_of(refused: Refused, path: str) -> JSONResponse:
    return JSONResponse(body_of(refused, path), refused.status, dict(refused.headers))


async def on_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return response_of(error, request.url.path)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own refusals, in our words. Their texts are not repeated: some hold what the caller sent."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        refused = Refused("NOT_FOUND", "there is nothing at this address; /openapi.json lists what is; correct it")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another")
        refused = Refused(
            "METHOD_NOT_ALLOWED",
            f"the method is not allowed here; allowed is {allowed}; use that",
            headers=error.headers,
        )
    else:
        refused = Refused(
            "INVALID_INPUT", "the request cannot be read; see /openapi.json for what can; correct it", close=True
        )
    return response_of(refused, path)


async def on_failure(request: Request, error: Exception) -> JSONResponse:
    """The boundary: what nobody foresaw. Its details are in the log under the request's id."""
    line = describe(error)
    refused = Refused.of_line(line)
    if refused.code == "INTERNAL":
        log.error("failed", extra=fields(getattr(request.state, "id", None)), exc_info=error)
        refused = Refused("INTERNAL", INTERNAL_MESSAGE)
    return response_of(refused, request.url.path)


async def on_invalid(request: Request, error: Exception) -> JSONResponse:
    """A query or path parameter out of range."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    name = str(fault["loc"][-1])[:60]
    message = f"{name} cannot be used; {str(fault['msg'])[:1].lower()}{str(fault['msg'])[1:]}; correct it"
    return response_of(Refused("INVALID_INPUT", message), request.url.path)
