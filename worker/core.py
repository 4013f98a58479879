"""One worker: a voice library, one engine loaded once, and the dispatch on a job's type.

The only place where the rooms meet, and the boundary at which every failure becomes the contract's one shape. Knows
nothing of RunPod's SDK or of HTTP: `handler.py` and every other face call `answer`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from synthesis import Engine, load_engine
from voice_library import VoiceLibrary, open_library
from worker import speech, voices
from worker.errors import describe
from worker.health import Startup, health
from worker.inputs import HealthInput, JobInput, SynthesizeInput, parse_input
from worker.settings import Settings

log = logging.getLogger("worker")

Output = dict[str, Any]


class Worker:
    """Answers jobs. Safe to call from several threads; the engine orders its own work."""

    def __init__(self, settings: Settings, library: VoiceLibrary | None = None, engine: Engine | None = None) -> None:
        """library and engine are made from the settings where they are not given; the engine on first use."""
        self.settings = settings
        self.library = library if library is not None else open_library(settings.embeddings_dir, settings.bucket)
        self.startup = Startup()
        self._engine = engine
        self._engine_lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine, loaded by whoever asks first; the others wait for it."""
        with self._engine_lock:
            if self._engine is None:
                start = time.perf_counter()
                self._engine = load_engine(
                    self.settings.engine,
                    model=self.settings.model,
                    device=self.settings.device,
                    model_dir=self.settings.model_dir,
                    hf_home=self.settings.hf_home,
                    on_runpod=self.settings.on_runpod,
                )
                self.startup.engine_loaded(time.perf_counter() - start)
                log.info("engine %s loaded in %.1f s", self._engine.name, self.startup.load_s)
            return self._engine

    def answer(self, job: Mapping[str, Any]) -> Output:
        """The output of a job, or `{"error": "CODE: …"}`. Never raises, whatever the job."""
        job_id = job.get("id", "-") if isinstance(job, Mapping) else "-"
        start = time.perf_counter()
        try:
            job_input = parse_input(job.get("input") if isinstance(job, Mapping) else None)
            output = self._run(job_input)
        except Exception as error:  # noqa: BLE001 - the one boundary: nothing but the contract's errors may leave
            return self._refusal(job_id, error)
        log.info("job %s: %s in %.3f s", job_id, type(job_input).__name__, time.perf_counter() - start)
        return output

    def _run(self, job_input: JobInput) -> Output:
        if isinstance(job_input, SynthesizeInput):
            return speech.synthesize(job_input, self.engine, self.library, self.startup)
        if isinstance(job_input, HealthInput):
            return health(self.settings, self.engine, self.library, self.startup)
        act: Callable[[Any, VoiceLibrary], Output] = voices.ACTIONS[type(job_input)]
        return act(job_input, self.library)

    def _refusal(self, job_id: object, error: Exception) -> Output:
        line = describe(error)
        if line.startswith("INTERNAL"):
            log.error("job %s: %s", job_id, line, exc_info=error)
        else:
            log.info("job %s: refused with %s", job_id, line.partition(":")[0])
        return {"error": line}
