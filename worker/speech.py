"""Speaking: a voice found, its conditionals prepared, its words decoded segment by segment on the device's thread.

Everything that can be refused is refused before the engine speaks. `chunks` is speech as the engine says it; `spoken`
is speech that was checked, segment by segment, on the job's own thread while the device goes on. How the audio reaches
the caller is the business of `delivery` and `streaming`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from generate_voice_embedding import decode_base64, read_audio
from synthesis import (
    SAMPLE_RATE_HZ,
    Conditionals,
    Engine,
    ReferenceAudio,
    Samples,
    SynthesisOptions,
    output_sample_rate_hz,
)
from synthesis.engine import Take, nothing_spoken, segment_seed
from synthesis.quality import Checks, Heard, Joiner, Judged, Recogniser, Spoken, best_takes, compare, unjudged
from synthesis.text import Segment
from voice_library import Voice, VoiceLibrary
from worker.device import Device
from worker.errors import JobError
from worker.health import Startup
from worker.inputs import SynthesizeInput
from worker.request import Output, Request


@dataclass(frozen=True)
class Utterance:
    """A synthesize job with what was found for it."""

    job: SynthesizeInput
    options: SynthesisOptions  # with the seed that will be used
    sample_rate_hz: int  # of the file that is delivered
    voice: Voice | None
    reference: ReferenceAudio | None  # sent along, not stored


class Speaker:
    """One engine, on its thread, with the library's voices. Safe for many threads."""

    def __init__(
        self,
        engine: Engine,
        library: VoiceLibrary,
        device: Device,
        startup: Startup,
        recogniser: Callable[[], Recogniser],
    ) -> None:
        """recogniser: loads it when a job first asks for words."""
        self.engine = engine
        self._library = library
        self._device = device
        self._startup = startup
        self._recogniser = recogniser

    def utterance(self, job: SynthesizeInput, request: Request) -> Utterance:
        """The job, checked and with its voice. Raises JobError, SynthesisError or LibraryError."""
        if job.model is not None and job.model != self.engine.model:
            raise JobError(
                "INVALID_INPUT",
                f"model is {job.model!r}; this worker has {self.engine.model!r} loaded; leave model out or ask that",
            )
        sample_rate_hz = output_sample_rate_hz(job.format, job.sample_rate)
        options = job.options(request.seed, self.engine.default_options)
        voice = reference = None
        if job.voice_id or job.voice_name:
            voice = self._library.get(voice_id=job.voice_id, voice_name=job.voice_name)
        if job.reference_audio is not None:
            with request.timed("prepare_s"):
                reference = ReferenceAudio(read_audio(decode_base64(job.reference_audio)))
        return Utterance(job, options, sample_rate_hz, voice, reference)

    def chunks(self, utterance: Utterance, request: Request) -> Iterator[Samples]:
        """The speech, (n,) float32 at SAMPLE_RATE_HZ, in chunks as the engine has them: one a segment, and several of a
        segment it can be heard in while it decodes. Raises JobError CANCELLED between two, and SynthesisError."""
        conditionals = self._conditionals(utterance, request)
        text, options = utterance.job.text, utterance.options
        spoken = self._device.run(
            lambda: self.engine.stream(text, conditionals, options, request.cancelled), request, "decode_s"
        )
        num_segments = self.engine.num_segments(text, options)
        for done in itertools.count(1):
            chunk = self._device.run(lambda: next(spoken, None), request, "decode_s")
            request.check()
            if chunk is None:
                return
            _check_numbers(chunk)
            yield chunk
            request.on_progress(min(done, num_segments), num_segments)

    def spoken(self, utterance: Utterance, request: Request) -> Iterator[Spoken]:
        """Every segment, checked as the job asks, with what was found. Raises as `chunks`."""
        job, options, engine = utterance.job, utterance.options, self.engine
        recogniser = self._recogniser() if job.checks == "asr" else None  # before anything is spoken
        conditionals = self._conditionals(utterance, request)
        segments = engine.plan(job.text, options)
        seeds = [segment_seed(options.seed, index) for index in range(len(segments))]

        def say(segments: Sequence[Segment], seeds: Sequence[int]) -> Iterator[Take]:
            takes = self._device.run(
                lambda: engine.takes(segments, seeds, conditionals, options, request.cancelled), request, "decode_s"
            )
            while (take := self._device.run(lambda: next(takes, None), request, "decode_s")) is not None:
                request.check()
                _check_numbers(take.samples)
                yield take

        def similarity(samples: Samples) -> float | None:
            return self._device.run(lambda: engine.voice_similarity(samples, conditionals), request, "similarity_s")

        def listen(samples: Samples, text: str) -> Heard:
            assert recogniser is not None
            return compare(recogniser.words(samples, options.language), text, options.language)

        checks = Checks(similarity, None if recogniser is None else listen)

        def judge(take: Take, segment: Segment) -> Judged:
            with request.timed("check_s"):
                return checks.judge(take, segment) if job.checks != "off" else unjudged(take)

        max_retries = job.max_retries if job.checks != "off" else 0
        joiner = Joiner(len(segments), mend=job.checks != "off")
        together = engine.batches and not job.stream
        anything = False
        chosen = best_takes(segments, seeds, say, judge, max_retries=max_retries, together=together)
        for done, best in enumerate(chosen, start=1):
            with request.timed("check_s"):
                spoken = joiner.add(best)
            anything = anything or len(spoken.samples) > 0
            yield spoken
            request.on_progress(done, len(segments))
        if not anything:
            raise nothing_spoken(options.language)

    def facts(self, utterance: Utterance, duration_s: float, request: Request) -> Output:
        """What every answer says besides its audio: what was spoken, by whom, and what it cost."""
        compute_s = sum(request.seconds.get(part, 0.0) for part in ("prepare_s", "decode_s", "check_s", "encode_s"))
        return {
            "format": utterance.job.format,
            "sample_rate": utterance.sample_rate_hz,
            "duration": round(duration_s, 3),
            "voice_id": utterance.voice.voice_id if utterance.voice else None,
            "voice_name": utterance.voice.name if utterance.voice else None,
            "engine": self.engine.name,
            "seed": utterance.options.seed,
            "timings": {
                "load_s": round(self._startup.load_s, 4),
                **{
                    part: round(request.seconds.get(part, 0.0), 4)
                    for part in ("queue_s", "prepare_s", "decode_s", "check_s", "encode_s")
                },
                "rtf": round(compute_s / duration_s, 4),
                "cold": self._startup.first_utterance(),
                "device": self.engine.device,
            },
        }

    def _conditionals(self, utterance: Utterance, request: Request) -> Conditionals:
        engine, library, voice, reference = self.engine, self._library, utterance.voice, utterance.reference
        if voice is not None:
            with request.timed("prepare_s"):
                stored = ReferenceAudio(library.reference_audio(voice))
            saved = library.conditionals(voice)
            return self._device.run(lambda: engine.prepare(stored, saved), request, "prepare_s")
        if reference is not None:
            return self._device.run(lambda: engine.prepare(reference), request, "prepare_s")
        return engine.builtin()


def _check_numbers(samples: Samples) -> None:
    if not np.all(np.isfinite(samples)):
        raise JobError(
            "INTERNAL", "the engine produced samples that are not numbers; nothing was sent; try another seed"
        )


def duration_s(num_samples: int) -> float:
    return num_samples / SAMPLE_RATE_HZ
