"""The one thread that owns the device: whatever an engine computes runs on it, in the order it was asked for.

Jobs ask for one segment at a time, so that a short job does not wait for the end of a long one. It knows no engine.
An engine that batches has such a thread of its own; it is called directly, by all jobs at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from worker.request import Request

T = TypeVar("T")


class Device(Protocol):
    """Where an engine computes."""

    def run(self, work: Callable[[], T], request: Request, part: str) -> T:
        """What work returns or raises. The seconds it waited go to the request's queue_s, those it took to `part`."""


class CallersThread:
    """The device of an engine that orders its own work. It cannot tell waiting from computing."""

    def run(self, work: Callable[[], T], request: Request, part: str) -> T:
        with request.timed(part):
            return work()


class DeviceThread:
    """Runs work on its thread while the caller waits. Not to be called from that thread itself."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")

    def run(self, work: Callable[[], T], request: Request, part: str) -> T:
        asked_s = time.perf_counter()

        def measured() -> T:
            request.add("queue_s", time.perf_counter() - asked_s)
            with request.timed(part):
                return work()

        return self._thread.submit(measured).result()
