"""The fast engine: Chatterbox's models behind this package's one interface, any number of requests at a time.

Every segment of a text is a request of its own, so that the segments of a long one decode together, and with those of
other texts. One thread owns the device (`runner`); the callers' threads cut text and mark audio. A take's samples are
those of `synthesis.chatterbox` with the same seed (exactly: on the CPU, in float32); a stream's are not.
"""

from __future__ import annotations

import contextlib
import logging
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYetError  # of its own kind before Python 3.11

import numpy as np
from torch import Tensor

from synthesis.chatterbox_device import translated_errors
from synthesis.chatterbox_segments import (
    MAX_SEGMENT_CHARS,
    MAX_SPEECH_TOKENS,
    SPEECH_TOKENS_PER_S,
    cut_segments,
    max_segment_chars,
)
from synthesis.chatterbox_voices import Voices
from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import (
    CUT_OFF,
    Conditionals,
    Engine,
    ReferenceAudio,
    Samples,
    SavedConditionals,
    Take,
    never,
    segment_seed,
    silence,
)
from synthesis.errors import Cancelled, EngineUnavailable, InvalidOption, NoBuiltinVoice
from synthesis.native.request import Chunk, Request, SamplingParameters
from synthesis.native.runner import Runner
from synthesis.native.text_tokens import TextTokens
from synthesis.native.variants import Variant
from synthesis.native.watermark import MarkedStream, Watermarker
from synthesis.options import SynthesisOptions
from synthesis.stopping import token_cap
from synthesis.text import Segment, plan

logger = logging.getLogger(__name__)

_MIN_SPEECH_TOKENS = 4 * SPEECH_TOKENS_PER_S  # that a text must leave room for
MAX_STEPS_PER_LOOK = 8  # positions are kept for as many steps after the end of speech
_CANCELLED_ASKED_EVERY_S = 0.1

SpeakerEncoder = Callable[[Samples], Tensor]  # (n,) float32 at 24 kHz -> (1, 256) of length 1


class NativeEngine(Engine):
    """Methods may be called from any thread. `close` ends the engine's own."""

    name = "chatterbox"
    batches = True

    def __init__(
        self,
        *,
        runner: Runner,
        tokenizer: TextTokens,
        voices: Voices,
        builtin: ChatterboxConditionals | None,
        watermarker: Watermarker,
        speaker: SpeakerEncoder,
        variant: Variant,
        device: str,
        revision: str,
        max_speech_tokens: int | None = None,
        max_segment_chars: int = MAX_SEGMENT_CHARS,
    ) -> None:
        """revision: changes with what the same request sounds like. max_speech_tokens: of every segment, 25 a
        second, whatever it says; None cuts off what is too long for its text, or caught in a loop."""
        self.model, self.device, self.revision = variant.model.name, device, revision
        self._variant, self.default_options = variant, variant.model.default_options
        self._runner, self._tokenizer, self._voices, self._builtin = runner, tokenizer, voices, builtin
        self._watermarker, self._speaker = watermarker, speaker
        self._max_speech_tokens, self._max_segment_chars = max_speech_tokens, max_segment_chars

    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> Conditionals:
        """Raises UnusableReference for a clip that is too short, silent or not finite."""
        return self._voices.prepare(reference, saved)

    def builtin(self) -> Conditionals:
        if self._builtin is None:
            raise NoBuiltinVoice(
                "these weights bring no built-in voice; allowed is a voice of the library or reference audio; name one"
            )
        return self._builtin

    def plan(self, text: str, options: SynthesisOptions) -> list[Segment]:
        language = self._variant.model.check_language(options.language)
        max_chars = max_segment_chars(language, self._max_segment_chars)
        planned = plan(text, max_chars, language=language, pronunciation=dict(options.pronunciation))
        return cut_segments(planned, max_chars)

    def takes(
        self,
        segments: Sequence[Segment],
        seeds: Sequence[int],
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Take]:
        """All decode together. A consumer that stops early frees the device.

        Raises InvalidOption at once; Cancelled within a few steps of `cancelled`, OutOfDeviceMemory, and SynthesisError
        when the model says nothing.
        """
        return self._takes(self._requests(segments, seeds, conditionals, options), cancelled)

    def stream(
        self,
        text: str,
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Samples]:
        """The first segment in chunks while it still decodes (`streaming`): it is heard once a second of speech has
        been decoded, and differs a little from the whole segment. The others, which decode beside it, one chunk each.
        Raises as `takes` does."""
        segments = self.plan(text, options)
        seeds = [segment_seed(options.seed, index) for index in range(len(segments))]
        requests = self._requests(segments, seeds, conditionals, options)
        requests[0].is_streamed = True
        return self._stream(segments, requests, cancelled)

    def voice_similarity(self, samples: Samples, conditionals: Conditionals) -> float | None:
        """Loads the voice encoder where nothing has needed it yet."""
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        with translated_errors():
            return float((self._speaker(samples) * conditionals.speaker_emb).sum())

    def close(self) -> None:
        """End the device's thread; whoever still waits for speech gets EngineUnavailable."""
        self._runner.close()

    def _requests(
        self,
        segments: Sequence[Segment],
        seeds: Sequence[int],
        conditionals: Conditionals,
        options: SynthesisOptions,
    ) -> list[Request]:
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        self._variant.model.check_language(options.language)
        utterance = object()
        return [
            self._request(segment.text, seed, conditionals, options, utterance)
            for segment, seed in zip(segments, seeds, strict=True)
        ]

    def _takes(self, requests: list[Request], cancelled: Callable[[], bool]) -> Iterator[Take]:
        self._runner.submit(requests)
        try:
            for request in requests:
                yield self._take(request, cancelled)
        finally:
            self._runner.cancel(requests)

    def _stream(
        self, segments: Sequence[Segment], requests: list[Request], cancelled: Callable[[], bool]
    ) -> Iterator[Samples]:
        self._runner.submit(requests)
        try:
            yield from self._chunks(requests[0], cancelled)
            for before, request in zip(segments, requests[1:], strict=False):
                take = self._take(request, cancelled)
                yield np.concatenate([silence(before.pause_after_s), take.samples])
        finally:
            self._runner.cancel(requests)

    def _take(self, request: Request, cancelled: Callable[[], bool]) -> Take:
        samples = self._watermarker.mark(_wait_for(request, cancelled))
        _warn_when_cut_off(request)
        return Take(samples, request.sampling.seed, _flags(request))

    def _chunks(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Samples]:
        """A streamed request's speech as it comes."""
        marked = MarkedStream(self._watermarker)
        while (chunk := _next_chunk(request, cancelled)) is not None:
            if len(chunk.samples):
                yield marked.mark(chunk.samples, chunk.is_last)
        _result(request)  # raises what ended it
        _warn_when_cut_off(request)

    def _request(
        self, text: str, seed: int, voice: ChatterboxConditionals, options: SynthesisOptions, utterance: object
    ) -> Request:
        text_tokens = self._tokenizer.encode(text, options.language.lower())
        sampling = SamplingParameters(
            cfg_weight=options.cfg_weight if self._variant.model.is_guided else 0.0,
            temperature=options.temperature,
            repetition_penalty=options.repetition_penalty,
            min_p=options.min_p,
            top_p=options.top_p,
            seed=seed,
        )
        room = self._variant.room(voice, len(text_tokens)) - MAX_STEPS_PER_LOOK
        if room < _MIN_SPEECH_TOKENS:
            raise InvalidOption(
                f"{len(text)} characters of the text are {len(text_tokens)} tokens to the {self.model} model, which "
                f"leaves no room to say them; allowed is text in {', '.join(self._variant.model.languages)}; write it "
                "in a language of the model, or in shorter sentences"
            )
        most = self._max_speech_tokens or token_cap(text, MAX_SPEECH_TOKENS)
        return Request(
            text_tokens,
            voice,
            options.exaggeration,
            sampling,
            min(most, room),
            utterance,
            cfm_steps=options.cfm_steps,
            stops_loops=self._max_speech_tokens is None,
        )


def _flags(request: Request) -> tuple[str, ...]:
    if request.ended:
        return ()
    return (CUT_OFF,) if request.loop is None else (request.loop.flag,)


def _warn_when_cut_off(request: Request) -> None:
    if not request.ended:
        limit_s = len(request.tokens) / SPEECH_TOKENS_PER_S
        logger.warning("a segment of %d text tokens was cut off after %g s", len(request.text_tokens), limit_s)


def _wait_for(request: Request, cancelled: Callable[[], bool]) -> Samples:
    while not cancelled():
        with contextlib.suppress(NotYetError):
            return _result(request)
    raise Cancelled


def _next_chunk(request: Request, cancelled: Callable[[], bool]) -> Chunk | None:
    while not cancelled():
        with contextlib.suppress(queue.Empty):
            return request.chunks.get(timeout=_CANCELLED_ASKED_EVERY_S)
    raise Cancelled


def _result(request: Request) -> Samples:
    try:
        return request.speech.result(timeout=_CANCELLED_ASKED_EVERY_S)
    except CancelledError as error:
        raise EngineUnavailable("the engine was stopped while it spoke; start the worker anew") from error
