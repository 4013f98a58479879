"""Who decodes next: admission by rows of the cache, and fairness between utterances.

Imports no torch, knows no device and no thread: requests in, decisions out, so that a fake decoder can test it.
"""

from __future__ import annotations

from collections import Counter

from synthesis.native.request import Request, Status

_ROWS_FOR_NEWCOMERS = 2  # one request with guidance


class Scheduler:
    """num_rows: rows of the decoder's cache, two for a request with guidance.

    An utterance may be of one request or of fifty. A free row goes to the utterance with the fewest rows in use, of
    these to the one that came first; the last rows go only to an utterance that has none, so that a short text need
    not wait for a segment of a long one to end. Whose turn it is, is never passed over for want of a second row, lest
    a stream of small requests starve it.
    """

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self._waiting: list[Request] = []  # in order of arrival
        self._running: list[Request] = []

    @property
    def running(self) -> tuple[Request, ...]:
        return tuple(self._running)

    @property
    def waiting(self) -> tuple[Request, ...]:
        return tuple(self._waiting)

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._running

    @property
    def num_free_rows(self) -> int:
        return self.num_rows - sum(request.num_rows for request in self._running)

    def add(self, request: Request) -> None:
        """Raises ValueError for a request that the cache could never hold."""
        if request.num_rows > self.num_rows:
            raise ValueError(f"a request needs {request.num_rows} rows; the cache has {self.num_rows}")
        request.status = Status.WAITING
        self._waiting.append(request)

    def admit(self, at_most: int | None = None) -> list[Request]:
        """The requests that now begin to decode, in order; at_most bounds how long everyone else waits for them."""
        admitted: list[Request] = []
        rows_of = Counter[object]()
        for request in self._running:
            rows_of[request.utterance] += request.num_rows
        while self._waiting and (at_most is None or len(admitted) < at_most):
            request = min(self._waiting, key=lambda waiting: rows_of[waiting.utterance])
            kept_free = _ROWS_FOR_NEWCOMERS if rows_of[request.utterance] else 0
            if request.num_rows > self.num_free_rows - kept_free:
                break
            self._waiting.remove(request)
            self._running.append(request)
            rows_of[request.utterance] += request.num_rows
            request.status = Status.RUNNING
            admitted.append(request)
        return admitted

    def take(self, decoded: list[tuple[Request, list[int]]]) -> list[Request]:
        """Give everyone what was decoded for them. Returns those who have finished, no longer running."""
        for request, tokens in decoded:
            request.extend(tokens)
        finished = [request for request, _ in decoded if request.status is Status.FINISHED]
        for request in finished:
            self._running.remove(request)
        return finished

    def remove(self, request: Request) -> None:
        """Forget a request that is waiting or running."""
        (self._running if request.status is Status.RUNNING else self._waiting).remove(request)
