"""A RunPod endpoint by its public API: lines become jobs there, and are found again by a later run.

A job's id is in the journal as soon as the endpoint has taken it. A run that is killed, or stopped, asks after those
jobs first, so that nothing is paid for twice while the endpoint remembers them (half an hour).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from batch.answers import Answer, Output, Stop, attempt
from batch.backends.window import spread
from batch.errors import BackendFailed
from batch.journal import Journal
from batch.lines import Line
from client.download import Downloads, check_format
from client.errors import JobRefused, NotAllowed, TooManyRequests, UnexpectedAnswer, Unreachable, UnsafeDownload
from client.retries import Retries
from client.runpod import JobNotFound, JobState, Polling, RunPodApi, output_of
from client.steps import run

IN_FLIGHT = 32
PATIENCE = Retries(max_attempts=9, first_pause_s=1.0, longest_pause_s=30.0)  # two minutes of an endpoint in trouble
STATUS_PER_S = 100  # half of what /status takes: 2,000 in 10 s


class _Stopped(Exception):
    """The run is to end; the job goes on at the endpoint."""


@dataclass(frozen=True)
class Endpoint:
    """Where the endpoint is, and what may be fetched for it."""

    url: str  # or its id alone
    api_key: str | None
    audio_hosts: tuple[str, ...] = ()  # beside public https hosts
    timeout_s: float = 60.0  # of one request


class EndpointBackend:
    """One endpoint; as many threads as lines are in flight, each waiting for one job."""

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        *,
        stop: Stop,
        max_attempts: int,
        in_flight: int | None = None,
        retries: Retries = PATIENCE,
    ) -> None:
        self._in_flight = in_flight or IN_FLIGHT
        polling = Polling(longest_s=max(Polling.longest_s, self._in_flight / STATUS_PER_S))
        self._api = RunPodApi(endpoint.url, endpoint.api_key, retries, polling)
        self._downloads = Downloads(endpoint.audio_hosts)
        limits = httpx.Limits(max_connections=self._in_flight, max_keepalive_connections=self._in_flight)
        self._http = httpx.Client(timeout=endpoint.timeout_s, limits=limits)
        self._journal, self._stop, self._max_attempts, self._retries = journal, stop, max_attempts, retries
        self._billed_s = 0.0
        self._billed_lock = threading.Lock()

    @property
    def billed_s(self) -> float:
        return self._billed_s

    def answers(self, lines: Iterable[Line]) -> Iterator[Sequence[Answer]]:
        with self._http:
            yield from spread(lines, self.answer, self._in_flight, self._stop)

    def answer(self, line: Line) -> Answer | None:
        """The line's answer; None where the run is to end first. Raises BackendFailed."""
        entry = self._journal.entry(line)
        running = [entry.job] if entry is not None and entry.event == "submitted" else []

        def speak(line: Line) -> Output:
            return self._output(line, running.pop() if running else None)

        try:
            answer = attempt(line, speak, max_attempts=self._max_attempts, stop=self._stop, fetch=self._fetch)
            if answer is not None and answer.error is None:
                check_format(answer.audio, line.job.get("format", "wav"))
        except _Stopped:
            return None
        except UnsafeDownload as error:
            return Answer(line, error=f"INTERNAL: {error}")
        except (NotAllowed, Unreachable, TooManyRequests) as error:
            raise BackendFailed(f"the endpoint gave up on us: {error}; run the same command again to go on") from error
        return answer

    def _output(self, line: Line, running: str | None) -> Output:
        """The output of this line's job: of the one that is running at the endpoint already, else of a new one."""
        try:
            return output_of(self._ended(line, running))
        except (JobRefused, UnexpectedAnswer) as error:
            return {"error": str(error) if isinstance(error, JobRefused) else f"INTERNAL: {error}"}

    def _ended(self, line: Line, running: str | None) -> JobState:
        state = None
        if running is not None:
            with contextlib.suppress(JobNotFound):  # forgotten: sent again
                state = run(self._api.ended(running), self._http, self._sleep)
        if state is None:
            state = run(self._api.ended(self._submitted(line)), self._http, self._sleep)
        with self._billed_lock:
            self._billed_s += state.execution_s
        return state

    def _submitted(self, line: Line) -> str:
        try:
            job = run(self._api.submit(line.job), self._http, self._sleep)
        except JobNotFound as error:
            raise BackendFailed(f"there is no endpoint at {self._api.url}; check RUNPOD_ENDPOINT_URL") from error
        self._journal.append([{"event": "submitted", "id": line.id, "digest": line.digest, "job": job}])
        return job

    def _fetch(self, url: str) -> bytes:
        return run(self._downloads.fetch(url, self._retries), self._http, self._sleep)

    def _sleep(self, seconds: float) -> None:
        if self._stop.sleep(seconds):
            raise _Stopped
