"""What words are in a take, by a speech recogniser, against those that were asked for.

The recogniser is faster-whisper, an optional extra that is imported when it is first asked for. Knows nothing of
engines or retries.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr

from synthesis.engine import SAMPLE_RATE_HZ, Samples
from synthesis.errors import InvalidOption, SynthesisError
from synthesis.text import normalised_text

_RECOGNISER_RATE_HZ = 16_000  # what Whisper listens at
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")  # each of these signs is taken for a word


@dataclass(frozen=True)
class Word:
    """As it was heard. start_s, end_s: in the take."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Heard:
    """errors: words missing, wrong or too many, as a share of those asked for (word error rate)."""

    words: tuple[Word, ...]
    errors: float


class Recogniser(Protocol):
    """Words of (n,) float32 at 24 kHz."""

    def words(self, samples: Samples, language: str) -> tuple[Word, ...]: ...


class FasterWhisper:
    """faster-whisper's models, one at a time. Safe for many threads."""

    def __init__(self, model: Any) -> None:
        """model: a `faster_whisper.WhisperModel`."""
        self._model = model
        self._lock = threading.Lock()

    @classmethod
    def load(cls, model: str, device: str) -> FasterWhisper:
        """model: a size ("small") or a folder. Raises InvalidOption where the package or its weights are missing."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise InvalidOption(
                "quality is 'asr' and this worker has no faster-whisper; allowed here are off and fast; install "
                "builder/requirements/asr.in, or choose one of them"
            ) from error
        on_cuda = device == "cuda"
        try:
            loaded = WhisperModel(
                model, device="cuda" if on_cuda else "cpu", compute_type="float16" if on_cuda else "int8"
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidOption(
                f"quality is 'asr' and the recogniser's weights {model!r} cannot be loaded; allowed here are off and "
                "fast; set ASR_MODEL to a folder that holds them, or choose one of them"
            ) from error
        return cls(loaded)

    def words(self, samples: Samples, language: str) -> tuple[Word, ...]:
        low = soxr.resample(samples, SAMPLE_RATE_HZ, _RECOGNISER_RATE_HZ).astype(np.float32)
        with self._lock:
            segments, _ = self._model.transcribe(
                low, language=language.partition("-")[0], word_timestamps=True, condition_on_previous_text=False
            )
            return tuple(
                Word(word.word.strip(), float(word.start), float(word.end))
                for segment in segments
                for word in segment.words or ()
            )


def compare(words: Sequence[Word], asked: str, language: str) -> Heard:
    """How well the words match the text that was asked for, written out: case, marks and spaces do not count, nor
    whether a number was heard as figures."""
    said = _plain([_written_out(" ".join(word.text for word in words), language)])
    wanted = _plain([asked])
    return Heard(tuple(words), _edits(said, wanted) / max(len(wanted), 1))


def _written_out(heard: str, language: str) -> str:
    try:
        return normalised_text(heard, language)
    except SynthesisError:  # nothing in it is a word
        return heard


def _plain(texts: Iterable[str]) -> list[str]:
    text = unicodedata.normalize("NFKC", " ".join(texts)).casefold()
    text = _UNSPACED.sub(lambda sign: f" {sign.group()} ", text)
    return re.findall(r"\w+", text.replace("'", "").replace("’", ""))


def _edits(said: Sequence[str], wanted: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements between the two (Levenshtein)."""
    previous = list(range(len(wanted) + 1))
    for row, word in enumerate(said, start=1):
        current = [row]
        for column, other in enumerate(wanted, start=1):
            replaced = previous[column - 1] + (word != other)
            current.append(min(replaced, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]
