"""The one interface behind which every engine speaks.

An engine is stateless between requests: a voice is a value (`Conditionals`), made once by `prepare`, passed in to
`takes` and `stream`, never kept on the model. It knows nothing of jobs, voice ids, files or stores; where computed
conditionals are kept for later is the caller's `SavedConditionals`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthesis.errors import EmptyText
from synthesis.options import SynthesisOptions
from synthesis.text import Segment

SAMPLE_RATE_HZ = 24_000  # what every engine takes in and gives out (chatterbox `s3gen/const.py:S3GEN_SR`)

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class ReferenceAudio:
    """The clip to imitate. samples: (n,) float32 mono, full scale ±1, at SAMPLE_RATE_HZ."""

    samples: Samples

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the samples, hex: what conditionals are keyed by."""
        return hashlib.sha256(np.ascontiguousarray(self.samples, dtype="<f4").tobytes()).hexdigest()


class Conditionals(ABC):
    """What an engine computes from reference audio; immutable, engine-specific, held in caches by its size."""

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Memory held, in bytes."""


class SavedConditionals(Protocol):
    """Where conditionals outlive the process, one small blob a key; a missing or unreadable blob is None."""

    def read(self, key: str) -> bytes | None: ...

    def write(self, key: str, blob: bytes) -> None: ...


def never() -> bool:
    """The answer to `cancelled` of a request that nobody can cancel."""
    return False


@dataclass(frozen=True)
class Take:
    """A segment spoken once."""

    samples: Samples  # (n,) float32 at SAMPLE_RATE_HZ, with its watermark; none where the language has no words for it
    seed: int  # that it was spoken with
    flags: tuple[str, ...] = ()  # what the engine knows to be wrong: `CUT_OFF`, `REPETITION`, `SILENCE`


CUT_OFF = "cut_off"  # it did not end by itself: the last words may be missing
REPETITION = "repetition"  # it said the same over and over
SILENCE = "silence"  # it said nothing for too long


def segment_seed(seed: int, index: int) -> int:
    """The first segment's seed is the request's; segments may decode at the same time, so the others need their own."""
    if index == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {index}".encode()).digest()[:4], "big")


class Engine(ABC):
    """Text and a voice to audio."""

    name: str  # what answers report as `engine`
    model: str  # model variant, e.g. "base"
    device: str  # "cuda", "mps" or "cpu"
    batches: bool = False  # True: has its own thread, on which what several callers ask at once is decoded together
    default_options: Mapping[str, float] = {}  # of its model, where they differ from those of `SynthesisOptions`
    revision: str  # changes whenever the same request may sound different: of weights, or of a library

    @abstractmethod
    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> Conditionals:
        """Conditionals of a voice, from memory, from `saved`, or computed (and then written to both)."""

    @abstractmethod
    def builtin(self) -> Conditionals:
        """Conditionals of the voice the engine brings along; NoBuiltinVoice where there is none."""

    @abstractmethod
    def plan(self, text: str, options: SynthesisOptions) -> list[Segment]:
        """The segments in which the text is spoken, by this engine's limits. Raises EmptyText, InvalidOption."""

    def num_segments(self, text: str, options: SynthesisOptions | None = None) -> int:
        """How many there are, for showing how far it is."""
        return len(self.plan(text, options or SynthesisOptions()))

    @abstractmethod
    def takes(
        self,
        segments: Sequence[Segment],
        seeds: Sequence[int],
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Take]:
        """One take a segment, in order, as the engine says it: no pause added, nothing trimmed. seeds: one a segment.

        What was asked wrongly is raised at once; the iterator raises Cancelled, and SynthesisError. A take depends on
        its segment, seed, voice and options, not on the segments beside it; where the engine batches, they are decoded
        together.
        """

    def voice_similarity(self, samples: Samples, conditionals: Conditionals) -> float | None:  # noqa: ARG002
        """How much samples, (n,) float32 at SAMPLE_RATE_HZ, sound like the voice: the cosine of the model's own voice
        encoder, -1 to 1; None where the engine has none."""
        return None

    def stream(
        self,
        text: str,
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Samples]:
        """Chunks of speech, (n,) float32 at SAMPLE_RATE_HZ, in order, as soon as each can be heard; pauses are in them.

        Here one a segment; an engine that can speak while it decodes gives more and smaller ones. Raises SynthesisError
        before the first one, and Cancelled soon after `cancelled` has become true: it is asked inside segments too,
        where an engine can stop there.
        """
        segments = self.plan(text, options)
        seeds = [segment_seed(options.seed, index) for index in range(len(segments))]
        return joined(segments, self.takes(segments, seeds, conditionals, options, cancelled), options)

    def synthesize(self, text: str, conditionals: Conditionals, options: SynthesisOptions) -> Samples:
        """The whole utterance, every segment decoded in one piece. (n,) float32 at SAMPLE_RATE_HZ."""
        segments = self.plan(text, options)
        seeds = [segment_seed(options.seed, index) for index in range(len(segments))]
        takes = self.takes(segments, seeds, conditionals, options)
        return np.concatenate(list(joined(segments, takes, options)))


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)


def nothing_spoken(language: str) -> EmptyText:
    """The error of a text whose every take is empty."""
    return EmptyText(
        f"text holds nothing that can be spoken in {language!r}; allowed are words of that language; set language to "
        "the text's own"
    )


def joined(segments: Sequence[Segment], takes: Iterator[Take], options: SynthesisOptions) -> Iterator[Samples]:
    """One chunk a take that has any sound, with the pause that follows its segment. Raises EmptyText after the last
    when none had."""
    anything = False
    for segment, take in zip(segments, takes, strict=True):
        if len(take.samples):
            anything = True
            pause = silence(segment.pause_after_s)
            yield np.concatenate([take.samples, pause]) if len(pause) else take.samples
    if not anything:
        raise nothing_spoken(options.language)
