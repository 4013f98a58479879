"""One job on its way through the worker: who asked, whether they still want it, what to tell them, what it cost.

All state of a request lives here; engine, library and device know nothing of jobs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import JobError
from worker.inputs import random_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

Output = dict[str, Any]

NO_ID = "-"


def _never() -> bool:
    return False


def _told_nobody(_done: int, _total: int) -> None:
    return


@dataclass
class Request:
    """A job's id and its caller's ears. Without arguments it is the request of a caller who only waits."""

    job_id: str = NO_ID
    cancelled: Callable[[], bool] = _never  # asked between segments and inside them; true once, true for ever
    on_progress: Callable[[int, int], None] = _told_nobody  # segments spoken, of all
    on_chunk: Callable[[Output], None] | None = None  # takes a stream's chunks; None: they come in the answer
    accepted_s: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)  # of each part of the work

    def check(self) -> None:
        """Raises JobError CANCELLED when nobody wants the answer any more."""
        if self.cancelled():
            raise JobError(
                "CANCELLED", "the job was cancelled while it ran; nothing was delivered; send it again if needed"
            )

    def elapsed_s(self) -> float:
        """Since the worker accepted the job."""
        return time.perf_counter() - self.accepted_s

    def add(self, part: str, seconds: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    def timed(self, part: str) -> AbstractContextManager[None]:
        """Adds the block's seconds to `part`."""
        return _timed(self, part)

    def seed(self) -> int:
        """A seed for an utterance whose caller named none: the same for the same job, so that a job that RunPod hands
        out a second time is spoken the same again."""
        if self.job_id == NO_ID:
            return random_seed()
        return int.from_bytes(hashlib.sha256(self.job_id.encode()).digest()[:4], "big")


@contextmanager
def _timed(request: Request, part: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        request.add(part, time.perf_counter() - start)
