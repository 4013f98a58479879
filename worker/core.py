"""One worker: a voice library, one engine loaded once on its own thread, and the dispatch on a job's type.

The only place where the rooms meet, and the boundary at which every failure becomes the contract's one shape. Knows
nothing of RunPod's SDK or of HTTP: `runpod_loop` and every other face call `answer`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from synthesis import Engine, load_engine
from synthesis.quality import FasterWhisper, Recogniser
from voice_library import VoiceLibrary, open_library
from voice_library.stores.interface import Store
from voice_library.stores.s3 import S3Store
from worker import speech, streaming, voices
from worker.delivery import Delivery
from worker.device import CallersThread, Device, DeviceThread
from worker.errors import JobError, describe
from worker.health import Startup, health
from worker.inputs import HealthInput, JobInput, SynthesizeInput, parse_input
from worker.logs import fields
from worker.request import NO_ID, Output, Request
from worker.settings import Settings
from worker.whole import whole

log = logging.getLogger("worker")


class Worker:
    """Answers jobs. Safe to call from several threads; what the engine computes runs on one."""

    def __init__(
        self,
        settings: Settings,
        library: VoiceLibrary | None = None,
        engine: Engine | None = None,
        store: Store | None = None,
        recogniser: Recogniser | None = None,
    ) -> None:
        """What is not given is made from the settings; engine and recogniser on first use."""
        self.settings = settings
        self.library = library if library is not None else open_library(settings.embeddings_dir, settings.bucket)
        if store is None and settings.bucket is not None:
            store = S3Store(settings.bucket)
        self.delivery = Delivery(store, settings.max_inline_bytes)
        self.startup = Startup()
        self._thread = DeviceThread()
        self._engine = engine
        self._engine_lock = threading.Lock()
        self._recogniser = recogniser
        self._recogniser_lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine, loaded by whoever asks first; the others wait for it."""
        with self._engine_lock:
            if self._engine is None:
                loading = Request()
                self._engine = self._thread.run(self._load_engine, loading, "load_s")
                self.startup.engine_loaded(loading.seconds["load_s"])
                log.info("engine loaded", extra=fields(engine=self._engine.name, seconds=self.startup.load_s))
            return self._engine

    @property
    def device(self) -> Device:
        """Where the engine computes."""
        return CallersThread() if self.engine.batches else self._thread

    def _loaded_recogniser(self) -> Recogniser:
        with self._recogniser_lock:
            if self._recogniser is None:
                self._recogniser = FasterWhisper.load(self.settings.asr_model, self.engine.device)
            return self._recogniser

    def _load_engine(self) -> Engine:
        return load_engine(
            self.settings.engine,
            model=self.settings.model,
            device=self.settings.device,
            model_dir=self.settings.model_dir,
            hf_home=self.settings.hf_home,
            on_runpod=self.settings.on_runpod,
        )

    def answer(self, job: Mapping[str, Any], request: Request | None = None) -> Output:
        """The output of a job, or `{"error": "CODE: …"}`; either can be sent as JSON. Never raises, whatever the job.

        request: what is to be told while the job runs, and whether it still is wanted.
        """
        request = request or Request(job_id_of(job))
        kind = "-"
        try:
            job_input = parse_input(job.get("input") if isinstance(job, Mapping) else None)
            kind = type(job_input).__name__.removesuffix("Input")
            output = self._sendable(self._run(job_input, request), request)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the one boundary: nothing but the contract's errors may leave
            return _refusal(request, kind, error)
        log.info("answered", extra=fields(request.job_id, type=kind, total_s=request.elapsed_s(), **request.seconds))
        return output

    def _run(self, job_input: JobInput, request: Request) -> Output:
        if isinstance(job_input, SynthesizeInput):
            speaker = speech.Speaker(self.engine, self.library, self.device, self.startup, self._loaded_recogniser)
            if job_input.stream:
                return streaming.stream(job_input, speaker, request)
            return whole(job_input, speaker, self.delivery, request)
        if isinstance(job_input, HealthInput):
            return health(self.settings, self.engine, self.library, self.startup)
        act: Callable[[Any, VoiceLibrary], Output] = voices.ACTIONS[type(job_input)]
        return act(job_input, self.library)

    def _sendable(self, output: Output, request: Request) -> Output:
        """output, if RunPod can take it: its SDK never answers a job whose output holds bytes, sends NaN as no JSON,
        and drops an answer over the cap."""
        try:
            text = json.dumps(output, allow_nan=False, ensure_ascii=False)
            size = len(text) if text.isascii() else len(text.encode())
        except (TypeError, ValueError) as error:
            raise JobError(
                "INTERNAL", "the answer could not be written as JSON; nothing was sent; report the job id"
            ) from error
        self.delivery.refuse_larger(size, request)
        return output


def job_id_of(job: object) -> str:
    """The id that RunPod or a queue gave the job."""
    job_id = job.get("id") if isinstance(job, Mapping) else None
    return job_id if isinstance(job_id, str) and job_id else NO_ID


def _refusal(request: Request, kind: str, error: BaseException) -> Output:
    line = describe(error)
    code = line.partition(":")[0]
    if code == "INTERNAL":
        log.error("failed", extra=fields(request.job_id, type=kind, code=code), exc_info=error)
    else:
        log.info("refused", extra=fields(request.job_id, type=kind, code=code, total_s=request.elapsed_s()))
    return {"error": line}
