"""Takes made into one utterance: ends trimmed and faded, one level, pauses of the length that was asked for.

Every join goes through silence, so that none can click. Knows nothing of engines or checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthesis.engine import SAMPLE_RATE_HZ, Samples, silence
from synthesis.levels import loudness_lufs
from synthesis.quality.hearing import Word
from synthesis.quality.retries import Chosen

LEAD_S = 0.03  # kept before the first sound: the onset of a soft one
TAIL_S = 0.2  # kept after the last: its decay
_FADE_IN_S, _FADE_OUT_S = 0.005, 0.05
_NOISE_FADE_S = 0.03  # where what follows is to go
_HEADROOM_DB = 4.0  # of the first segment, so that later ones with higher peaks come to its loudness too
_PEAK_DBFS = -0.2
_MIN_GAIN_CHANGE_LU = 0.1
_MAX_GAIN_DB = 15.0


@dataclass(frozen=True)
class Spoken:
    """A segment as it is heard. samples: with the pause that follows; start_s, end_s: its words in the utterance."""

    samples: Samples
    text: str
    start_s: float
    end_s: float
    seed: int
    score: float | None
    flags: tuple[str, ...]
    num_retries: int
    words: tuple[Word, ...] | None = None


class Joiner:
    """Makes one utterance, segment by segment. mend: trim, fade and level; else takes stay as they are."""

    def __init__(self, num_segments: int, *, mend: bool) -> None:
        self._several = num_segments > 1
        self._mend = mend
        self._level_lufs: float | None = None
        self._num_samples = 0

    def add(self, chosen: Chosen) -> Spoken:
        """The next segment; without samples where the language has no words for it."""
        judged, pause_s = chosen.judged, chosen.segment.pause_after_s
        samples, lead = judged.take.samples, 0
        if len(samples) and self._mend:
            first, last, kept = _span(chosen)
            samples = self._levelled(_faded(samples[first:last]))
            lead = first
            pause_s -= kept
        if len(samples):
            samples = np.concatenate([samples, silence(max(0.0, pause_s))])
        begins_s = (self._num_samples - lead) / SAMPLE_RATE_HZ
        self._num_samples += len(samples)
        return Spoken(
            samples,
            chosen.segment.text,
            round(begins_s + judged.starts_s, 3),
            round(begins_s + judged.ends_s, 3),
            judged.take.seed,
            judged.score,
            judged.flags,
            chosen.num_retries,
            _moved(judged.heard.words, begins_s) if judged.heard is not None else None,
        )

    def _levelled(self, samples: Samples) -> Samples:
        """At the first segment's loudness, as far as its peaks allow."""
        if not self._several:
            return samples
        loudness = loudness_lufs(samples, SAMPLE_RATE_HZ)
        peak_dbfs = 20 * np.log10(max(float(np.abs(samples).max()), 1e-6))
        if self._level_lufs is None:
            self._level_lufs = loudness - max(0.0, peak_dbfs + _HEADROOM_DB)
        gain_db = min(self._level_lufs - loudness, _PEAK_DBFS - peak_dbfs, _MAX_GAIN_DB)
        if abs(gain_db) < _MIN_GAIN_CHANGE_LU:
            return samples
        return np.asarray(samples * 10 ** (gain_db / 20), np.float32)


def _span(chosen: Chosen) -> tuple[int, int, float]:
    """First and one past the last sample that stay, and the seconds of near silence after the speech among them."""
    judged = chosen.judged
    num = len(judged.take.samples)
    tail_s = _NOISE_FADE_S if {"tail_noise", "trailing_burst"} & set(judged.flags) else TAIL_S
    first = max(0, round((judged.starts_s - LEAD_S) * SAMPLE_RATE_HZ))
    last = min(num, round((judged.ends_s + tail_s) * SAMPLE_RATE_HZ))
    return first, last, max(0.0, last / SAMPLE_RATE_HZ - judged.ends_s)


def _faded(samples: Samples) -> Samples:
    """From and to nothing, along half a cosine."""
    faded: Samples = samples.copy()
    for seconds, part in ((_FADE_IN_S, slice(None)), (_FADE_OUT_S, slice(None, None, -1))):
        num = min(round(seconds * SAMPLE_RATE_HZ), len(samples) // 2)
        curve = (0.5 - 0.5 * np.cos(np.pi * np.arange(num) / max(num, 1))).astype(np.float32)
        faded[part][:num] *= curve
    return faded


def _moved(words: tuple[Word, ...], by_s: float) -> tuple[Word, ...]:
    return tuple(
        Word(word.text, round(max(0.0, word.start_s + by_s), 3), round(max(0.0, word.end_s + by_s), 3))
        for word in words
    )
