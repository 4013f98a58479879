"""When to fold: in a daemon thread of its own, some seconds after a change, seldom enough to cost little, and once
more when the process ends. Knows nothing of what a fold does.

A process that is killed leaves its markers in the bucket; the next fold of any worker takes them in.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from voice_library.errors import StorageUnavailable
from voice_library.mirror.fold import Outcome
from voice_library.mirror.keys import Metadata

log = logging.getLogger(__name__)
MIN_WAIT_S, MAX_WAIT_S = 1.0, 5.0  # after a change: until no other has come for the first, at most the second
REST_FACTOR = 9  # rest this many times as long as the last pass took: at 30 MB of catalog, a tenth of the time
MAX_RETRY_S = 60.0
FLUSH_S = 20.0  # at the end of a process; what is left then is in the markers
FLUSH_PASSES = 2  # that end with something left, which then is most likely not ours
FLUSH_RESPECTS_LEASE_S = 2.0  # others that fold at this moment may well take ours in


class Pass(Protocol):
    """One pass of a fold."""

    def __call__(self, known: dict[str, Metadata], *, respect_lease: bool) -> Outcome: ...


class FoldThread:
    """Runs `fold` some time after `ask`."""

    def __init__(self, fold: Pass, clock: Callable[[], float] = time.monotonic) -> None:
        self._fold = fold
        self._clock = clock
        self._changed = threading.Condition()
        self._known: dict[str, Metadata] = {}  # committed here, and perhaps not folded yet
        self._first_asked = self._last_asked = 0.0  # 0: nothing is asked for
        self._rested_at = 0.0
        self._retry_s = MIN_WAIT_S
        self._closing = False
        self._thread: threading.Thread | None = None

    def ask(self, voice_id: str = "", metadata: Metadata | None = None) -> None:
        """Something was committed, or seen to need a fold. Returns at once."""
        with self._changed:
            if metadata is not None:
                self._known[voice_id] = metadata
            self._last_asked = self._clock()
            self._first_asked = self._first_asked or self._last_asked
            self._retry_s = MIN_WAIT_S
            if not self._closing and not (self._thread and self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="fold", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify()

    def close(self) -> None:
        """Fold what is left, for at most `FLUSH_S`, and stop. May be called again."""
        atexit.unregister(self.close)
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(FLUSH_S)
        started, tries_left = self._clock(), FLUSH_PASSES
        while self._first_asked and tries_left and self._clock() < started + FLUSH_S:
            outcome = self._pass(respect_lease=self._clock() < started + FLUSH_RESPECTS_LEASE_S)
            if outcome is Outcome.AGAIN:
                tries_left -= 1
            if outcome is not Outcome.DONE:
                time.sleep(random.uniform(0.1, 0.5))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closing and (wait_s := self._wait_s()) > 0:
                    self._changed.wait(wait_s if wait_s < threading.TIMEOUT_MAX else None)
                if self._closing:
                    return
            self._pass(respect_lease=True)

    def _wait_s(self) -> float:
        """Seconds until the next pass is due; infinite where nothing is asked for."""
        if not self._first_asked:
            return float("inf")
        due = min(self._last_asked + MIN_WAIT_S, self._first_asked + MAX_WAIT_S)
        return max(due, self._rested_at) - self._clock()

    def _pass(self, *, respect_lease: bool) -> Outcome:
        """One pass; what it did not finish is asked for again, later each time."""
        with self._changed:
            known, asked = dict(self._known), self._last_asked
            self._first_asked = 0.0
        started = self._clock()
        try:
            outcome = self._fold(known, respect_lease=respect_lease)
        except StorageUnavailable as error:
            log.warning("the snapshots could not be brought up to date yet: %s", error)
            outcome = Outcome.AGAIN
        ended = self._clock()
        with self._changed:
            if outcome is Outcome.DONE:
                for voice_id, metadata in known.items():
                    if self._known.get(voice_id) is metadata:
                        del self._known[voice_id]
                self._rested_at = ended + REST_FACTOR * (ended - started)
            else:
                self._first_asked = self._first_asked or asked
                self._rested_at = ended + random.uniform(0.5, 1) * self._retry_s
                self._retry_s = MIN_WAIT_S if outcome is Outcome.LOST else min(MAX_RETRY_S, 2 * self._retry_s)
        return outcome
