"""Our HTTP server (docs/http.md): the contract's jobs as requests to it, and its answers and refusals read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from client.errors import (
    InvalidInput,
    NotAllowed,
    TooManyRequests,
    UnexpectedAnswer,
    Unreachable,
    VoiceClientError,
    refusal_of,
)
from client.retries import Retries, exchange, retry_after_s
from client.steps import Emit, Flow, Read, StreamFlow
from client.values import audio_in

Output = dict[str, Any]

_VOICE_FIELDS = ("type", "voice_id", "voice_name")


class ServerApi:
    """One server. Every method returns a flow for `steps.run` or `steps.run_async`."""

    def __init__(self, url: str, api_key: str | None, retries: Retries) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._retries = retries

    def job(self, job_input: Mapping[str, Any]) -> Flow[Output]:
        """The output of a job. Raises VoiceClientError."""
        fields = {name: value for name, value in job_input.items() if name != "type"}
        kind = job_input.get("type", "synthesize")
        if kind == "synthesize":
            answer = yield from self._asked("POST", "/generate", body=fields, repeatable=True)
        elif kind == "register_voice":
            replaces = fields.get("on_conflict") == "replace"
            answer = yield from self._asked("POST", "/v1/voices", body=fields, repeatable=replaces)
        elif kind == "list_voices":
            answer = yield from self._asked("GET", "/v1/voices", query=fields, repeatable=True)
        elif kind == "get_voice":
            answer = yield from self._asked("GET", _path(job_input), repeatable=True)
        elif kind == "rename_voice":
            rest = {name: value for name, value in fields.items() if name not in _VOICE_FIELDS}
            answer = yield from self._asked("PATCH", _path(job_input), body=rest, repeatable=False)
        elif kind == "delete_voice":
            answer = yield from self._asked("DELETE", _path(job_input), repeatable=False)
        elif kind == "health":
            answer = yield from self._asked("GET", "/health", repeatable=True)
        else:
            raise InvalidInput(f"type is {kind!r}; the contract's types are allowed; correct it")
        return answer

    def stream(self, job_input: Mapping[str, Any]) -> StreamFlow[Output]:
        """Emits pieces of one audio file; returns what the last chunk says besides its audio."""
        body = {**{name: value for name, value in job_input.items() if name != "type"}, "stream": True}
        request = self._request("POST", "/generate", body=body)
        response = yield from exchange(request, self._retries, repeatable=True, opened=True)
        if response.status_code != httpx.codes.OK:
            raise refusal(response)
        rest = b""
        while True:
            try:
                piece = yield Read(response)
            except httpx.TransportError as error:
                raise Unreachable(
                    f"the stream broke off ({type(error).__name__}); it is not whole; send it again"
                ) from error
            if not piece:
                raise UnexpectedAnswer("the stream ended before its last chunk; it is not whole; send it again")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                chunk = _chunk(line, response)
                yield Emit(audio_in(chunk))
                if chunk.get("last"):
                    return {name: value for name, value in chunk.items() if name != "audio"}

    def download_voice(self, voice: Mapping[str, str]) -> Flow[bytes]:
        """The voice's .pkl.gz."""
        request = self._request("GET", f"{_path(voice)}/embedding")
        response = yield from exchange(request, self._retries, repeatable=True)
        if response.status_code != httpx.codes.OK:
            raise refusal(response)
        return response.content

    def _asked(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Flow[Output]:
        request = self._request(method, path, body=body, query=query)
        response = yield from exchange(request, self._retries, repeatable=repeatable)
        if not response.is_success:
            raise refusal(response)
        return _object(response.content, response)

    def _request(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> httpx.Request:
        return httpx.Request(method, self.url + path, json=body, params=query, headers=self._headers)


def refusal(response: httpx.Response) -> VoiceClientError:
    """An answer that is no success, as its error: in the contract's shape, in OpenAI's, or none of ours."""
    request_id = response.headers.get("x-request-id")
    code, message = _code_and_message(response)
    shown = message if code is None else f"{code}: {message}"
    if response.status_code in (401, 403):
        return NotAllowed(shown, request_id=request_id)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or code == "OVERLOADED":
        return TooManyRequests(shown, retry_after_s=retry_after_s(response), request_id=request_id)
    error = refusal_of(shown, request_id=request_id)
    if code is not None and (error.code == type(error).default_code):
        return error
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR or code == "TIMEOUT":
        return Unreachable(
            f"{response.request.url.host} answered {response.status_code}: {shown}", request_id=request_id
        )
    return UnexpectedAnswer(
        f"{response.request.url.host} answered {response.status_code}: {shown}", request_id=request_id
    )


def _code_and_message(response: httpx.Response) -> tuple[str | None, str]:
    """The contract's code, or None where the answer is not one of ours."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return None, response.text[:200]
    if isinstance(error, str):
        code, _, message = error.partition(": ")
        return code, message
    if isinstance(error, dict) and isinstance(error.get("code"), str):
        return error["code"].upper(), str(error.get("message"))
    return None, response.text[:200]


def _path(voice: Mapping[str, Any]) -> str:
    name = voice.get("voice_id") or voice.get("voice_name") or ""
    if not name or "/" in name:
        raise InvalidInput(f"the voice is {name!r}; a name without a slash, or an id, has an address; use voice_id")
    return f"/v1/voices/{quote(name, safe='')}"


def _chunk(line: bytes, response: httpx.Response) -> Output:
    chunk = _object(line, response)
    if "error" in chunk:
        raise refusal_of(str(chunk["error"]), request_id=response.headers.get("x-request-id"))
    return chunk


def _object(text: bytes, response: httpx.Response) -> Output:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"{response.request.url.host} answered with no JSON object; check the address")
    return value
