"""A RunPod endpoint by its public API: a job is queued, asked after until it has an end, and may be cancelled.

Source: RunPod, "Operation reference" (/run, /status, /stream, /cancel, /health; limits; 429 wants backoff).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from client.errors import (
    NotAllowed,
    NotOffered,
    TooLarge,
    TooManyRequests,
    UnexpectedAnswer,
    Unreachable,
    refusal_of,
)
from client.retries import Retries, exchange, pause
from client.steps import Emit, Flow, StreamFlow
from client.values import audio_in

Output = dict[str, Any]

MAX_INPUT_BYTES = 10_000_000  # of /run
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
PUBLIC_API = "https://api.runpod.ai/v2"


class JobNotFound(UnexpectedAnswer):
    """The endpoint does not know the job (any more): results are kept for half an hour."""


@dataclass(frozen=True)
class JobState:
    """A job as /status shows it."""

    id: str
    status: str  # IN_QUEUE, IN_PROGRESS, or one of FINAL
    output: Any = None
    error: str | None = None
    execution_s: float = 0.0  # on a worker; what RunPod bills, but for start and idle time

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class Polling:
    """How often a job is asked after: soon at first, then ever less often. /status takes 2,000 requests in 10 s."""

    first_s: float = 0.25
    growth: float = 1.3
    longest_s: float = 3.0

    def pause_s(self, number: int) -> float:
        return float(min(self.longest_s, self.first_s * self.growth**number))


class RunPodApi:
    """One endpoint. Every method returns a flow for `steps.run` or `steps.run_async`."""

    def __init__(self, url: str, api_key: str | None, retries: Retries, polling: Polling | None = None) -> None:
        """url: https://api.runpod.ai/v2/<endpoint id>, or the endpoint's id alone."""
        self.url = (url if "://" in url else f"{PUBLIC_API}/{url}").rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._retries, self._polling = retries, polling or Polling()

    # Jobs

    def job(self, job_input: Mapping[str, Any]) -> Flow[Output]:
        """The output of a job. Raises VoiceClientError."""
        job_id = yield from self.submit(job_input)
        state = yield from self.ended(job_id)
        return output_of(state)

    def submit(self, job_input: Mapping[str, Any]) -> Flow[str]:
        """Queue a job; its id. A request whose answer is lost is sent again: the job may then run twice, alike."""
        body = httpx.Request("POST", f"{self.url}/run", json={"input": dict(job_input)}, headers=self._headers)
        size = len(body.content)
        if size > MAX_INPUT_BYTES:
            raise TooLarge(
                f"the job has {size / 1e6:.1f} MB; RunPod takes {MAX_INPUT_BYTES / 1e6:g} MB; "
                "register the voice once instead of sending its audio along, or shorten the text"
            )
        repeatable = (
            job_input.get("type", "synthesize") != "register_voice" or job_input.get("on_conflict") == "replace"
        )
        answer = yield from self._asked(body, repeatable=repeatable)
        job_id = answer.get("id")
        if not isinstance(job_id, str):
            raise UnexpectedAnswer(f"{self.url}/run answered without a job id; is this a RunPod endpoint?")
        return job_id

    def status(self, job_id: str) -> Flow[JobState]:
        """Raises JobNotFound where the endpoint has forgotten it."""
        answer = yield from self._asked(self._get(f"status/{job_id}"), repeatable=True)
        return _state(job_id, answer)

    def ended(self, job_id: str) -> Flow[JobState]:
        """The job's state when it has an end. A caller who does not want to wait for ever closes the flow."""
        number = 0
        while True:
            state = yield from self.status(job_id)
            if state.is_final:
                return state
            yield from pause(self._polling.pause_s(number))
            number += 1

    def cancel(self, job_id: str) -> Flow[JobState]:
        request = httpx.Request("POST", f"{self.url}/cancel/{job_id}", headers=self._headers)
        answer = yield from self._asked(request, repeatable=True)
        return _state(job_id, answer)

    # What a client does

    def stream(self, job_input: Mapping[str, Any]) -> StreamFlow[Output]:
        """Emits pieces of one audio file; returns what the last chunk says besides its audio."""
        job_id = yield from self.submit({**job_input, "stream": True})
        number, totals = 0, None
        while True:
            answer = yield from self._asked(self._get(f"stream/{job_id}"), repeatable=True)
            chunks = [item.get("output") for item in answer.get("stream") or [] if isinstance(item, dict)]
            for chunk in chunks:
                if isinstance(chunk, dict) and "audio" in chunk:
                    yield Emit(audio_in(chunk))
                    totals = chunk if chunk.get("last") else totals
            number = 0 if chunks else number + 1
            if totals is not None:
                return {name: value for name, value in totals.items() if name != "audio"}
            if answer.get("status") in FINAL and not chunks:
                state = yield from self.status(job_id)
                output_of(state)
                raise UnexpectedAnswer(f"job {job_id} ended without its last chunk", request_id=job_id)
            yield from pause(self._polling.pause_s(number))

    def download_voice(self, voice: Mapping[str, str]) -> Flow[bytes]:
        """Not offered."""
        yield from ()
        raise NotOffered(
            f"RunPod's queue has no job that hands out a voice ({dict(voice)}); our HTTP server does; ask that, or "
            "fetch it from the bucket"
        )

    # The wire

    def _get(self, path: str) -> httpx.Request:
        return httpx.Request("GET", f"{self.url}/{path}", headers=self._headers)

    def _asked(self, request: httpx.Request, *, repeatable: bool) -> Flow[Output]:
        response = yield from exchange(request, self._retries, repeatable=repeatable)
        return checked(response)


def checked(response: httpx.Response) -> Output:
    """The JSON object of a good answer. Raises VoiceClientError."""
    status, host = response.status_code, response.request.url.host
    if status in (401, 403):
        raise NotAllowed(
            f"{host} does not take this API key ({status}); a key with the right to this is needed; check it"
        )
    if status == httpx.codes.NOT_FOUND:
        raise JobNotFound(
            f"{response.request.url.path} is not known there (404); check the endpoint's id, or send again"
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise TooManyRequests(f"{host} takes no more requests now; send fewer at a time or try later")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise Unreachable(f"{host} answered {status}; it is in trouble; try later")
    if status != httpx.codes.OK:
        raise UnexpectedAnswer(f"{host} answered {status}: {response.text[:200]!r}")
    try:
        answer = response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{host} answered with something that is not JSON; check the address") from error
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"{host} answered with JSON that is no object; check the address")
    return answer


def output_of(state: JobState) -> Output:
    """The output of a job that has ended. Raises the contract's error, or UnexpectedAnswer."""
    if state.error or (isinstance(state.output, dict) and state.output.get("error")):
        raise refusal_of(str(state.error or state.output["error"]), request_id=state.id)
    if state.status == "CANCELLED":
        raise refusal_of("CANCELLED: the job was cancelled; nothing was delivered; send it again", request_id=state.id)
    if state.status == "TIMED_OUT":
        raise refusal_of(
            "TIMED_OUT: the job ran longer than the endpoint allows; shorten it or raise the limit", request_id=state.id
        )
    if not isinstance(state.output, dict):
        raise UnexpectedAnswer(f"job {state.id} is {state.status} without an output", request_id=state.id)
    return state.output


def _state(job_id: str, answer: Output) -> JobState:
    error = answer.get("error")
    return JobState(
        job_id,
        str(answer.get("status")),
        answer.get("output"),
        str(error) if error else None,
        float(answer.get("executionTime") or 0) / 1000,
    )
