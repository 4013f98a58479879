"""The worker in this process: no network, the engine that ENGINE names, loaded once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from batch.answers import Answer, Output, Stop, attempt
from batch.backends.window import spread
from batch.errors import BackendFailed
from batch.lines import Line
from synthesis.errors import SynthesisError
from voice_library.errors import LibraryError
from worker.core import Worker
from worker.errors import describe
from worker.settings import Settings, SettingsError

MAX_INLINE_BYTES = 10**9  # RunPod's caps do not hold inside a process
BATCHED = 16  # lines in flight where the engine decodes them together


class LocalBackend:
    """One worker, called by as many threads as lines are in flight: an engine that batches decodes them together."""

    def __init__(
        self, environment: Mapping[str, str], *, stop: Stop, max_attempts: int, in_flight: int | None = None
    ) -> None:
        """Loads the engine. in_flight: None takes what suits the engine. Raises BackendFailed."""
        try:
            settings = Settings.from_environment(environment)
            self.worker = Worker(replace(settings, max_inline_bytes=settings.max_inline_bytes or MAX_INLINE_BYTES))
            batches = self.worker.engine.batches
        except (SettingsError, SynthesisError, LibraryError) as error:
            raise BackendFailed(describe(error)) from error
        self.in_flight = in_flight or (BATCHED if batches else settings.max_concurrency)
        self._stop, self._max_attempts = stop, max_attempts
        self._started_s = time.monotonic()

    @property
    def billed_s(self) -> float:
        return time.monotonic() - self._started_s

    def answers(self, lines: Iterable[Line]) -> Iterator[Sequence[Answer]]:
        return spread(lines, self.attempt, self.in_flight, self._stop)

    def attempt(self, line: Line) -> Answer | None:
        """The line's answer; None where a stop comes first."""
        return attempt(line, self._speak, max_attempts=self._max_attempts, stop=self._stop)

    def _speak(self, line: Line) -> Output:
        return self.worker.answer({"id": line.id, "input": line.job})
