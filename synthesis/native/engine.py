"""The fast engine: the base model behind this package's one interface, any number of requests at a time.

Every segment of a text is a request of its own, so that the segments of a long one decode together, and with those of
other texts. One thread owns the device (`runner`); the callers' threads cut text and mark audio. Without a second
segment the samples are those of `synthesis.chatterbox` with the same seed (exactly: on the CPU, in float32).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYetError  # of its own kind before Python 3.11

import numpy as np

from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, MAX_SPEECH_TOKENS, SPEECH_TOKENS_PER_S, cut_text
from synthesis.chatterbox_voices import Voices
from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import SAMPLE_RATE_HZ, Conditionals, Engine, ReferenceAudio, Samples, SavedConditionals, never
from synthesis.errors import Cancelled, EngineUnavailable, InvalidOption, NoBuiltinVoice
from synthesis.native.request import Request, SamplingParameters
from synthesis.native.runner import Runner
from synthesis.native.text_tokens import TextTokenizer
from synthesis.options import SynthesisOptions
from synthesis.text import clean_text, pause_after_s

logger = logging.getLogger(__name__)

MAX_LENGTH = 1536  # positions of a request in the cache: a prompt of MAX_SEGMENT_CHARS, and MAX_SPEECH_TOKENS
_BESIDE_THE_TEXT = 38  # positions: 34 of conditioning, two marks around the text, two starts of speech
MAX_STEPS_PER_LOOK = 8  # positions are kept for as many steps after the end of speech
_CANCELLED_ASKED_EVERY_S = 0.1

Watermark = Callable[[Samples], Samples]


class NativeEngine(Engine):
    """Methods may be called from any thread. `close` ends the engine's own."""

    name = "chatterbox"
    batches = True

    def __init__(
        self,
        *,
        runner: Runner,
        tokenizer: TextTokenizer,
        voices: Voices,
        builtin: ChatterboxConditionals | None,
        watermark: Watermark,
        model: str,
        device: str,
        revision: str,
        max_speech_tokens: int = MAX_SPEECH_TOKENS,
        max_segment_chars: int = MAX_SEGMENT_CHARS,
    ) -> None:
        """revision: changes with what the same request sounds like. max_speech_tokens: where a segment that the model
        does not end is cut off, 25 a second."""
        self.model, self.device, self.revision = model, device, revision
        self._runner, self._tokenizer, self._voices, self._builtin = runner, tokenizer, voices, builtin
        self._watermark = watermark
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

    def num_segments(self, text: str) -> int:
        return len(self._segments(text))

    def stream(
        self,
        text: str,
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Samples]:
        """One chunk a segment of text, with the pause that follows it. A consumer that stops early frees the device.

        Raises EmptyText and InvalidOption at once; Cancelled within a few steps of `cancelled`, OutOfDeviceMemory, and
        SynthesisError when the model says nothing.
        """
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        if options.language.lower() != "en":
            raise InvalidOption(
                f"language is {options.language!r}; the base model speaks only 'en'; leave language out or choose 'en'"
            )
        return self._speak(self._segments(text), conditionals, options, cancelled)

    def close(self) -> None:
        """End the device's thread; whoever still waits for speech gets EngineUnavailable."""
        self._runner.close()

    def _segments(self, text: str) -> list[str]:
        return cut_text(clean_text(text), self._max_segment_chars)

    def _speak(
        self,
        segments: list[str],
        conditionals: ChatterboxConditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool],
    ) -> Iterator[Samples]:
        utterance = object()
        requests = [
            self._request(segment, index, conditionals, options, utterance) for index, segment in enumerate(segments)
        ]
        self._runner.submit(requests)
        try:
            for segment, request in zip(segments, requests, strict=True):
                samples = self._watermark(_wait_for(request, cancelled))
                if not request.ended:
                    limit_s = request.max_tokens / SPEECH_TOKENS_PER_S
                    logger.warning("a segment of %d characters was cut off after %g s of speech", len(segment), limit_s)
                if request is not requests[-1]:
                    pause = np.zeros(round(pause_after_s(segment) * SAMPLE_RATE_HZ), np.float32)
                    samples = np.concatenate([samples, pause])
                yield samples
        finally:
            self._runner.cancel(requests)

    def _request(
        self, segment: str, index: int, voice: ChatterboxConditionals, options: SynthesisOptions, utterance: object
    ) -> Request:
        text_tokens = self._tokenizer.encode(segment)
        sampling = SamplingParameters(
            cfg_weight=options.cfg_weight,
            temperature=options.temperature,
            repetition_penalty=options.repetition_penalty,
            min_p=options.min_p,
            top_p=options.top_p,
            seed=segment_seed(options.seed, index),
        )
        room = MAX_LENGTH - _BESIDE_THE_TEXT - len(text_tokens) - MAX_STEPS_PER_LOOK
        max_tokens = min(self._max_speech_tokens, room)
        return Request(text_tokens, voice, options.exaggeration, sampling, max_tokens, utterance)


def segment_seed(seed: int, index: int) -> int:
    """The first segment's seed is the request's; segments decode at the same time, so the others need their own."""
    if index == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {index}".encode()).digest()[:4], "big")


def _wait_for(request: Request, cancelled: Callable[[], bool]) -> Samples:
    while not cancelled():
        with contextlib.suppress(NotYetError):
            return _result(request)
    raise Cancelled


def _result(request: Request) -> Samples:
    try:
        return request.speech.result(timeout=_CANCELLED_ASKED_EVERY_S)
    except CancelledError as error:
        raise EngineUnavailable("the engine was stopped while it spoke; start the worker anew") from error
