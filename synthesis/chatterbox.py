"""The chatterbox engine: the real chatterbox-tts package behind this package's one interface.

Stateless between requests: a voice is a value, random numbers are the request's own, and one thread at a time computes.
Knows nothing of upstream's insides (`chatterbox_model`), of jobs or of stores.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from synthesis.chatterbox_device import RequestRandom, choose_device, translated_errors
from synthesis.chatterbox_model import ChatterboxModel
from synthesis.chatterbox_models import CHATTERBOX_MODELS
from synthesis.chatterbox_segments import MAX_SEGMENT_CHARS, MAX_SPEECH_TOKENS, SPEECH_TOKENS_PER_S, cut_segments
from synthesis.chatterbox_voices import CACHE_BYTES, Voices
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
)
from synthesis.errors import NoBuiltinVoice, SynthesisError
from synthesis.options import SynthesisOptions
from synthesis.stopping import first_loop, token_cap
from synthesis.text import Segment, plan
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
        max_speech_tokens: int | None = None,
        max_segment_chars: int = MAX_SEGMENT_CHARS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """revision: what the weights are, as `weights_revision` says it. max_speech_tokens: of every segment, 25 a
        second, whatever it says; None cuts off what is too long for its text, or caught in a loop."""
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

    def plan(self, text: str, options: SynthesisOptions) -> list[Segment]:
        planned = plan(
            text, self._max_segment_chars, language=options.language, pronunciation=dict(options.pronunciation)
        )
        return cut_segments(planned, self._max_segment_chars)

    def takes(
        self,
        segments: Sequence[Segment],
        seeds: Sequence[int],
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Take]:
        """One after the other. Raises InvalidOption for a language the model does not speak, OutOfDeviceMemory,
        Cancelled within a token or a flow-matching step of `cancelled`, and SynthesisError when the model says nothing.
        """
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        CHATTERBOX_MODELS["base"].check_language(options.language)
        return (
            self._take(segment.text, seed, conditionals, options, cancelled)
            for segment, seed in zip(segments, seeds, strict=True)
        )

    def voice_similarity(self, samples: Samples, conditionals: Conditionals) -> float | None:
        if not isinstance(conditionals, ChatterboxConditionals):
            raise TypeError(f"{type(conditionals).__name__} are another engine's conditionals")
        with _COMPUTING, translated_errors():
            return float((self._chatterbox.speaker(samples) * conditionals.speaker_emb).sum())

    def _take(
        self,
        text: str,
        seed: int,
        conditionals: ChatterboxConditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool],
    ) -> Take:
        random = RequestRandom(seed, self.device)
        with translated_errors():
            with _COMPUTING, random.drawn(), self._chatterbox.interruptible(cancelled):
                tokens, flags = self._speech_tokens(text, conditionals, options)
                samples = self._chatterbox.waveform(tokens, conditionals, options.cfm_steps)
            return Take(self._chatterbox.watermark(samples), seed, flags)

    def _speech_tokens(
        self, text: str, conditionals: ChatterboxConditionals, options: SynthesisOptions
    ) -> tuple[Tensor, tuple[str, ...]]:
        """(n,) int64, n > 0, and what is wrong with them. Upstream's loop cannot be left: one that is caught in a loop
        goes on to the cap, and what it says over and over is dropped here."""
        most = self._max_speech_tokens or token_cap(text, MAX_SPEECH_TOKENS)
        for _ in range(_MAX_TRIES):
            tokens, ended = self._chatterbox.speech_tokens(text, conditionals, options, most)
            if not ended:
                logger.warning(
                    "a segment of %d characters was cut off after %g s of speech", len(text), most / SPEECH_TOKENS_PER_S
                )
            if len(tokens):
                loop = first_loop(tokens.tolist()) if self._max_speech_tokens is None else None
                if loop is not None:
                    return tokens[: loop.num_kept], (loop.flag,)
                return tokens, () if ended else (CUT_OFF,)
        raise SynthesisError(
            f"the model said nothing in {_MAX_TRIES} tries; allowed is any text it can say; choose another seed or text"
        )

    def _listen(self, samples: Samples) -> ChatterboxConditionals:
        with _COMPUTING:
            return self._chatterbox.conditionals(samples)
