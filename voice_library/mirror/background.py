"""Small jobs that nobody waits for, one after the other in a daemon thread; finished when the process ends."""

from __future__ import annotations

import atexit
import logging
import queue
import threading
import time
from collections.abc import Callable

from voice_library.errors import LibraryError

log = logging.getLogger(__name__)
MAX_WAITING = 1000  # jobs; more are dropped, for they only save work later
FLUSH_S = 10.0


class Background:
    """A queue of jobs. A job that fails is logged and forgotten."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(MAX_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` soon. Returns at once."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="library-background", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            log.warning("a background job of the voice library was dropped: %d are waiting", MAX_WAITING)

    def close(self) -> None:
        """Wait for the jobs that were submitted, for at most `FLUSH_S`."""
        atexit.unregister(self.close)
        end = time.monotonic() + FLUSH_S
        with self._jobs.all_tasks_done:
            while self._jobs.unfinished_tasks and (left_s := end - time.monotonic()) > 0:
                self._jobs.all_tasks_done.wait(left_s)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except LibraryError as error:
                log.warning("a background job of the voice library failed: %s", error)
            finally:
                self._jobs.task_done()
