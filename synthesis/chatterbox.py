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
from synthesis.chatterbox_model import SPEECH_TOKENS_PER_S, ChatterboxModel
from synthesis.conditionals import ChatterboxConditionals, ConditionalsError
from synthesis.conditionals_cache import ConditionalsCache
from synthesis.engine import SAMPLE_RATE_HZ, Conditionals, Engine, ReferenceAudio, Samples, SavedConditionals, never
from synthesis.errors import InvalidOption, NoBuiltinVoice, SynthesisError, UnusableReference
from synthesis.options import SynthesisOptions
from synthesis.text import clean_text, pause_after_s, split_text
from synthesis.weights import weights_revision

logger = logging.getLogger(__name__)

MAX_SPEECH_TOKENS = 1000  # of one segment: upstream's own limit (chatterbox `tts.py:generate`), 40 s of speech

# A segment must be said in that time also by a slow speaker. Slow is 100 words a minute, a third below the 150 to 160
# that audio books are read at (Williams, "Guidelines for the Use of Multimedia in Instruction", 1998); an English word
# has 4.79 letters (Norvig, "English Letter Frequency Counts: Mayzner Revisited", 2013) and a space.
_SLOW_CHARS_PER_S = 100 / 60 * (4.79 + 1)
MAX_SEGMENT_CHARS = int(MAX_SPEECH_TOKENS / SPEECH_TOKENS_PER_S * _SLOW_CHARS_PER_S)

# "Seven" for "7": the digits' names have 4 letters on average, and a space more than the digit. Only what a usual
# speaker, 1.5 times as quick as the slow one, could not say in time is cut again for it.
_CHARS_OF_A_DIGIT = 4
_SLACK = 1.5

MIN_REFERENCE_S = 1.0  # what enrolment asks for too; shorter clips hold too little of a voice
SILENCE = 1e-4  # -80 dBFS, where 16-bit noise begins: a clip whose peak is below says nothing

CACHE_BYTES = 256 * 1024 * 1024  # about 1,500 voices of 10 s
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
        self._cache = ConditionalsCache(cache_bytes)

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
        return self._cache.get(reference.digest, lambda: self._load_or_compute(reference, saved))

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

    def _load_or_compute(self, reference: ReferenceAudio, saved: SavedConditionals | None) -> ChatterboxConditionals:
        key = f"chatterbox-{self.model}-{self.revision[:16]}-{reference.digest[:16]}"  # both again in full inside
        blob = None if saved is None else saved.read(key)
        if blob is not None:
            try:
                return ChatterboxConditionals.from_bytes(blob, self.revision, reference.digest, self.device)
            except ConditionalsError as error:
                logger.warning("saved conditionals %s are computed anew: %s", key, error)
        conditionals = self._compute(reference)
        if saved is not None:
            try:
                saved.write(key, conditionals.to_bytes(self.revision, reference.digest))
            except OSError as error:  # only the next worker's time is lost
                logger.warning("conditionals %s could not be saved: %s", key, error)
        return conditionals

    def _compute(self, reference: ReferenceAudio) -> ChatterboxConditionals:
        samples = reference.samples
        _check_usable(samples)
        try:
            with translated_errors(), _COMPUTING:
                return self._chatterbox.conditionals(samples)
        except ConditionalsError as error:
            raise UnusableReference(
                f"the reference audio gives no usable voice: {error}; record another clip"
            ) from error


def cut_text(text: str, max_chars: int) -> list[str]:
    """text as segments that are said in the time max_chars characters of prose take: `split_text`, but for segments
    full of digits, which are cut again as if every digit were written out."""
    segments = []
    for segment in split_text(text, max_chars):
        spoken_chars = len(segment) + _CHARS_OF_A_DIGIT * sum(character.isdigit() for character in segment)
        dense = spoken_chars > max_chars * _SLACK
        segments += split_text(segment, len(segment) * max_chars // spoken_chars) if dense else [segment]
    return segments


def _check_usable(samples: Samples) -> None:
    fault = None
    if samples.ndim != 1 or len(samples) < MIN_REFERENCE_S * SAMPLE_RATE_HZ:
        fault = f"has {samples.size / SAMPLE_RATE_HZ:.2f} s; allowed is mono of {MIN_REFERENCE_S:g} s or more"
    elif not np.isfinite(samples).all():
        fault = "holds NaN or infinite samples; allowed are finite ones"
    elif np.abs(samples).max() < SILENCE:
        fault = "is silent; allowed is a clip in which someone speaks"
    if fault:
        raise UnusableReference(f"the reference audio {fault}; record another clip")
