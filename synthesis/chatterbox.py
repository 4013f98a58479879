"""The chatterbox engine: the real chatterbox-tts package behind this package's one interface.

Stateless between requests: a voice is a value, random numbers are the request's own, and one thread at a time computes.
Knows nothing of upstream's insides (`chatterbox_model`), of jobs or of stores.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from synthesis.chatterbox_device import RequestRandom, choose_device, translated_errors
from synthesis.chatterbox_model import ChatterboxModel
from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, MAX_SPEECH_TOKENS, SPEECH_TOKENS_PER_S, cut_text
from synthesis.chatterbox_voices import CACHE_BYTES, Voices
from synthesis.conditionals import ChatterboxConditionals
from synthesis.engine import SAMPLE_RATE_HZ, Conditionals, Engine, ReferenceAudio, Samples, SavedConditionals, never
from synthesis.errors import InvalidOption, NoBuiltinVoice, SynthesisError
from synthesis.options import SynthesisOptions
from synthesis.text import clean_text, pause_after_s
from synthesis.weights import weights_revision

logger = logging.getLogger(__name__)

_MAX_TRIES = 3  # for a text of which the model says nothing at all

# Torch's global generators are the process's, and upstream draws from them: two engines share this lock.
_COMPUTING = threading.Lock()


class ChatterboxEngine(Engine):
    """Chatterbox's base model. Methods may be called from any thread; they compute one after the other."""

    name = "chatterbox"

    def __init__(
        self,
        chatterbox: ChatterboxModel,
        *,
        model: str,
        device: str,
        revision: str,
        max_speech_tokens: int = MAX_SPEECH_TOKENS,
        max_segment_chars: int = MAX_SEGMENT_CHARS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """revision: what the weights are, as `weights_revision` says it. max_speech_tokens: where a segment that the
        model does not end is cut off, 25 a second."""
        self.model = model
        self.device = device
        self._chatterbox = chatterbox
        self.revision = revision
        self._max_speech_tokens = max_speech_tokens
        self._max_segment_chars = max_segment_chars
        self._voices = Voices(self._listen, model=model, revision=revision, device=device, cache_bytes=cache_bytes)

    @classmethod
    def load(
        cls, directory: Path, *, model: str = "base", device: str | None = None, **limits: int
    ) -> ChatterboxEngine:
        """The model in `directory`, on the device asked for or the best one there is; limits as of the constructor.

        Raises EngineUnavailable when the device or a package is missing, WeightsNotFound when the weights do not fit,
        OutOfDeviceMemory.
        """
        device = choose_device(device)
        loaded = ChatterboxModel.load(directory, device)
        return cls(loaded, model=model, device=device, revision=weights_revision(model, directory), **limits)

    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> Conditionals:
        """Raises UnusableReference for a clip that is too short, silent or not finite."""
        return self._voices.prepare(reference, saved)

    def builtin(self) -> Conditionals:
        if self._chatterbox.builtin is None:
            raise NoBuiltinVoice(
                "these weights bring no built-in voice; allowed is a voice of the library or reference audio; name one"
            )
        return self._chatterbox.builtin

    def num_segments(self, text: str) -> int:
        return len(self._segments(text))

    def stream(
        self,
        text: str,
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Samples]:
        """One chunk a segment of text, with the pause that follows it.

        Raises EmptyText, InvalidOption for a language the model does not speak, OutOfDeviceMemory, Cancelled within a
        token or a flow-matching step of `cancelled`, and SynthesisError when the model says nothing.
        """
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        if options.language.lower() != "en":
            raise InvalidOption(
                f"language is {options.language!r}; the base model speaks only 'en'; leave language out or choose 'en'"
            )
        segments = self._segments(text)
        random = RequestRandom(options.seed, self.device)
        for index, segment in enumerate(segments, start=1):
            samples = self._speak(segment, conditionals, options, random, cancelled)
            if index < len(segments):
                pause = np.zeros(round(pause_after_s(segment) * SAMPLE_RATE_HZ), np.float32)
                samples = np.concatenate([samples, pause])
            yield samples

    def _segments(self, text: str) -> list[str]:
        return cut_text(clean_text(text), self._max_segment_chars)

    def _speak(
        self,
        segment: str,
        conditionals: ChatterboxConditionals,
        options: SynthesisOptions,
        random: RequestRandom,
        cancelled: Callable[[], bool],
    ) -> Samples:
        """A segment as watermarked speech, (n,) float32 at 24 kHz."""
        with translated_errors():
            with _COMPUTING, random.drawn(), self._chatterbox.interruptible(cancelled):
                tokens = self._speech_tokens(segment, conditionals, options)
                samples = self._chatterbox.waveform(tokens, conditionals)
            return self._chatterbox.watermark(samples)

    def _speech_tokens(self, segment: str, conditionals: ChatterboxConditionals, options: SynthesisOptions) -> Tensor:
        """(n,) int64, n > 0."""
        for _ in range(_MAX_TRIES):
            tokens, ended = self._chatterbox.speech_tokens(segment, conditionals, options, self._max_speech_tokens)
            if not ended:
                limit_s = self._max_speech_tokens / SPEECH_TOKENS_PER_S
                logger.warning("a segment of %d characters was cut off after %g s of speech", len(segment), limit_s)
            if len(tokens):
                return tokens
        raise SynthesisError(
            f"the model said nothing in {_MAX_TRIES} tries; allowed is any text it can say; choose another seed or text"
        )

    def _listen(self, samples: Samples) -> ChatterboxConditionals:
        with _COMPUTING:
            return self._chatterbox.conditionals(samples)
