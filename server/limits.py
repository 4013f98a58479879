"""How much one caller may ask, and how much the server takes on: a token bucket a caller, and places to run and wait.

Knows no HTTP but the codes of its refusals.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from server.errors import Refused

MAX_CALLERS = 10_000  # remembered; those who asked least lately are forgotten first, and start with a full bucket
BURST_S = 10  # a caller who was quiet may ask at once what it may ask in so many seconds


class RateLimit:
    """A token bucket for every caller. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller: (tokens, when)

    def take(self, caller: str, per_minute: int) -> None:
        """One request of this caller. Raises Refused RATE_LIMITED, saying when to come again."""
        rate = per_minute / 60
        size = max(1.0, rate * BURST_S)
        now = self._clock()
        tokens, when = self._buckets.pop(caller, (size, now))
        tokens = min(size, tokens + (now - when) * rate)
        granted = tokens >= 1
        self._buckets[caller] = (tokens - granted, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if not granted:
            wait_s = int((1 - tokens) / rate) + 1
            raise Refused(
                "RATE_LIMITED",
                f"too many requests; allowed are {per_minute} a minute; wait {wait_s} s",
                headers={"Retry-After": str(wait_s)},
                close=True,
            )


class Places:
    """Jobs that run, and jobs that wait for one to end, in the order they came. Used on the event loop only."""

    def __init__(self, running: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(running)
        self._max_waiting = waiting
        self.running = self.waiting = 0
        self._of_caller: Counter[str] = Counter()

    async def take(self, caller: str, most: int) -> None:
        """Returns when a job of this caller may run; `leave` must follow. most: jobs of one caller, running or waiting.
        Raises Refused: RATE_LIMITED for one more, OVERLOADED where too many of all wait already."""
        if self._of_caller[caller] >= most:
            raise Refused(
                "RATE_LIMITED",
                f"{self._of_caller[caller]} requests of this caller are under way; that is the limit; wait for one of "
                "them",
                headers={"Retry-After": "1"},
            )
        if self._free.locked() and self.waiting >= self._max_waiting:
            raise Refused(
                "OVERLOADED",
                f"{self.running} jobs run and {self.waiting} wait, as many as this server takes; wait a little; "
                "then try again",
                headers={"Retry-After": "2"},
            )
        self.waiting += 1
        self._of_caller[caller] += 1
        try:
            await self._free.acquire()
        except BaseException:
            self._forget(caller)
            raise
        finally:
            self.waiting -= 1
        self.running += 1

    def leave(self, caller: str) -> None:
        self.running -= 1
        self._forget(caller)
        self._free.release()

    def _forget(self, caller: str) -> None:
        self._of_caller[caller] -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]
