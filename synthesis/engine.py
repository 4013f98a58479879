"""The one interface behind which every engine speaks.

An engine is stateless between requests: a voice is a value (`Conditionals`), made once by `prepare`, passed in to
`stream`, never kept on the model. It knows nothing of jobs, voice ids, files or stores; where computed conditionals
are kept for later is the caller's `SavedConditionals`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthesis.options import SynthesisOptions

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


class Engine(ABC):
    """Text and a voice to audio."""

    name: str  # what answers report as `engine`
    model: str  # model variant, e.g. "base"
    device: str  # "cuda", "mps" or "cpu"
    batches: bool = False  # True: has its own thread, on which what several callers ask at once is decoded together
    revision: str  # changes whenever the same request may sound different: of weights, or of a library

    @abstractmethod
    def prepare(self, reference: ReferenceAudio, saved: SavedConditionals | None = None) -> Conditionals:
        """Conditionals of a voice, from memory, from `saved`, or computed (and then written to both)."""

    @abstractmethod
    def builtin(self) -> Conditionals:
        """Conditionals of the voice the engine brings along; NoBuiltinVoice where there is none."""

    @abstractmethod
    def num_segments(self, text: str) -> int:
        """How many segments `stream` cuts the text into, for showing how far it is. Raises EmptyText."""

    @abstractmethod
    def stream(
        self,
        text: str,
        conditionals: Conditionals,
        options: SynthesisOptions,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Samples]:
        """Chunks of speech, (n,) float32 at SAMPLE_RATE_HZ, in order; at most one a segment. Raises SynthesisError
        before the first one, and Cancelled soon after `cancelled` has become true: it is asked inside segments too,
        where an engine can stop there."""

    def synthesize(self, text: str, conditionals: Conditionals, options: SynthesisOptions) -> Samples:
        """The whole utterance: the concatenation of `stream`. (n,) float32 at SAMPLE_RATE_HZ."""
        return np.concatenate(list(self.stream(text, conditionals, options)))
