"""The synthesize job: a voice found, its conditionals prepared, its words spoken, encoded and measured.

Everything that can be refused is refused before the engine speaks.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from generate_voice_embedding import decode_base64, read_audio
from synthesis import (
    SAMPLE_RATE_HZ,
    Conditionals,
    Engine,
    ReferenceAudio,
    Samples,
    encode,
    normalise,
    output_sample_rate_hz,
)
from voice_library import Voice, VoiceLibrary
from worker.errors import JobError
from worker.health import Startup
from worker.inputs import SynthesizeInput


class Stopwatch:
    """Seconds spent in each named part of one request."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        return result


def synthesize(job: SynthesizeInput, engine: Engine, library: VoiceLibrary, startup: Startup) -> dict[str, Any]:
    """Speak the job's text. Raises JobError, SynthesisError or LibraryError."""
    _check_servable(job, engine)
    sample_rate_hz = output_sample_rate_hz(job.format, job.sample_rate)
    options = job.options()
    stopwatch = Stopwatch()

    voice = library.get(voice_id=job.voice_id, voice_name=job.voice_name) if job.voice_id or job.voice_name else None
    conditionals = stopwatch.time("prepare_s", lambda: _conditionals(job, voice, engine, library))
    samples: Samples = stopwatch.time("decode_s", lambda: engine.synthesize(job.text, conditionals, options))
    encoded: bytes = stopwatch.time("encode_s", lambda: _encoded(job, samples, sample_rate_hz))

    duration_s = len(samples) / SAMPLE_RATE_HZ
    compute_s = sum(stopwatch.seconds.values())
    return {
        "audio": base64.b64encode(encoded).decode("ascii"),
        "format": job.format,
        "sample_rate": sample_rate_hz,
        "duration": round(duration_s, 3),
        "voice_id": voice.voice_id if voice else None,
        "voice_name": voice.name if voice else None,
        "engine": engine.name,
        "seed": options.seed,
        "timings": {
            "load_s": round(startup.load_s, 4),
            **{part: round(seconds, 4) for part, seconds in stopwatch.seconds.items()},
            "rtf": round(compute_s / duration_s, 4),
            "cold": startup.first_utterance(),
            "device": engine.device,
        },
    }


def _check_servable(job: SynthesizeInput, engine: Engine) -> None:
    if job.model is not None and job.model != engine.model:
        raise JobError(
            "INVALID_INPUT",
            f"model is {job.model!r}; this worker has {engine.model!r} loaded; leave model out or ask that",
        )
    if job.stream:
        raise JobError("INVALID_INPUT", "stream is true; this worker answers whole results; leave stream out")
    if job.delivery == "s3":
        raise JobError("INVALID_INPUT", "delivery is 's3'; this worker has no bucket; use delivery auto or inline")


def _conditionals(job: SynthesizeInput, voice: Voice | None, engine: Engine, library: VoiceLibrary) -> Conditionals:
    if voice is not None:
        return engine.prepare(ReferenceAudio(library.reference_audio(voice)), library.conditionals(voice))
    if job.reference_audio is not None:
        return engine.prepare(ReferenceAudio(read_audio(decode_base64(job.reference_audio))))
    return engine.builtin()


def _encoded(job: SynthesizeInput, samples: Samples, sample_rate_hz: int) -> bytes:
    if not np.all(np.isfinite(samples)):
        raise JobError(
            "INTERNAL", "the engine produced samples that are not numbers; nothing was sent; try another seed"
        )
    levelled = normalise(samples, SAMPLE_RATE_HZ, job.normalize)
    return encode(levelled, sample_rate_hz, job.format)
